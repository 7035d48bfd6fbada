//! The objects of a JSON file as text: one or more a line, or one over many
//! lines, in a list or not.

use crate::error::Error;
use crate::table::json::is_whole;
use crate::table::lines::Lines;
use crate::table::source::Source;

/// How objects stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Each line is whole.
    Lines,
    /// Objects go over several lines.
    Document,
}

/// Lines that are looked at to tell the shape.
const N_LOOKED_AT: usize = 20;

/// Finds out whether lines are whole objects.
pub(crate) fn shape(source: &Source) -> Result<Shape, Error> {
    let head = source.head()?;
    let mut lines = Lines::new(source.open()?, &head);
    let (mut n, mut n_whole) = (0, 0);
    while n < N_LOOKED_AT {
        let line = lines.next().map_err(Error::file(&source.shown))?;
        let Some(line) = line.map(str::trim) else {
            break;
        };
        if line.is_empty() {
            continue;
        }
        n += 1;
        n_whole += usize::from(line.starts_with('{') && is_whole(line));
    }
    Ok(if n_whole * 2 > n {
        Shape::Lines
    } else {
        Shape::Document
    })
}

/// Reads a file's objects one after another.
pub(crate) struct Objects<'a> {
    source: &'a Source,
    pub(crate) lines: Lines,
    shape: Shape,
    /// What is left of the last line.
    rest: String,
    object: String,
}

impl<'a> Objects<'a> {
    pub(crate) fn open(
        source: &'a Source,
        shape: Shape,
    ) -> Result<Self, Error> {
        let head = source.head()?;
        Ok(Self {
            source,
            lines: Lines::new(source.open()?, &head),
            shape,
            rest: String::new(),
            object: String::new(),
        })
    }

    /// The next object's text, with the line where it begins. What is no object
    /// is given as it stands.
    pub(crate) fn next(&mut self) -> Result<Option<(usize, &str)>, Error> {
        match self.shape {
            Shape::Lines => self.next_line(),
            Shape::Document => self.next_in_document(),
        }
    }

    fn next_line(&mut self) -> Result<Option<(usize, &str)>, Error> {
        loop {
            self.object.clear();
            let line = self.lines.next();
            let line = line.map_err(Error::file(&self.source.shown))?;
            let Some(line) = line else {
                return Ok(None);
            };
            let line = line.trim().trim_end_matches(',');
            if !matches!(line, "" | "[" | "]") {
                self.object.push_str(line);
                break;
            }
        }
        Ok(Some((self.lines.number, &self.object)))
    }

    fn next_in_document(&mut self) -> Result<Option<(usize, &str)>, Error> {
        self.object.clear();
        let mut scan = Scan::default();
        let mut start = 0;
        loop {
            if let Some(end) = scan.end_of_object(&self.rest) {
                start = if start == 0 { self.lines.number } else { start };
                self.object.push_str(&self.rest[..end]);
                self.rest.drain(..end);
                let from = self.object.find('{').unwrap_or(0);
                return Ok(Some((start, &self.object[from..])));
            }
            if scan.depth > 0 && start == 0 {
                start = self.lines.number;
            }
            if scan.depth > 0 {
                self.object.push_str(&self.rest);
                self.object.push('\n');
            } else if self.is_no_object() {
                let number = self.lines.number;
                self.object = std::mem::take(&mut self.rest);
                return Ok(Some((number, &self.object)));
            }
            self.rest.clear();
            let line = self.lines.next();
            let line = line.map_err(Error::file(&self.source.shown))?;
            match line {
                Some(line) => self.rest.push_str(line),
                None if scan.depth == 0 => return Ok(None),
                None => return Err(self.never_closed(start)),
            }
        }
    }

    /// True when the rest of a line outside of any object is more than what
    /// stands between objects.
    fn is_no_object(&self) -> bool {
        let rest = self.rest.trim_matches([' ', '\t', ',', '[', ']', ';']);
        !rest.is_empty()
    }

    fn never_closed(&self, line: usize) -> Error {
        Error::malformed(
            format!("{}:{line}", self.source.shown.display()),
            "the object that opens here is never closed; is the file whole?",
        )
    }
}

/// Where in an object the text has come to.
#[derive(Default)]
struct Scan {
    /// How many braces are open.
    depth: usize,
    quote: Option<u8>,
    is_escaped: bool,
}

impl Scan {
    /// Reads on; returns the place behind the object's last brace.
    fn end_of_object(&mut self, text: &str) -> Option<usize> {
        for (place, byte) in text.bytes().enumerate() {
            if let Some(quote) = self.quote {
                if self.is_escaped {
                    self.is_escaped = false;
                } else if byte == b'\\' {
                    self.is_escaped = true;
                } else if byte == quote {
                    self.quote = None;
                }
                continue;
            }
            match byte {
                b'{' => self.depth += 1,
                b'}' if self.depth == 1 => {
                    self.depth = 0;
                    return Some(place + 1);
                }
                b'}' => self.depth = self.depth.saturating_sub(1),
                b'"' | b'\'' if self.depth > 0 => self.quote = Some(byte),
                _ => {}
            }
        }
        None
    }
}
