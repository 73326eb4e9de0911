//! Which file systems are a network's, read from Linux's mount table (proc(5), `/proc/self/mountinfo`).

use std::path::Path;

/// Locks and reads on these may be stale or lost: flock on NFS works, yet what another machine wrote is seen late.
const NETWORK: &[&str] = &[
    "9p",
    "afs",
    "ceph",
    "cifs",
    "coda",
    "fuse.glusterfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
    "gfs2",
    "glusterfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "smb3",
    "smbfs",
    "virtiofs",
];

/// The type of the network file system that holds `path`, if it is one: the longest mount point that is a prefix wins,
/// and of equal ones the last, which covers those before it.
pub(crate) fn network_type(table: &str, path: &Path) -> Option<String> {
    let mut best: Option<(usize, &str)> = None;
    for line in table.lines() {
        let Some((before, after)) = line.split_once(" - ") else {
            continue;
        };
        let Some(mount_point) = before.split(' ').nth(4) else {
            continue;
        };
        let Some(kind) = after.split(' ').next() else {
            continue;
        };
        let mount_point = unescape(mount_point);
        if path.starts_with(&mount_point) && best.is_none_or(|(len, _)| mount_point.len() >= len) {
            best = Some((mount_point.len(), kind));
        }
    }
    best.filter(|(_, kind)| NETWORK.contains(kind))
        .map(|(_, kind)| kind.to_string())
}

/// Whether something is mounted at this very path.
pub(crate) fn is_mount_point(table: &str, path: &Path) -> bool {
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points
        .into_iter()
        .any(|point| Path::new(&unescape(point)) == path)
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &str) -> String {
    let mut plain = field.to_string();
    for (code, byte) in [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ] {
        plain = plain.replace(code, byte);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:50 / /srv rw,relatime shared:2 - nfs4 host:/srv rw,vers=4.2
31 30 254:3 / /srv/local rw,relatime - xfs /dev/vdb rw
32 22 0:51 / /mnt/with\\040space rw - cifs //host/share rw
33 22 0:52 / /twice rw - nfs host:/a rw
34 22 254:4 / /twice rw - ext4 /dev/vdc rw
a line that is none";

    #[test]
    fn the_longest_mount_point_decides_and_the_last_of_equal_ones() {
        let kind = |path: &str| network_type(TABLE, Path::new(path));
        assert_eq!(kind("/var/lib/s.shelf"), None);
        assert_eq!(kind("/srv/s.shelf").as_deref(), Some("nfs4"));
        assert_eq!(kind("/srv/local/s.shelf"), None);
        assert_eq!(
            kind("/srvother/s.shelf"),
            None,
            "a prefix of the text is not a parent folder"
        );
        assert_eq!(kind("/mnt/with space/s.shelf").as_deref(), Some("cifs"));
        assert_eq!(kind("/twice/s.shelf"), None);
        assert_eq!(network_type("", Path::new("/x")), None);
    }
}
