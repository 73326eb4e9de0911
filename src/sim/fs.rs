//! The files and folders of the simulated machine, once as programs see them (cached) and once as a power cut leaves
//! them (durable). Every change is an [`Effect`], and goes through [`Fs::apply`] both when it is made and when the
//! history is replayed to cut the power in the middle of it.

use super::content::{Content, mix};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Has no `io::ErrorKind` that can be made.
const ELOOP: i32 = if cfg!(target_os = "linux") { 40 } else { 62 };

#[derive(Debug, Clone)]
pub(super) struct Fs {
    pub(super) inodes: BTreeMap<u64, Arc<Inode>>,
    pub(super) dirs: BTreeMap<PathBuf, Arc<Dir>>,
}

#[derive(Debug, Clone)]
pub(super) struct Inode {
    pub(super) kind: Kind,
    pub(super) durable: Version,
    pub(super) cached: Version,
    /// Changes that no sync covers, oldest first.
    pub(super) dirty: Vec<Dirty>,
    /// Bytes that stood behind the present end before the file was cut: the blocks still hold them.
    pub(super) stale: Content,
    /// A sync failed and the cache kept what it could not write: `durable` plus `dirty` is not `cached` any more.
    pub(super) diverged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    File,
    Directory,
    Fifo,
}

#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) content: Content,
    pub(super) owner: Owner,
}

impl Version {
    pub(super) fn hash(&self) -> u64 {
        let owner = [self.owner.uid, self.owner.gid, self.owner.mode];
        owner.iter().fold(self.content.hash(), |hash, part| {
            mix(hash, u64::from(*part))
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Dirty {
    pub(super) step: usize,
    pub(super) change: FileChange,
}

#[derive(Debug, Clone, Hash)]
pub(super) enum FileChange {
    Write { at: usize, bytes: Arc<[u8]> },
    SetLen(usize),
    SetOwner(Owner),
}

pub(super) type Names = BTreeMap<OsString, Node>;

#[derive(Debug, Clone, Default)]
pub(super) struct Dir {
    pub(super) inode: u64,
    pub(super) durable: Names,
    pub(super) cached: Names,
    /// Changes that no directory sync covers, oldest first.
    pub(super) pending: Vec<Pending>,
}

#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) step: usize,
    pub(super) change: NameChange,
}

#[derive(Debug, Clone, Hash)]
pub(super) enum NameChange {
    Link {
        name: OsString,
        node: Node,
    },
    Rename {
        from: OsString,
        to: OsString,
        node: Node,
    },
    Unlink {
        name: OsString,
        node: Node,
    },
}

// When a change was made does not matter to what can become of it, only the order does.
impl Hash for Dirty {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.change.hash(hasher);
    }
}

impl Hash for Pending {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.change.hash(hasher);
    }
}

/// The thing that a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Node {
    Inode(u64),
    Symlink(PathBuf),
}

/// One change of the disk.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    Create {
        dir: PathBuf,
        name: OsString,
        inode: u64,
        owner: Owner,
    },
    File {
        inode: u64,
        change: FileChange,
    },
    Sync {
        inode: u64,
    },
    FailedSync {
        inode: u64,
        how: FailedSync,
    },
    Name {
        dir: PathBuf,
        change: NameChange,
    },
    SyncDir {
        dir: PathBuf,
    },
    /// Content put under a file from outside, in the cache and on the disk.
    Overwrite {
        inode: u64,
        at: usize,
        bytes: Arc<[u8]>,
    },
    /// An owner given from outside, durable at once.
    Own {
        inode: u64,
        owner: Owner,
    },
    /// A name put there from outside, durable at once; with the inode if that is new or replaced.
    Plant {
        dir: PathBuf,
        name: OsString,
        node: Node,
        inode: Option<Arc<Inode>>,
    },
}

/// The fate of written bytes when a sync fails. Either way no handle is told of it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailedSync {
    /// The cache keeps the new bytes and counts them as written (ext4, XFS): they read well until the power goes.
    #[default]
    KeepClean,
    /// The cache falls back to what is on the disk (Btrfs).
    Revert,
}

impl FileChange {
    pub(super) fn apply(&self, version: &mut Version) {
        match self {
            FileChange::Write { at, bytes } => version.content.write(*at, bytes),
            FileChange::SetLen(len) => version.content.set_len(*len),
            FileChange::SetOwner(owner) => version.owner = *owner,
        }
    }
}

impl NameChange {
    /// Each name moves or goes only if it still leads where it led: the changes before may be lost.
    pub(super) fn apply(&self, names: &mut Names) {
        match self {
            NameChange::Link { name, node } => {
                names.insert(name.clone(), node.clone());
            }
            NameChange::Rename { from, to, node } => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), node.clone());
            }
            NameChange::Unlink { name, node } => {
                if names.get(name) == Some(node) {
                    names.remove(name);
                }
            }
        }
    }
}

impl Inode {
    pub(super) fn new(kind: Kind, owner: Owner, content: Content) -> Inode {
        let version = Version { content, owner };
        Inode {
            kind,
            durable: version.clone(),
            cached: version,
            dirty: Vec::new(),
            stale: Content::default(),
            diverged: false,
        }
    }

    /// The version that a sync after the first `count` changes makes durable.
    pub(super) fn written(&self, count: usize) -> Version {
        if count == self.dirty.len() && !self.diverged {
            return self.cached.clone();
        }
        let mut version = self.durable.clone();
        for dirty in &self.dirty[..count] {
            dirty.change.apply(&mut version);
        }
        version
    }

    fn change(&mut self, step: usize, change: &FileChange) {
        if let FileChange::SetLen(len) = *change {
            let cut = self.cached.content.len().saturating_sub(len);
            let mut bytes = vec![0; cut];
            self.cached.content.read(len, &mut bytes);
            self.stale.write(len, &bytes);
        }
        change.apply(&mut self.cached);
        self.dirty.push(Dirty {
            step,
            change: change.clone(),
        });
    }

    fn sync(&mut self) {
        self.durable = self.written(self.dirty.len());
        self.dirty.clear();
    }

    fn fail_sync(&mut self, how: FailedSync) {
        match how {
            FailedSync::KeepClean => self.diverged |= !self.dirty.is_empty(),
            FailedSync::Revert => self.cached = self.durable.clone(),
        }
        self.dirty.clear();
    }

    fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        for version in [&mut self.durable, &mut self.cached] {
            let count = version.content.len().saturating_sub(at).min(bytes.len());
            version.content.write(at, &bytes[..count]);
        }
    }
}

impl Fs {
    pub(super) fn new() -> Fs {
        let mut fs = Fs {
            inodes: BTreeMap::new(),
            dirs: BTreeMap::new(),
        };
        let owner = Owner {
            uid: 0,
            gid: 0,
            mode: 0o777,
        };
        let inode = Inode::new(Kind::Directory, owner, Content::default());
        // Its number is that of the default.
        fs.inodes.insert(0, Arc::new(inode));
        fs.dirs.insert(PathBuf::from("/"), Arc::default());
        fs
    }

    pub(super) fn apply(&mut self, step: usize, effect: &Effect) {
        match effect {
            Effect::Create {
                dir,
                name,
                inode,
                owner,
            } => {
                let made = Inode::new(Kind::File, *owner, Content::default());
                self.inodes.insert(*inode, Arc::new(made));
                let change = NameChange::Link {
                    name: name.clone(),
                    node: Node::Inode(*inode),
                };
                self.rename(step, dir, &change);
            }
            Effect::Name { dir, change } => self.rename(step, dir, change),
            Effect::SyncDir { dir } => {
                if let Some(dir) = self.dirs.get_mut(dir).map(Arc::make_mut) {
                    dir.durable = dir.cached.clone();
                    dir.pending.clear();
                }
            }
            Effect::File { inode, change } => self.edit(*inode, |file| file.change(step, change)),
            Effect::Sync { inode } => self.edit(*inode, Inode::sync),
            Effect::FailedSync { inode, how } => self.edit(*inode, |file| file.fail_sync(*how)),
            Effect::Overwrite { inode, at, bytes } => {
                self.edit(*inode, |file| file.overwrite(*at, bytes));
            }
            Effect::Own { inode, owner } => self.edit(*inode, |file| {
                file.durable.owner = *owner;
                file.cached.owner = *owner;
            }),
            Effect::Plant {
                dir,
                name,
                node,
                inode,
            } => {
                if let (Node::Inode(number), Some(inode)) = (node, inode) {
                    self.inodes.insert(*number, Arc::clone(inode));
                    if inode.kind == Kind::Directory {
                        let made = Dir {
                            inode: *number,
                            ..Dir::default()
                        };
                        self.dirs.insert(dir.join(name), Arc::new(made));
                    }
                }
                if let Some(dir) = self.dirs.get_mut(dir).map(Arc::make_mut) {
                    dir.durable.insert(name.clone(), node.clone());
                    dir.cached.insert(name.clone(), node.clone());
                }
            }
        }
    }

    fn rename(&mut self, step: usize, dir: &Path, change: &NameChange) {
        if let Some(dir) = self.dirs.get_mut(dir).map(Arc::make_mut) {
            change.apply(&mut dir.cached);
            dir.pending.push(Pending {
                step,
                change: change.clone(),
            });
        }
    }

    fn edit(&mut self, inode: u64, edit: impl FnOnce(&mut Inode)) {
        if let Some(inode) = self.inodes.get_mut(&inode) {
            edit(Arc::make_mut(inode));
        }
    }

    /// The place that a path leads to, without links; only its last component may be missing.
    pub(super) fn locate(&self, path: &Path, follow_last: bool) -> io::Result<PathBuf> {
        let mut here = PathBuf::from("/");
        let mut ahead: Vec<OsString> = parts(path);
        let mut links = 0;
        while let Some(part) = ahead.pop() {
            if part == "/" {
                here = PathBuf::from("/");
            } else if part == ".." {
                here.pop();
            } else {
                let dir = self.dirs.get(&here).ok_or_else(|| {
                    io::Error::from(match self.node(&here) {
                        Some(_) => io::ErrorKind::NotADirectory,
                        None => io::ErrorKind::NotFound,
                    })
                })?;
                match dir.cached.get(&part) {
                    Some(Node::Symlink(target)) if follow_last || !ahead.is_empty() => {
                        links += 1;
                        if links > 40 {
                            return Err(io::Error::from_raw_os_error(ELOOP));
                        }
                        ahead.extend(parts(target));
                    }
                    _ => here.push(part),
                }
            }
        }
        Ok(here)
    }

    /// The file, folder or other thing at a place that [`Fs::locate`] found.
    pub(super) fn node(&self, place: &Path) -> Option<Node> {
        if let Some(dir) = self.dirs.get(place) {
            return Some(Node::Inode(dir.inode));
        }
        let (dir, name) = split(place)?;
        self.dirs.get(dir)?.cached.get(name).cloned()
    }

    /// The inode that a path leads to, through links.
    pub(super) fn lookup(&self, path: &Path) -> io::Result<u64> {
        match self.node(&self.locate(path, true)?) {
            Some(Node::Inode(inode)) => Ok(inode),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn inode(&self, inode: u64) -> io::Result<&Inode> {
        let found = self.inodes.get(&inode).map(Arc::as_ref);
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Whether any name leads to the inode, or may again after a power cut.
    pub(super) fn is_reachable(&self, inode: u64) -> bool {
        let node = Node::Inode(inode);
        self.dirs.values().any(|dir| {
            let mut pending = dir.pending.iter().map(|pending| match &pending.change {
                NameChange::Link { node, .. }
                | NameChange::Rename { node, .. }
                | NameChange::Unlink { node, .. } => node,
            });
            dir.inode == inode
                || dir.cached.values().any(|found| *found == node)
                || dir.durable.values().any(|found| *found == node)
                || pending.any(|found| *found == node)
        })
    }

    /// A hash of all that is cached, durable and pending.
    pub(super) fn hash(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        for (number, inode) in &self.inodes {
            (number, inode.kind, inode.diverged, &inode.dirty).hash(&mut hash);
            (
                inode.durable.hash(),
                inode.cached.hash(),
                inode.stale.hash(),
            )
                .hash(&mut hash);
        }
        for (path, dir) in &self.dirs {
            (path, &dir.durable, &dir.cached, &dir.pending).hash(&mut hash);
        }
        hash.finish()
    }

    pub(super) fn size_bytes(&self) -> u64 {
        let sizes = self.inodes.values();
        sizes.map(|inode| inode.cached.content.len() as u64).sum()
    }
}

/// The folder and the name of a place.
pub(super) fn split(place: &Path) -> Option<(&Path, &OsStr)> {
    Some((place.parent()?, place.file_name()?))
}

/// The components of a path, the last one first; a relative path starts where the one before it stands.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev();
    let parts = parts.filter(|part| !matches!(part, Component::CurDir));
    parts.map(|part| part.as_os_str().to_owned()).collect()
}
