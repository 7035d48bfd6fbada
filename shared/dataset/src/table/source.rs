//! Opens files: what is packed is unpacked, other encodings become UTF-8, and
//! what cannot be read is refused by what it is. The first bytes say so, never
//! the name.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use encoding_rs_io::DecodeReaderBytesBuilder;
use zip::ZipArchive;

use crate::error::Error;

/// A file, and what people call it.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Where it is opened.
    pub(crate) path: PathBuf,
    /// Where people find it: a file of an archive is opened somewhere else.
    pub(crate) shown: PathBuf,
}

/// What holds the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    Parquet,
    Npz,
    /// Text that begins with an object or a list.
    Json,
    Text,
}

/// Bytes that are read from a file at once.
const BUFFER: usize = 1 << 16;

/// Bytes that are looked at to find out what a file is.
const HEAD: usize = 1 << 16;

const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
const ZIP: &[u8] = b"PK\x03\x04";

/// First bytes of files that are not read, and what to do with them.
const REFUSED: [(&[u8], &str); 16] = [
    (b"BZh", "is packed with bzip2; unpack it first"),
    (b"\xfd7zXZ\0", "is packed with xz; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive; unpack it first"),
    (b"Rar!", "is a RAR archive; unpack it first"),
    (
        b"\xff\x06\0\0sNaPpY",
        "is packed with snappy; unpack it first",
    ),
    (b"\x04\x22\x4d\x18", "is packed with lz4; unpack it first"),
    (
        b"\x89HDF",
        "is an HDF5 file; save the table as Parquet or CSV",
    ),
    (
        b"SQLite format 3",
        "is a SQLite database; export the table as CSV",
    ),
    (b"ORC", "is an ORC file; save the table as Parquet"),
    (b"Obj\x01", "is an Avro file; save the table as Parquet"),
    (b"ARROW1", "is an Arrow file; save the table as Parquet"),
    (b"FEA1", "is a Feather file; save the table as Parquet"),
    (
        b"\x93NUMPY",
        "is one NumPy array; save the table as CSV or Parquet",
    ),
    (
        b"\xd0\xcf\x11\xe0",
        "is an Excel workbook; save the sheet as CSV",
    ),
    (b"%PDF", "is a PDF"),
    (b"RDX", "is an R data file; save the table as CSV"),
];

impl Source {
    /// A file that is opened where people find it.
    pub(crate) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            shown: path.to_owned(),
        }
    }

    /// Finds out what holds the rows; refuses what is not read, by its name.
    pub(crate) fn container(&self) -> Result<Container, Error> {
        let raw = self.raw_head()?;
        if raw.is_empty() {
            return Err(self.malformed("is empty"));
        }
        if raw.starts_with(b"PAR1") {
            return Ok(Container::Parquet);
        }
        if raw.starts_with(ZIP) {
            return self.zip_container();
        }
        let head = self.head()?;
        self.refuse_what_is_no_text(&head)?;
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head);
        let mut marks = text.iter().filter(|byte| !byte.is_ascii_whitespace());
        Ok(match (marks.next(), marks.next()) {
            (Some(b'{'), _) => Container::Json,
            // A header such as `[user_id],[item_id]` begins with a letter.
            (Some(b'['), Some(b'{' | b'[' | b']')) => Container::Json,
            (Some(_), _) => Container::Text,
            (None, _) => return Err(self.malformed("holds white space only")),
        })
    }

    fn refuse_what_is_no_text(&self, head: &[u8]) -> Result<(), Error> {
        for (magic, advice) in REFUSED {
            if head.starts_with(magic) {
                return Err(self.malformed(advice));
            }
        }
        if head.get(257..262) == Some(b"ustar") {
            return Err(self.malformed("is a tar archive; unpack it first"));
        }
        if head.starts_with(b"\x80") {
            return Err(self.malformed(
                "is a Python pickle, which is never opened; save the table as CSV or Parquet",
            ));
        }
        if head.contains(&0) {
            return Err(self.malformed(
                "is no text, and no other kind of file that is read",
            ));
        }
        Ok(())
    }

    /// True for an archive that is to be unpacked.
    pub(crate) fn is_zip(&self) -> Result<bool, Error> {
        Ok(self.raw_head()?.starts_with(ZIP)
            && self.zip_container().ok() != Some(Container::Npz))
    }

    /// A zip of NumPy arrays; any other zip should have been unpacked.
    fn zip_container(&self) -> Result<Container, Error> {
        let archive = self.archive()?;
        let mut names = archive.file_names().flatten();
        if names.any(|name| name.ends_with(".npy")) {
            return Ok(Container::Npz);
        }
        Err(self.malformed("is a zip archive inside of another; unpack it"))
    }

    fn archive(&self) -> Result<ZipArchive<BufReader<File>>, Error> {
        let file = File::open(&self.path).map_err(Error::file(&self.shown))?;
        ZipArchive::new(BufReader::new(file))
            .map_err(|e| self.malformed(format!("is a damaged zip ({e})")))
    }

    /// Unpacks an archive into a folder.
    pub(crate) fn unpack(&self, folder: &Path) -> Result<(), Error> {
        let mut archive = self.archive()?;
        let is_workbook = archive
            .file_names()
            .flatten()
            .any(|name| name == "[Content_Types].xml");
        if is_workbook {
            return Err(
                self.malformed("is an Excel workbook; save the sheet as CSV")
            );
        }
        archive.extract(folder).map_err(|e| {
            self.malformed(format!("the zip cannot be unpacked: {e}"))
        })
    }

    /// The file's first bytes as they are.
    fn raw_head(&self) -> Result<Vec<u8>, Error> {
        let file = File::open(&self.path).map_err(Error::file(&self.shown))?;
        first_bytes(file, 16).map_err(Error::file(&self.shown))
    }

    /// The first bytes, unpacked and in UTF-8 or what looks like it.
    pub(crate) fn head(&self) -> Result<Vec<u8>, Error> {
        first_bytes(self.open()?, HEAD).map_err(Error::file(&self.shown))
    }

    /// Opens the text: unpacked, and decoded where it is UTF-16.
    pub(crate) fn open(&self) -> Result<Box<dyn BufRead>, Error> {
        let head = first_bytes(self.unpacked()?, 1024);
        let head = head.map_err(Error::file(&self.shown))?;
        let unpacked = self.unpacked()?;
        let Some(encoding) = two_byte_encoding(&head) else {
            return Ok(Box::new(BufReader::with_capacity(BUFFER, unpacked)));
        };
        let decoded = DecodeReaderBytesBuilder::new()
            .encoding(Some(encoding))
            .build(unpacked);
        Ok(Box::new(BufReader::with_capacity(BUFFER, decoded)))
    }

    fn unpacked(&self) -> Result<Box<dyn Read>, Error> {
        let raw = self.raw_head()?;
        let file = File::open(&self.path).map_err(Error::file(&self.shown))?;
        if raw.starts_with(GZIP) {
            return Ok(Box::new(flate2::read::MultiGzDecoder::new(file)));
        }
        if raw.starts_with(ZSTD) {
            let unpacked = zstd::Decoder::new(file);
            return Ok(Box::new(unpacked.map_err(Error::file(&self.shown))?));
        }
        Ok(Box::new(file))
    }

    /// An error about this file.
    pub(crate) fn malformed(&self, reason: impl std::fmt::Display) -> Error {
        Error::malformed(&self.shown, reason)
    }
}

fn first_bytes(file: impl Read, n: usize) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(n as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// UTF-16, by its mark or by where the zero bytes of Latin letters stand.
fn two_byte_encoding(head: &[u8]) -> Option<&'static Encoding> {
    if head.starts_with(b"\xff\xfe") {
        return Some(UTF_16LE);
    }
    if head.starts_with(b"\xfe\xff") {
        return Some(UTF_16BE);
    }
    let (mut zeros, n) = ([0, 0], head.len());
    for (place, byte) in head.iter().enumerate() {
        zeros[place % 2] += usize::from(*byte == 0);
    }
    let is_most = |n_zeros: usize| n >= 4 && n_zeros * 3 > n;
    match (is_most(zeros[0]), is_most(zeros[1])) {
        (false, true) => Some(UTF_16LE),
        (true, false) => Some(UTF_16BE),
        (true, true) | (false, false) => None,
    }
}
