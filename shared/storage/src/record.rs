//! Stored records: JSON objects that outlive the program which wrote them.
//!
//! Each says its format (absent: 1). A record of a newer format is read all the
//! same; fields that this program does not know are ignored. A record that
//! cannot be understood is left out of lists, which name it, so that it never
//! hides the others. Labels and request ids are bare ids and have no format.
//!
//! A record that is long and seldom read may be compressed (zlib): its first
//! byte tells it from JSON, and whoever reads records reads both.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::store::Pair;

/// The format of most of what this program writes.
const FORMAT: u32 = 1;
/// The format of a job's events: what changed instead of the whole job.
pub(crate) const EVENTS_FORMAT: u32 = 2;
/// The newest format that this program knows.
const NEWEST: u32 = 2;

/// What a compressed record begins with; JSON begins with a brace.
const ZLIB: u8 = 0x78;

/// Records as a list shows them.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed<T> {
    /// The records that can be read.
    pub records: Vec<T>,
    /// Keys of the records that were left out because they cannot be
    /// understood.
    pub unreadable: Vec<String>,
}

#[derive(Serialize)]
struct Written<'a, T> {
    format: u32,
    #[serde(flatten)]
    content: &'a T,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default = "first_format")]
    format: u32,
}

fn first_format() -> u32 {
    1
}

/// Makes the bytes of a record.
pub(crate) fn encode(content: &impl Serialize) -> Vec<u8> {
    encode_as(FORMAT, content)
}

/// Makes the bytes of a record whose format has a number of its own.
pub(crate) fn encode_as(format: u32, content: &impl Serialize) -> Vec<u8> {
    let record = Written { format, content };
    serde_json::to_vec(&record).expect("plain data becomes JSON")
}

/// Compresses the bytes of a record.
pub(crate) fn packed(record: &[u8]) -> Vec<u8> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
    let written = packed.write_all(record).and_then(|()| packed.finish());
    written.expect("memory takes everything")
}

/// Reads a record, compressed or not; `what` names it when it cannot be
/// understood.
pub(crate) fn decode<T: DeserializeOwned>(
    what: &str,
    bytes: &[u8],
) -> Result<T, Error> {
    if bytes.first() != Some(&ZLIB) {
        return decode_plain(what, bytes);
    }

    let mut record = Vec::new();
    ZlibDecoder::new(bytes)
        .read_to_end(&mut record)
        .map_err(|error| Error::corrupt(what, error))?;
    decode_plain(what, &record)
}

fn decode_plain<T: DeserializeOwned>(
    what: &str,
    bytes: &[u8],
) -> Result<T, Error> {
    serde_json::from_slice(bytes)
        .map_err(|error| not_understood(what, bytes, &error))
}

fn not_understood(
    what: &str,
    bytes: &[u8],
    error: &serde_json::Error,
) -> Error {
    match serde_json::from_slice(bytes) {
        Ok(Header { format }) if format > NEWEST => {
            let reason = format!(
                "a newer program wrote it, in format {format}: {error}"
            );
            Error::corrupt(what, reason)
        }
        Ok(_) | Err(_) => Error::corrupt(what, error),
    }
}

/// Says in the log which records are left out: each once, not at every look.
#[derive(Debug, Clone, Default)]
pub(crate) struct LeftOut {
    told: Arc<Mutex<BTreeSet<String>>>,
}

impl LeftOut {
    /// Reads the records of a list; `kind` is what one of them is.
    pub(crate) fn read_all<T>(&self, kind: &str, entries: &[Pair]) -> Listed<T>
    where
        T: DeserializeOwned,
    {
        let mut records = Vec::with_capacity(entries.len());
        let mut unreadable = Vec::new();
        for Pair { key, value } in entries {
            let what = format!("{kind} {key}");
            match decode(&what, value) {
                Ok(record) => records.push(record),
                Err(error) => {
                    self.tell(what, &error);
                    unreadable.push(key.clone());
                }
            }
        }

        Listed {
            records,
            unreadable,
        }
    }

    /// Names a record that is left out.
    pub(crate) fn tell(&self, what: String, error: &Error) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.contains(&what) {
            tracing::error!(record = what, %error, "a stored record is left out");
            told.insert(what);
        }
    }
}
