//! Lines of text with their numbers: `\n`, `\r\n` and lone `\r` end one. UTF-8,
//! and Windows' Latin-1 for the lines that are none.

use std::io::{BufRead, Error, ErrorKind, Read, Result};

use encoding_rs::WINDOWS_1252;

/// Most bytes of a line: a small gzip file can unpack to one enormous line.
const LONGEST: u64 = 64 << 20;

/// Reads a file line by line.
pub(crate) struct Lines {
    reader: Box<dyn BufRead>,
    bytes: Vec<u8>,
    decoded: String,
    /// Number of the last line, from 1.
    pub(crate) number: usize,
    /// How many lines were no UTF-8.
    pub(crate) n_latin_1: usize,
    end: u8,
}

impl Lines {
    /// `head` is the beginning of what `reader` gives: it tells the line ends.
    pub(crate) fn new(reader: Box<dyn BufRead>, head: &[u8]) -> Self {
        let is_old_mac = head.contains(&b'\r') && !head.contains(&b'\n');
        Self {
            reader,
            bytes: Vec::new(),
            decoded: String::new(),
            number: 0,
            n_latin_1: 0,
            end: if is_old_mac { b'\r' } else { b'\n' },
        }
    }

    /// The next line without its end; `None` after the last.
    pub(crate) fn next(&mut self) -> Result<Option<&str>> {
        self.bytes.clear();
        let mut part = self.reader.by_ref().take(LONGEST + 1);
        if part.read_until(self.end, &mut self.bytes)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.bytes.len() as u64 > LONGEST {
            return Err(Error::new(
                ErrorKind::InvalidData,
                format!(
                    "line {} has more than {} MiB: no file of rows is like that",
                    self.number,
                    LONGEST >> 20
                ),
            ));
        }
        if self.bytes.last() == Some(&self.end) {
            self.bytes.pop();
        }
        if self.bytes.last() == Some(&b'\r') {
            self.bytes.pop();
        }
        let mut line = self.bytes.as_slice();
        if self.number == 1 {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if let Ok(text) = std::str::from_utf8(line) {
            return Ok(Some(text));
        }
        self.n_latin_1 += 1;
        let (text, _) = WINDOWS_1252.decode_without_bom_handling(line);
        self.decoded = text.into_owned();
        Ok(Some(&self.decoded))
    }
}
