//! The lists that were made so far: a file beside the output, one line a user,
//! so that a run that was stopped goes on where it was. The output itself
//! appears when all is there.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lists::table::{Format, Row, Table};

/// Version of the file's form.
const FORMAT: u32 = 1;

/// The first line: only a run that asks for the same may go on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    format: u32,
    /// What was asked for: the version, the number of items, the filter, ….
    asked: Value,
}

/// Any other line.
#[derive(Debug, Serialize, Deserialize)]
struct List<'a> {
    of: Cow<'a, str>,
    rows: Cow<'a, [Row]>,
}

/// The lists so far.
pub(crate) struct Part {
    path: PathBuf,
    writer: BufWriter<File>,
    /// Where the line of each finished list begins.
    places: HashMap<String, u64>,
    end: u64,
    unsaved: usize,
}

/// What an output holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) n_rows: usize,
    /// Lists without a row.
    pub(crate) n_empty: usize,
}

/// Lines between two writes to the file.
const LINES_A_WRITE: usize = 64;

impl Part {
    /// Opens the file beside an output, and goes on with it where it is of the
    /// same request.
    pub(crate) fn open(output: &Path, asked: Value) -> anyhow::Result<Self> {
        let path = beside(output);
        let header = Header {
            format: FORMAT,
            asked,
        };
        let what = || format!("{} cannot be written", path.display());
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(what)?;
        let (places, end) = lines_of(&file, &header, &path)?;
        file.set_len(end)?;
        let mut part = Self {
            path,
            writer: BufWriter::new(file),
            places,
            end,
            unsaved: 0,
        };
        part.writer.seek(SeekFrom::Start(end))?;
        if end == 0 {
            part.write_line(&serde_json::to_string(&header)?)?;
        }
        Ok(part)
    }

    /// True where a list is there already.
    pub(crate) fn has(&self, of: &str) -> bool {
        self.places.contains_key(of)
    }

    /// How many lists are there.
    pub(crate) fn n_lists(&self) -> usize {
        self.places.len()
    }

    /// Adds a list.
    pub(crate) fn push(
        &mut self,
        of: &str,
        rows: &[Row],
    ) -> anyhow::Result<()> {
        let place = self.end;
        let list = List {
            of: of.into(),
            rows: rows.into(),
        };
        self.write_line(&serde_json::to_string(&list)?)?;
        self.places.insert(of.to_owned(), place);
        self.unsaved += 1;
        if self.unsaved >= LINES_A_WRITE {
            self.save()?;
        }
        Ok(())
    }

    /// Writes what is still in memory.
    pub(crate) fn save(&mut self) -> anyhow::Result<()> {
        self.unsaved = 0;
        Ok(self.writer.flush()?)
    }

    /// Writes the lists into the output, in the order of `all`, and removes
    /// this file.
    pub(crate) fn finish(
        mut self,
        output: &Path,
        all: &[String],
        of: &str,
    ) -> anyhow::Result<Finished> {
        self.save()?;
        let mut n_empty = 0;
        let whole = with_ending(output, ".new");
        let mut table = Table::create(&whole, Format::of(output)?, of)?;
        let mut reader = BufReader::new(File::open(&self.path)?);
        for of in all {
            let Some(place) = self.places.get(of) else {
                continue;
            };
            reader.seek(SeekFrom::Start(*place))?;
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let list: List<'_> = serde_json::from_str(&line)?;
            n_empty += usize::from(list.rows.is_empty());
            table.push(list.rows.into_owned())?;
        }
        let n_rows = table.finish()?;
        std::fs::rename(&whole, output)?;
        std::fs::remove_file(&self.path)?;
        Ok(Finished { n_rows, n_empty })
    }

    fn write_line(&mut self, line: &str) -> anyhow::Result<()> {
        self.writer.write_all(line.as_bytes())?;
        self.writer.write_all(b"\n")?;
        self.end += line.len() as u64 + 1;
        Ok(())
    }
}

/// The name of the file beside an output.
pub(crate) fn beside(output: &Path) -> PathBuf {
    with_ending(output, ".part")
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Where the whole lines begin, and where the last one ends. A line that was
/// cut off is made again.
fn lines_of(
    file: &File,
    header: &Header,
    path: &Path,
) -> anyhow::Result<(HashMap<String, u64>, u64)> {
    let mut places = HashMap::new();
    let mut reader = BufReader::new(file);
    let mut end = 0;
    loop {
        let mut line = Vec::new();
        reader.by_ref().read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Ok((places, end));
        }
        if end == 0 {
            let found: Option<Header> = serde_json::from_slice(&line).ok();
            if found.as_ref() != Some(header) {
                if reader.fill_buf()?.is_empty() {
                    // It has no list yet, so nothing is lost.
                    return Ok((places, 0));
                }
                bail!(
                    "{} holds lists that were asked for otherwise (another version, -k, filter …): remove it, or name another --output",
                    path.display()
                );
            }
        } else {
            let Ok(list) = serde_json::from_slice::<List<'_>>(&line) else {
                return Ok((places, end));
            };
            places.insert(list.of.into_owned(), end);
        }
        end += line.len() as u64 + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(of: &str) -> Vec<Row> {
        vec![Row {
            of: of.to_owned(),
            rank: 1,
            item_id: "i".to_owned(),
            score: 1.0,
            title: String::new(),
            source: String::new(),
        }]
    }

    #[test]
    fn a_run_that_was_cut_off_goes_on_after_the_last_whole_list() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("lists.csv");
        let mut part = Part::open(&output, json!({"k": 1})).unwrap();
        part.push("b", &rows("b")).unwrap();
        part.push("nobody", &[]).unwrap();
        part.save().unwrap();
        drop(part);
        let path = beside(&output);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"of\":\"a\",\"ro").unwrap();

        let mut part = Part::open(&output, json!({"k": 1})).unwrap();
        assert!(part.has("b") && part.has("nobody") && !part.has("a"));
        part.push("a", &rows("a")).unwrap();
        let all = ["a", "nobody", "b"].map(str::to_owned);
        let finished = part.finish(&output, &all, "user_id").unwrap();
        let wanted = Finished {
            n_rows: 2,
            n_empty: 1,
        };
        assert_eq!(finished, wanted, "nobody's list is empty");
        let text = std::fs::read_to_string(&output).unwrap();
        let lists: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lists, ["a,1,i,1.0,,", "b,1,i,1.0,,"]);
        assert!(!path.exists());
    }

    #[test]
    fn lists_of_another_request_are_not_mixed_in() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("lists.csv");
        Part::open(&output, json!({"k": 0}))
            .unwrap()
            .save()
            .unwrap();
        // It has no list yet, so nothing is lost.
        let mut part = Part::open(&output, json!({"k": 1})).unwrap();
        part.push("a", &rows("a")).unwrap();
        part.save().unwrap();
        let refused = Part::open(&output, json!({"k": 2})).err().unwrap();
        assert!(refused.to_string().contains("another --output"));
    }
}
