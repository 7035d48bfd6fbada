//! Records of a text file: a line, or several where a quoted cell has line ends
//! in it.

use std::ops::Range;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};

use crate::table::lines::Lines;

/// What stands between two cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Separator {
    /// One character of one byte.
    Byte(u8),
    /// Several characters, such as `::`.
    Text(String),
    /// Any white space, however long.
    Spaces,
}

/// How quotes around cells are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// They are characters like any other.
    Plain,
    /// They enclose a cell; two of them inside are one.
    Enclosing,
    /// The same, and `\"` inside is one, too.
    Escaped,
}

/// Why a record cannot be read.
pub(crate) enum Unreadable {
    /// The file cannot be read on.
    File(std::io::Error),
    /// The quote that opens on this line is not closed where its cell ends.
    UnclosedQuote(usize),
}

/// Most bytes of a record of several lines; a longer one has an open quote.
const LONGEST_RECORD: usize = 1 << 24;

/// Reads a file record by record.
pub(crate) struct Records {
    pub(crate) lines: Lines,
    separator: Separator,
    quotes: Quotes,
    unquoting: Reader,
    raw: String,
    /// The cells of a record with quotes, one after another.
    unquoted: Vec<u8>,
    ends: Vec<usize>,
    is_unquoted: bool,
    cells: Vec<Range<usize>>,
}

impl Records {
    pub(crate) fn new(
        lines: Lines,
        separator: Separator,
        quotes: Quotes,
    ) -> Self {
        let mut builder = ReaderBuilder::new();
        builder.terminator(Terminator::Any(b'\n'));
        if let Separator::Byte(byte) = separator {
            builder.delimiter(byte);
        }
        if quotes == Quotes::Escaped {
            builder.escape(Some(b'\\'));
        }
        Self {
            lines,
            separator,
            quotes,
            unquoting: builder.build(),
            raw: String::new(),
            unquoted: vec![0; 1 << 10],
            ends: vec![0; 1 << 6],
            is_unquoted: false,
            cells: Vec::new(),
        }
    }

    /// Reads the next record that is not blank; returns the line where it
    /// begins.
    pub(crate) fn read(&mut self) -> Result<Option<usize>, Unreadable> {
        loop {
            let line = self.lines.next().map_err(Unreadable::File)?;
            let Some(line) = line else {
                return Ok(None);
            };
            if line.trim().is_empty() {
                continue;
            }
            self.raw.clear();
            self.raw.push_str(line);
            let start = self.lines.number;
            self.cells.clear();
            self.is_unquoted = self.quotes != Quotes::Plain
                && self.raw.as_bytes().contains(&b'"');
            if self.is_unquoted {
                self.unquote(start)?;
            } else {
                self.split();
            }
            return Ok(Some(start));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// One cell of the record.
    pub(crate) fn cell(&self, position: usize) -> &str {
        let range = self.cells[position].clone();
        if self.is_unquoted {
            std::str::from_utf8(&self.unquoted[range]).unwrap_or_default()
        } else {
            &self.raw[range]
        }
    }

    /// Splits a line without quotes.
    fn split(&mut self) {
        match &self.separator {
            Separator::Byte(byte) => {
                split_at(&self.raw, char::from(*byte), 1, &mut self.cells);
            }
            Separator::Text(text) => {
                let mut start = 0;
                for (place, found) in self.raw.match_indices(text) {
                    self.cells.push(start..place);
                    start = place + found.len();
                }
                self.cells.push(start..self.raw.len());
            }
            Separator::Spaces => {
                let base = self.raw.as_ptr() as usize;
                for word in self.raw.split_whitespace() {
                    let start = word.as_ptr() as usize - base;
                    self.cells.push(start..start + word.len());
                }
            }
        }
    }

    /// Takes the quotes off a record's cells, and reads on where one of them
    /// goes over the line.
    fn unquote(&mut self, start: usize) -> Result<(), Unreadable> {
        let (mut n_read, mut n_bytes, mut n_ends) = (0, 0, 0);
        self.raw.push('\n');
        loop {
            let (result, read, bytes, ends) = self.unquoting.read_record(
                &self.raw.as_bytes()[n_read..],
                &mut self.unquoted[n_bytes..],
                &mut self.ends[n_ends..],
            );
            n_read += read;
            n_bytes += bytes;
            n_ends += ends;
            match result {
                ReadRecordResult::OutputFull => {
                    self.unquoted.resize(self.unquoted.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull => {
                    self.ends.resize(self.ends.len() * 2, 0);
                }
                ReadRecordResult::InputEmpty => self.read_on(start)?,
                ReadRecordResult::Record | ReadRecordResult::End => break,
            }
        }
        let is_long = self.lines.number > start;
        if is_long && let Some(place) = self.badly_closed() {
            return Err(self.unclosed(start, place));
        }
        let mut from = 0;
        for &end in &self.ends[..n_ends] {
            self.cells.push(from..end);
            from = end;
        }
        Ok(())
    }

    /// Adds the next line to a record whose cell goes over the line.
    fn read_on(&mut self, start: usize) -> Result<(), Unreadable> {
        if self.raw.len() < LONGEST_RECORD {
            let line = self.lines.next().map_err(Unreadable::File)?;
            if let Some(line) = line {
                self.raw.push_str(line);
                self.raw.push('\n');
                return Ok(());
            }
        }
        let place = self.last_opening();
        Err(self.unclosed(start, place))
    }

    fn unclosed(&self, start: usize, place: usize) -> Unreadable {
        let before = &self.raw.as_bytes()[..place];
        let n_lines = before.iter().filter(|&&byte| byte == b'\n').count();
        Unreadable::UnclosedQuote(start + n_lines)
    }

    /// Where a quote opens that is followed by more than a separator after it
    /// was closed: what closed it was the next cell's quote.
    fn badly_closed(&self) -> Option<usize> {
        self.scan().1
    }

    /// Where the last quote opens.
    fn last_opening(&self) -> usize {
        self.scan().0
    }

    /// The last opening quote, and the first one that is badly closed.
    fn scan(&self) -> (usize, Option<usize>) {
        let bytes = self.raw.as_bytes();
        let (mut is_open, mut opening, mut place) = (false, 0, 0);
        let mut is_at_start = true;
        while place < bytes.len() {
            let byte = bytes[place];
            if is_open && byte == b'\\' && self.quotes == Quotes::Escaped {
                place += 1;
            } else if is_open && byte == b'"' {
                match bytes.get(place + 1) {
                    Some(b'"') => place += 1,
                    Some(&next) if !self.ends_cell(next) => {
                        return (opening, Some(opening));
                    }
                    Some(_) | None => is_open = false,
                }
            } else if !is_open && byte == b'"' && is_at_start {
                is_open = true;
                opening = place;
            }
            is_at_start = !is_open && self.ends_cell(byte);
            place += 1;
        }
        (opening, None)
    }

    fn ends_cell(&self, byte: u8) -> bool {
        byte == b'\n' || self.separator == Separator::Byte(byte)
    }
}

fn split_at(
    line: &str,
    separator: char,
    width: usize,
    cells: &mut Vec<Range<usize>>,
) {
    let mut start = 0;
    for cell in line.split(separator) {
        cells.push(start..start + cell.len());
        start += cell.len() + width;
    }
}
