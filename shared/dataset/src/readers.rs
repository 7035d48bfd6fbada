//! One reader a form; each feeds the builder.

pub(crate) mod delimited;
pub(crate) mod jsonl;
pub(crate) mod movielens;
pub(crate) mod npz;
pub(crate) mod parquet;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::Error;

/// Opens a file, unpacking it when its name ends in `.gz`.
fn open(path: &Path) -> Result<BufReader<Box<dyn Read>>, Error> {
    let file = File::open(path).map_err(Error::file(path))?;
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let reader: Box<dyn Read> = if packed {
        Box::new(flate2::read::MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    Ok(BufReader::with_capacity(1 << 16, reader))
}

/// A title as people read it: HTML entities decoded, white space trimmed.
fn clean_title(title: &str) -> String {
    html_escape::decode_html_entities(title.trim()).into_owned()
}
