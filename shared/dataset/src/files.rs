//! A data set on disk: `dataset.json` (the manifest),
//! `interactions.safetensors`, `users.json`, `items.jsonl` and `texts.jsonl` in
//! one folder.
//!
//! What is read is cross-checked; a file that does not fit the others is an
//! error that names it.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use domain::{Item, UserId};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::dataset::{Dataset, FORMAT, Interactions, Manifest, Split, Text};
use crate::error::Error;

const MANIFEST: &str = "dataset.json";
const INTERACTIONS: &str = "interactions.safetensors";
const USERS: &str = "users.json";
const ITEMS: &str = "items.jsonl";
const TEXTS: &str = "texts.jsonl";

impl Dataset {
    /// Writes the files into an existing folder.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        self.interactions.write(&folder.join(INTERACTIONS))?;
        write_json(&folder.join(USERS), &self.users)?;
        write_lines(&folder.join(ITEMS), &self.items)?;
        write_lines(&folder.join(TEXTS), &self.texts)?;
        write_json(&folder.join(MANIFEST), &self.manifest)
    }

    /// Reads and cross-checks the files; anything that does not fit is an error
    /// that names the file.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let mut dataset = Self::read_without_texts(folder)?;
        dataset.texts = texts(folder)?.collect::<Result<_, _>>()?;
        Ok(dataset)
    }

    /// Reads everything but the texts, which may be too many for the memory:
    /// [`texts`] reads them one by one.
    pub fn read_without_texts(folder: &Path) -> Result<Self, Error> {
        let manifest = Manifest::read(folder)?;
        let users: Vec<UserId> = read_json(&folder.join(USERS))?;
        let items: Vec<Item> =
            read_lines(folder.join(ITEMS))?.collect::<Result<_, _>>()?;
        let interactions = Interactions::read(&folder.join(INTERACTIONS))?;
        let dataset = Self {
            manifest,
            users,
            items,
            interactions,
            texts: Vec::new(),
        };
        if !dataset.is_consistent() {
            return Err(Error::malformed(
                folder,
                "the files of this data set do not fit each other; import it again",
            ));
        }
        Ok(dataset)
    }

    /// True when the files have as many rows as the manifest says and name no
    /// others.
    fn is_consistent(&self) -> bool {
        let (manifest, rows) = (&self.manifest, &self.interactions);
        self.users.len() == manifest.n_users
            && self.items.len() == manifest.n_items
            && rows.users.len() == manifest.n_interactions
            && all_below(&rows.users, self.users.len())
            && all_below(&rows.items, self.items.len())
    }
}

fn all_below(rows: &[u32], n: usize) -> bool {
    rows.iter().all(|&row| (row as usize) < n)
}

/// Reads a stored data set's texts one by one, in the order in which they were
/// imported.
///
/// # Errors
/// When the folder has no texts file; each text that cannot be read is an error
/// of its own.
pub fn texts(
    folder: &Path,
) -> Result<impl Iterator<Item = Result<Text, Error>> + use<>, Error> {
    read_lines(folder.join(TEXTS))
}

impl Manifest {
    /// Reads the manifest alone.
    ///
    /// # Errors
    /// When it is missing, cannot be read, or is of another file layout.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(MANIFEST);
        let manifest: Self = read_json(&path)?;
        if manifest.format != FORMAT {
            let reason = format!(
                "format {}; this program reads format {FORMAT}: import it again",
                manifest.format
            );
            return Err(Error::malformed(path, reason));
        }
        Ok(manifest)
    }
}

impl Interactions {
    fn write(&self, path: &Path) -> Result<(), Error> {
        let at_ms: Vec<u8> =
            self.at_ms.iter().flat_map(|ms| ms.to_le_bytes()).collect();
        let splits: Vec<u8> =
            self.splits.iter().map(|&split| split as u8).collect();
        let columns = [
            ("users", Dtype::U32, u32_bytes(&self.users)),
            ("items", Dtype::U32, u32_bytes(&self.items)),
            ("at_ms", Dtype::I64, at_ms),
            ("splits", Dtype::U8, splits),
        ];
        let mut views = Vec::new();
        for (name, dtype, bytes) in &columns {
            let shape = vec![self.users.len()];
            let view = TensorView::new(*dtype, shape, bytes);
            views.push((*name, view.map_err(|e| Error::malformed(path, e))?));
        }
        safetensors::serialize_to_file(views, None, path)
            .map_err(|e| Error::malformed(path, e))
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(Error::file(path))?;
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|e| Error::malformed(path, e))?;
        let columns = ColumnFile { path, file };
        let mut splits = Vec::new();
        for &byte in columns.bytes("splits", Dtype::U8)? {
            splits.push(split_of(byte).ok_or_else(|| {
                Error::malformed(
                    path,
                    format!("split {byte} is none of 0, 1, 2"),
                )
            })?);
        }
        Ok(Self {
            users: columns.u32s("users")?,
            items: columns.u32s("items")?,
            at_ms: columns.i64s("at_ms")?,
            splits,
        })
    }
}

fn u32_bytes(rows: &[u32]) -> Vec<u8> {
    rows.iter().flat_map(|row| row.to_le_bytes()).collect()
}

fn split_of(byte: u8) -> Option<Split> {
    match byte {
        0 => Some(Split::Train),
        1 => Some(Split::Valid),
        2 => Some(Split::Test),
        _ => None,
    }
}

/// A safetensors file of columns, and where it is.
struct ColumnFile<'a> {
    path: &'a Path,
    file: SafeTensors<'a>,
}

impl ColumnFile<'_> {
    fn u32s(&self, name: &str) -> Result<Vec<u32>, Error> {
        let (words, _) = self.bytes(name, Dtype::U32)?.as_chunks();
        Ok(words.iter().map(|&word| u32::from_le_bytes(word)).collect())
    }

    fn i64s(&self, name: &str) -> Result<Vec<i64>, Error> {
        let (words, _) = self.bytes(name, Dtype::I64)?.as_chunks();
        Ok(words.iter().map(|&word| i64::from_le_bytes(word)).collect())
    }

    /// A column's bytes; an error where it is missing or holds something else.
    fn bytes(&self, name: &str, dtype: Dtype) -> Result<&[u8], Error> {
        let column = self.file.tensor(name);
        let column = column
            .map_err(|e| self.malformed(format!("column `{name}`: {e}")))?;
        if column.dtype() != dtype {
            return Err(
                self.malformed(format!("column `{name}` is no {dtype:?}"))
            );
        }
        Ok(column.data())
    }

    fn malformed(&self, reason: String) -> Error {
        Error::malformed(self.path, reason)
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let bytes =
        serde_json::to_vec(value).map_err(|e| Error::malformed(path, e))?;
    std::fs::write(path, bytes).map_err(Error::file(path))
}

fn write_lines<T: Serialize>(path: &Path, values: &[T]) -> Result<(), Error> {
    let file = File::create(path).map_err(Error::file(path))?;
    let mut file = BufWriter::new(file);
    for value in values {
        serde_json::to_writer(&mut file, value)
            .map_err(|e| Error::malformed(path, e))?;
        file.write_all(b"\n").map_err(Error::file(path))?;
    }
    file.flush().map_err(Error::file(path))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = std::fs::read(path).map_err(Error::file(path))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::malformed(path, e))
}

/// One value a line of JSON.
fn read_lines<T: DeserializeOwned>(
    path: PathBuf,
) -> Result<impl Iterator<Item = Result<T, Error>> + use<T>, Error> {
    let file = File::open(&path).map_err(Error::file(&path))?;
    let lines = (1_usize..).zip(BufReader::new(file).lines());
    Ok(lines.map(move |(number, line)| {
        let line = line.map_err(Error::file(&path))?;
        serde_json::from_str(&line)
            .map_err(|e| Error::malformed(&path, format!("line {number}: {e}")))
    }))
}
