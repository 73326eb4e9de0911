//! The operating system's disk. Each method asks the system for one thing, and decides nothing.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The real disk of Linux, macOS, FreeBSD, NetBSD, OpenBSD and illumos, whose locks belong to the open file.
///
/// Elsewhere opening says `Unsupported`, and creates nothing: a lock of Solaris belongs to the process, so that two
/// handles of one would not exclude each other; for Android and DragonFly std has no lock; and what is not Unix lacks
/// more than that.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

/// Time since the first call.
fn monotonic() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

#[cfg(any(
    target_os = "linux",
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "illumos"
))]
mod unix {
    use super::super::{Create, Disk, DiskFile, OpenFile, Stat, sealed::Sealed};
    use super::OsDisk;
    use std::ffi::OsString;
    use std::fmt;
    use std::fs::{self, File, OpenOptions, TryLockError};
    use std::io::{self, Seek, SeekFrom};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    struct OsFile(File);

    /// The one of `File` looks up the path in /proc, and each user of a file here has the path beside it.
    impl fmt::Debug for OsFile {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("OsFile")
        }
    }

    impl Sealed for OsDisk {}
    impl Sealed for OsFile {}

    fn stat_of(meta: fs::Metadata) -> Stat {
        Stat {
            device: meta.dev(),
            inode: meta.ino(),
            size_bytes: meta.size(),
            links: meta.nlink(),
            is_file: meta.is_file(),
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
        }
    }

    impl Disk for OsDisk {
        fn open(&self, path: &Path, how: OpenFile) -> io::Result<Arc<dyn DiskFile>> {
            let file = OpenOptions::new()
                .read(true)
                .write(how.write)
                .create(how.create == Create::IfMissing)
                .create_new(how.create == Create::New)
                .mode(how.mode)
                .open(path)?;
            Ok(Arc::new(OsFile(file)))
        }

        fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
            fs::canonicalize(path)
        }

        fn stat(&self, path: &Path) -> io::Result<Stat> {
            fs::metadata(path).map(stat_of)
        }

        fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
            fs::read_dir(dir)?
                .map(|entry| entry.map(|entry| entry.file_name()))
                .collect()
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            fs::rename(from, to)
        }

        fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
            fs::hard_link(from, to)
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            fs::remove_file(path)
        }

        fn sync_dir(&self, dir: &Path) -> io::Result<()> {
            File::open(dir)?.sync_all()
        }

        #[cfg(target_os = "linux")]
        fn network_file_system(&self, path: &Path) -> io::Result<Option<String>> {
            let Ok(table) = fs::read("/proc/self/mountinfo") else {
                return Ok(None);
            };
            let device = fs::metadata(path)?.dev();
            Ok(super::super::mounts::network_type(&table, device, path))
        }

        /// Only Linux tells without a call that std does not have.
        #[cfg(not(target_os = "linux"))]
        fn network_file_system(&self, _: &Path) -> io::Result<Option<String>> {
            Ok(None)
        }

        #[cfg(target_os = "linux")]
        fn is_mount_point(&self, path: &Path) -> bool {
            fs::read("/proc/self/mountinfo")
                .is_ok_and(|table| super::super::mounts::is_mount_point(&table, path))
        }

        fn random(&self, buf: &mut [u8]) -> io::Result<()> {
            io::Read::read_exact(&mut File::open("/dev/urandom")?, buf)
        }

        fn wall_clock(&self) -> SystemTime {
            SystemTime::now()
        }

        fn monotonic(&self) -> Duration {
            super::monotonic()
        }

        fn sleep(&self, duration: Duration) {
            std::thread::sleep(duration);
        }

        fn process(&self) -> u32 {
            std::process::id()
        }
    }

    impl DiskFile for OsFile {
        fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
            self.0.read_at(buf, offset)
        }

        fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
            self.0.write_at(buf, offset)
        }

        fn set_len(&self, len_bytes: u64) -> io::Result<()> {
            self.0.set_len(len_bytes)
        }

        fn sync(&self) -> io::Result<()> {
            self.0.sync_data()
        }

        fn size(&self) -> io::Result<u64> {
            // Nothing here reads or writes at the position that this moves.
            (&self.0).seek(SeekFrom::End(0))
        }

        fn reads_beside(&self) -> bool {
            true
        }

        fn is_named(&self, path: &Path) -> bool {
            let name = format!("/proc/self/fd/{}", self.0.as_raw_fd());
            fs::read_link(name).is_ok_and(|name| name == path)
        }

        fn stat(&self) -> io::Result<Stat> {
            self.0.metadata().map(stat_of)
        }

        fn touch(&self) -> io::Result<()> {
            self.0.set_modified(SystemTime::now())
        }

        fn set_owner(&self, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
            // The owner first: chown clears bits that chmod then sets.
            fchown(&self.0, Some(uid), Some(gid))?;
            self.0.set_permissions(fs::Permissions::from_mode(mode))
        }

        fn try_lock(&self) -> io::Result<bool> {
            match self.0.try_lock() {
                Ok(()) => Ok(true),
                Err(TryLockError::WouldBlock) => Ok(false),
                Err(TryLockError::Error(error)) => Err(error),
            }
        }

        fn unlock(&self) -> io::Result<()> {
            self.0.unlock()
        }
    }
}

#[cfg(not(any(
    target_os = "linux",
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "illumos"
)))]
mod elsewhere {
    use super::super::{Disk, DiskFile, OpenFile, Stat, sealed::Sealed};
    use super::OsDisk;
    use std::ffi::OsString;
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    impl Sealed for OsDisk {}

    fn unsupported<T>() -> io::Result<T> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "no lock on this platform belongs to an open file, as the store needs",
        ))
    }

    impl Disk for OsDisk {
        fn open(&self, _: &Path, _: OpenFile) -> io::Result<Arc<dyn DiskFile>> {
            unsupported()
        }
        fn resolve(&self, _: &Path) -> io::Result<PathBuf> {
            unsupported()
        }
        fn stat(&self, _: &Path) -> io::Result<Stat> {
            unsupported()
        }
        fn list(&self, _: &Path) -> io::Result<Vec<OsString>> {
            unsupported()
        }
        fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
            unsupported()
        }
        fn link(&self, _: &Path, _: &Path) -> io::Result<()> {
            unsupported()
        }
        fn remove(&self, _: &Path) -> io::Result<()> {
            unsupported()
        }
        fn sync_dir(&self, _: &Path) -> io::Result<()> {
            unsupported()
        }
        fn network_file_system(&self, _: &Path) -> io::Result<Option<String>> {
            unsupported()
        }
        fn random(&self, _: &mut [u8]) -> io::Result<()> {
            unsupported()
        }
        fn wall_clock(&self) -> SystemTime {
            SystemTime::now()
        }
        fn monotonic(&self) -> Duration {
            super::monotonic()
        }
        fn sleep(&self, duration: Duration) {
            std::thread::sleep(duration);
        }
        fn process(&self) -> u32 {
            std::process::id()
        }
    }
}
