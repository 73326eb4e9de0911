//! Second names for a file, also where the file system has no hard links (exFAT, some that are shared with a host).

use super::{Create, Disk, OpenFile};
use std::io;
use std::path::Path;

/// Copied at once.
const COPIED_BYTES: usize = 256 << 10;

/// Gives the file `from` the name `to` in place of its own. Nothing that has that name is touched.
pub(crate) fn rename_to_new(disk: &dyn Disk, from: &Path, to: &Path) -> io::Result<()> {
    match disk.link(from, to) {
        Ok(()) => {
            let _ = disk.remove(from);
            Ok(())
        }
        Err(error) if has_no_links(&error) => {
            // A rename replaces what has the name: an empty file of this call's own, by then. It counts as a store whose
            // creation was cut short, should this call go no further.
            drop(create(disk, to)?);
            disk.rename(from, to).inspect_err(|_| _ = disk.remove(to))
        }
        Err(error) => Err(error),
    }
}

/// Gives the file `from` the name `to` as well; without links, a copy that is on disk and belongs to the same user. The
/// caller keeps others from writing to it meanwhile. Nothing that has that name is touched.
pub(crate) fn link_or_copy(disk: &dyn Disk, from: &Path, to: &Path) -> io::Result<()> {
    match disk.link(from, to) {
        Err(error) if has_no_links(&error) => {
            let from = disk.open(
                from,
                OpenFile {
                    write: false,
                    create: Create::Never,
                    mode: 0,
                },
            )?;
            let copied = create(disk, to)?;
            let stat = from.stat()?;
            // As for any file that is kept as evidence: its owner where that can be given, and never more rights.
            let _ = copied.set_owner(stat.uid, stat.gid, stat.mode);
            copy(&*from, &*copied).inspect_err(|_| _ = disk.remove(to))
        }
        linked => linked,
    }
}

/// Also where links are forbidden to one who does not own the file: these ways need no such right.
fn has_no_links(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), PermissionDenied | Unsupported | TooManyLinks)
}

fn create(disk: &dyn Disk, path: &Path) -> io::Result<std::sync::Arc<dyn super::DiskFile>> {
    disk.open(
        path,
        OpenFile {
            write: true,
            create: Create::New,
            mode: 0o600,
        },
    )
}

fn copy(from: &dyn super::DiskFile, to: &dyn super::DiskFile) -> io::Result<()> {
    let mut chunk = vec![0; COPIED_BYTES];
    let mut offset = 0;
    loop {
        let read = match from.read_at(&mut chunk, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let mut rest = chunk.get(..read).unwrap_or_default();
        if rest.is_empty() {
            return to.sync();
        }
        while !rest.is_empty() {
            let written = match to.write_at(rest, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                written => written?,
            };
            rest = rest.get(written..).unwrap_or_default();
            offset += written as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Call, Fault, FaultKind, SimDisk};

    #[test]
    fn a_file_that_can_have_one_name_only_takes_that_of_no_other() {
        let sim = SimDisk::new(1);
        sim.inject(Fault::new(FaultKind::Unsupported).on(Call::Link).forever());
        for path in ["/from", "/to"] {
            sim.write(path, path).unwrap();
        }
        let disk = sim.disk();
        let rename = |to: &str| rename_to_new(&*disk, Path::new("/from"), Path::new(to));
        let error = rename("/to").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(sim.read("/to").unwrap(), b"/to");
        rename("/free").unwrap();
        assert_eq!(sim.read("/free").unwrap(), b"/from");
        assert!(sim.read("/from").is_err());
    }

    /// The copy of a file whose owner can't be given to it, and the empty file of a call that was cut short.
    #[test]
    fn nobody_else_may_read_what_has_no_rights_yet() {
        for is_copy in [true, false] {
            let sim = SimDisk::new(1);
            sim.write("/from", "ids").unwrap();
            sim.inject(Fault::new(FaultKind::Unsupported).on(Call::Link).forever());
            sim.inject(Fault::new(FaultKind::Eacces).on(Call::SetOwner));
            sim.inject(Fault::new(FaultKind::Kill).on(Call::Rename));
            let (disk, from, to) = (sim.disk(), Path::new("/from"), Path::new("/to"));
            let made = match is_copy {
                true => link_or_copy(&*disk, from, to),
                false => rename_to_new(&*disk, from, to),
            };
            assert_eq!(made.is_ok(), is_copy);
            let stat = sim.process().stat(to).unwrap();
            assert_eq!(stat.mode & 0o077, 0, "is_copy {is_copy}");
        }
    }
}
