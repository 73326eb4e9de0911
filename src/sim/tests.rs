//! The simulated machine keeps what it promises to those who test on it.

mod calls;
mod faults;
mod images;
mod schedules;

use super::*;
use crate::store::disk::{Create, Disk, DiskFile, OpenFile, os::OsDisk};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

const ANY: OpenFile = OpenFile {
    write: true,
    create: Create::IfMissing,
    mode: 0o600,
};

fn open(disk: &dyn Disk, path: &str) -> Arc<dyn DiskFile> {
    disk.open(Path::new(path), ANY).unwrap()
}

/// Results without what may differ: the wording of an error, the numbers of inodes.
fn outcome<T: fmt::Debug>(result: io::Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// The contents of all files after each power cut.
fn left(cuts: PowerCuts) -> BTreeSet<BTreeMap<OsString, Vec<u8>>> {
    let files = |sim: &SimDisk| {
        let names = sim.disk().list(Path::new("/")).unwrap().into_iter();
        names
            .map(|name| (name.clone(), sim.read(&name).unwrap()))
            .collect()
    };
    cuts.map(|cut| files(cut.sim())).collect()
}

/// The contents of a file after each power cut: all of them leave the file.
fn left_of(path: &str, cuts: PowerCuts) -> BTreeSet<Vec<u8>> {
    let bytes = |cut: PowerCut| {
        cut.sim()
            .read(path)
            .unwrap_or_else(|error| panic!("{}: {error}", cut.id()))
    };
    cuts.map(bytes).collect()
}

fn files<const N: usize>(files: [(&str, &str); N]) -> BTreeMap<OsString, Vec<u8>> {
    files
        .map(|(name, bytes)| (name.into(), bytes.into()))
        .into()
}
