//! What the readers have in common: opening a file, and cleaning a title.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::error::Error;

/// Bytes that are read from a file at once.
const BUFFER: usize = 1 << 16;

/// Opens a file, unpacking it when its name ends in `.gz`.
pub(crate) fn open(path: &Path) -> Result<BufReader<Box<dyn Read>>, Error> {
    let file = File::open(path).map_err(Error::file(path))?;
    let is_packed = path.extension().is_some_and(|extension| extension == "gz");
    let reader: Box<dyn Read> = if is_packed {
        Box::new(flate2::read::MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    Ok(BufReader::with_capacity(BUFFER, reader))
}

/// A title as people read it: HTML entities decoded, white space trimmed.
pub(crate) fn clean_title(title: &str) -> String {
    html_escape::decode_html_entities(title.trim()).into_owned()
}
