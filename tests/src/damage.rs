//! Files on disk that are not any more what somebody wrote.

use std::path::{Path, PathBuf};

/// Changes one bit of a file's last byte; its length stays.
pub fn flip_a_bit(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let last = bytes.last_mut().expect("the file is not empty");
    *last ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// Cuts the last byte of a file off.
pub fn cut_the_end_off(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes.pop().expect("the file is not empty");
    std::fs::write(file, bytes).unwrap();
}

/// The largest file of a folder.
pub fn largest_file(folder: &Path) -> PathBuf {
    let files = entries(folder).into_iter();
    let largest = files.max_by_key(|path| path.metadata().unwrap().len());
    largest.unwrap_or_else(|| panic!("{} is empty", folder.display()))
}

/// The files and folders of a folder, by name; none where there is no such
/// folder.
pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        entries.push(entry.unwrap().path());
    }
    entries.sort();
    entries
}
