//! Which file systems are a network's, read from Linux's mount table (proc(5), `/proc/self/mountinfo`).

use std::path::Path;

/// Locks and reads on these may be stale or lost: flock on NFS works, yet what another machine wrote is seen late. The
/// folders that a virtual machine or a container shares with its host count as a network's.
const NETWORK: &[&str] = &[
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "fakeowner",
    "fuse.ceph-fuse",
    "fuse.davfs",
    "fuse.gcsfuse",
    "fuse.glusterfs",
    "fuse.grpcfuse",
    "fuse.juicefs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
    "fuse.vmhgfs-fuse",
    "gfs2",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "prl_fs",
    "pvfs2",
    "smb3",
    "smbfs",
    "vboxsf",
    "virtiofs",
    "vmhgfs",
];

/// The type of the network file system that holds `path`, if it is one. `device` is what a stat of the path tells.
///
/// A mount with that device number decides, wherever it is. Where none has it (the subvolumes of btrfs and the layers of
/// overlayfs have numbers of their own), the mount point decides that is a parent of the path: of several the last in
/// the table, since a mount covers what was mounted below it before.
pub(crate) fn network_type(table: &[u8], device: u64, path: &Path) -> Option<String> {
    let path = path.as_os_str().as_encoded_bytes();
    let number = format!("{}:{}", major(device), minor(device));
    let (mut by_device, mut by_parent) = (None, None);
    for mount in table.split(|&byte| byte == b'\n').filter_map(Mount::parse) {
        if mount.device == number.as_bytes() {
            by_device = Some(mount.kind);
        }
        if is_parent(&unescape(mount.point), path) {
            by_parent = Some(mount.kind);
        }
    }
    let kind = by_device.or(by_parent)?;
    NETWORK
        .iter()
        .find(|network| network.as_bytes() == kind)
        .map(|network| (*network).to_owned())
}

/// Whether something is mounted at this very path.
pub(crate) fn is_mount_point(table: &[u8], path: &Path) -> bool {
    let path = path.as_os_str().as_encoded_bytes();
    let mut mounts = table.split(|&byte| byte == b'\n').filter_map(Mount::parse);
    mounts.any(|mount| unescape(mount.point) == path)
}

/// One line of the table, in bytes: a name of somebody's may be any.
struct Mount<'a> {
    device: &'a [u8],
    point: &'a [u8],
    kind: &'a [u8],
}

impl Mount<'_> {
    /// `id parent major:minor root point options [optional fields] - type source options`
    fn parse(line: &[u8]) -> Option<Mount<'_>> {
        let mut fields = line.split(|&byte| byte == b' ');
        let device = fields.nth(2)?;
        let point = fields.nth(1)?;
        fields.find(|field| field == b"-")?;
        let kind = fields.next()?;
        Some(Mount {
            device,
            point,
            kind,
        })
    }
}

/// Linux's own division of a device number, as in glibc's `gnu_dev_major`.
fn major(device: u64) -> u64 {
    (device >> 32) & 0xffff_f000 | (device >> 8) & 0xfff
}

fn minor(device: u64) -> u64 {
    (device >> 12) & 0xffff_ff00 | device & 0xff
}

/// Whether `path` is `folder` or lies in it.
fn is_parent(folder: &[u8], path: &[u8]) -> bool {
    let folder = folder.strip_suffix(b"/").unwrap_or(folder);
    let rest = path.strip_prefix(folder);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The kernel writes space, tab, newline and backslash as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.first_chunk::<3>().filter(|_| byte == b'\\');
        let value = code
            .and_then(|code| std::str::from_utf8(code).ok())
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        plain.push(value.unwrap_or(byte));
        rest = match value {
            Some(_) => after.get(3..).unwrap_or_default(),
            None => after,
        };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:50 / /srv rw,relatime shared:2 - nfs4 host:/srv rw,vers=4.2
31 30 254:3 / /srv/local rw,relatime - xfs /dev/vdb rw
32 22 0:51 / /mnt/with\\040space rw - cifs //host/share rw
33 22 0:52 / /twice rw - nfs host:/a rw
34 22 254:4 / /twice rw - ext4 /dev/vdc rw
35 22 254:5 / /below/it rw - ext4 /dev/vdd rw
36 22 0:53 / /below rw - fuse.sshfs host: rw
37 22 0:54 / /name-\xff\xfe rw - 9p share rw
38 22 0:55 / /mnt/a-\\134040 rw master:1 propagate_from:2 - vboxsf vm rw
39 22 259:260 / /far rw - ext4 /dev/nvme0n1p4 rw
a line that is none
40 22 0:56 / /cut rw";

    /// Of no mount in the table.
    const UNKNOWN: u64 = 0xffff;

    #[test]
    fn the_last_mount_that_covers_a_path_decides() {
        let kind = |path: &str| network_type(TABLE, UNKNOWN, Path::new(path));
        assert_eq!(kind("/var/lib/s.shelf"), None);
        assert_eq!(kind("/srv/s.shelf").as_deref(), Some("nfs4"));
        assert_eq!(kind("/srv").as_deref(), Some("nfs4"));
        assert_eq!(kind("/srv/local/s.shelf"), None);
        assert_eq!(
            kind("/srvother/s.shelf"),
            None,
            "a prefix of the text is not a parent folder"
        );
        assert_eq!(kind("/mnt/with space/s.shelf").as_deref(), Some("cifs"));
        assert_eq!(kind("/mnt/a-\\040/s.shelf").as_deref(), Some("vboxsf"));
        assert_eq!(kind("/twice/s.shelf"), None);
        assert_eq!(kind("/cut/s.shelf"), None);
        assert_eq!(
            kind("/below/it/s.shelf").as_deref(),
            Some("fuse.sshfs"),
            "a later mount covers what was mounted below it"
        );
        assert_eq!(network_type(b"", 0, Path::new("/x")), None);
    }

    #[test]
    fn a_name_that_is_not_utf8_hides_no_mount() {
        let kind = |path: &str| network_type(TABLE, UNKNOWN, Path::new(path));
        assert_eq!(kind("/srv/s.shelf").as_deref(), Some("nfs4"));
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            let path = Path::new(std::ffi::OsStr::from_bytes(b"/name-\xff\xfe/s.shelf"));
            assert_eq!(network_type(TABLE, UNKNOWN, path).as_deref(), Some("9p"));
        }
    }

    #[test]
    fn the_device_number_decides_before_any_mount_point() {
        let kind = |device, path: &str| network_type(TABLE, device, Path::new(path));
        assert_eq!(kind(50, "/var/s.shelf").as_deref(), Some("nfs4"));
        assert_eq!(kind(254 << 8, "/srv/s.shelf"), None, "a folder bound there");
        // 259:260, whose minor number does not fit a byte.
        assert_eq!(kind(259 << 8 | 1 << 20 | 4, "/srv/s.shelf"), None);
        assert_eq!((major(0x1_0345), minor(0x1_0345)), (0x103, 0x45));
        assert_eq!(minor(259 << 8 | 1 << 20 | 4), 260);
    }
}
