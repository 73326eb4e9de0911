use std::path::Path;
pub(super) fn do_all_that_creates_files(_: &Path) {}
pub(super) fn compact(_: &Path) {}
