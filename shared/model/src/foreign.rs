//! What a file is that cannot be read as what its name says: the usual
//! mix-ups, each with the way out.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// So many first bytes tell.
const N_BYTES: u64 = 64;

const GIT_LFS_POINTER: &str = "it is a Git LFS pointer, not the file itself: run `git lfs install` and \
     `git lfs pull` where it was cloned, or download the file";
const WEB_PAGE: &str = "it is a web page: the download was answered by one, as where a licence \
     must be accepted first; accept it and download the file again";
const PICKLE: &str = "it is a PyTorch file under another name; save the model \
     with `save_pretrained(folder, safe_serialization=True)`";
const EMPTY: &str = "it is empty; download it again";

/// How a file of each kind begins.
const KINDS: [(&[u8], &str); 6] = [
    (b"version https://git-lfs", GIT_LFS_POINTER),
    (b"<!DOCTYPE", WEB_PAGE),
    (b"<!doctype", WEB_PAGE),
    (b"<html", WEB_PAGE),
    (b"PK\x03\x04", PICKLE),
    (b"\x80\x02", PICKLE),
];

/// Says what lies at `path` and what to do; none where it is nothing that is
/// often mixed up.
pub(crate) fn explain(path: &Path) -> Option<&'static str> {
    let mut start = Vec::new();
    let file = File::open(path).ok()?;
    file.take(N_BYTES).read_to_end(&mut start).ok()?;
    if start.is_empty() {
        return Some(EMPTY);
    }
    let kind = KINDS.iter().find(|(begin, _)| start.starts_with(begin));
    kind.map(|(_, advice)| *advice)
}
