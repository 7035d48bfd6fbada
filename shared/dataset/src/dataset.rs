//! The one form that a job trains on: checked, immutable, with row numbers of its own.
//!
//! Files: `dataset.json` (the manifest), `interactions.safetensors`, `users.json`, `items.jsonl`,
//! `texts.jsonl`.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use domain::{Catalog, Item, N_TEXT_STEPS, TEXT_STEP, UserId};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Which part of the data an interaction belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Split {
    /// Learned from.
    Train = 0,
    /// Chooses among models.
    Valid = 1,
    /// Measures the chosen one.
    Test = 2,
}

/// What a text is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextKind {
    /// By a user about an item.
    Review,
    /// Of an item.
    Description,
    /// Of a user.
    Biography,
}

/// A text for the content LM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// What it is about.
    pub kind: TextKind,
    /// Row of the user.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<u32>,
    /// Row of the item.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub item: Option<u32>,
    /// The text.
    pub text: String,
}

/// What a data set is, beside its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this file layout.
    pub format: u32,
    /// What people call it.
    pub name: String,
    /// Namespace of the item ids and histories.
    pub catalog: Catalog,
    /// Users with an interaction.
    pub n_users: usize,
    /// Items with an interaction.
    pub n_items: usize,
    /// Interactions in all.
    pub n_interactions: usize,
    /// Of them for training.
    pub n_train: usize,
    /// Of them for validation.
    pub n_valid: usize,
    /// Of them for the test.
    pub n_test: usize,
    /// Reviews, descriptions and biographies.
    pub n_texts: usize,
    /// Items with a title.
    pub n_titles: usize,
    /// Texts and titles by length, as [`domain::Counts`] says.
    #[serde(default)]
    pub text_lengths: Vec<usize>,
}

/// Version of the file layout.
const FORMAT: u32 = 1;

/// Interactions in columns, ordered by (user, time, item).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interactions {
    /// Row of the user.
    pub users: Vec<u32>,
    /// Row of the item.
    pub items: Vec<u32>,
    /// Milliseconds since 1970-01-01 UTC.
    pub at_ms: Vec<i64>,
    /// Part of the data.
    pub splits: Vec<Split>,
}

/// A data set in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// What it is.
    pub manifest: Manifest,
    /// External user ids by row, ascending.
    pub users: Vec<UserId>,
    /// Items by row, ascending by id.
    pub items: Vec<Item>,
    /// Who interacted with what.
    pub interactions: Interactions,
    /// Texts in the order they were read.
    pub texts: Vec<Text>,
}

impl Dataset {
    /// Puts the parts together and counts them.
    pub(crate) fn new(
        name: String,
        catalog: Catalog,
        (users, items): (Vec<UserId>, Vec<Item>),
        interactions: Interactions,
        texts: Vec<Text>,
    ) -> Self {
        let count = |split| interactions.splits.iter().filter(|&&s| s == split).count();
        let titles = items
            .iter()
            .map(|item| &*item.title)
            .filter(|title| !title.is_empty());
        let manifest = Manifest {
            format: FORMAT,
            name,
            catalog,
            n_users: users.len(),
            n_items: items.len(),
            n_interactions: interactions.users.len(),
            n_train: count(Split::Train),
            n_valid: count(Split::Valid),
            n_test: count(Split::Test),
            n_texts: texts.len(),
            n_titles: items.iter().filter(|item| !item.title.is_empty()).count(),
            text_lengths: lengths(titles.chain(texts.iter().map(|text| &*text.text))),
        };
        Self {
            manifest,
            users,
            items,
            interactions,
            texts,
        }
    }

    /// Each user's item rows of one split, in prompt order: ascending (time, external item id).
    pub fn histories(&self, split: Split) -> Vec<Vec<u32>> {
        let mut histories = vec![Vec::new(); self.users.len()];
        let rows = self
            .interactions
            .users
            .iter()
            .zip(&self.interactions.items)
            .zip(&self.interactions.splits);
        for ((&user, &item), _) in rows.filter(|(_, row_split)| **row_split == split) {
            histories[user as usize].push(item);
        }
        histories
    }

    /// Writes the files into an existing folder.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        self.write_interactions(&folder.join("interactions.safetensors"))?;
        write_json(&folder.join("users.json"), &self.users)?;
        write_lines(&folder.join("items.jsonl"), &self.items)?;
        write_lines(&folder.join("texts.jsonl"), &self.texts)?;
        write_json(&folder.join("dataset.json"), &self.manifest)
    }

    fn write_interactions(&self, path: &Path) -> Result<(), Error> {
        let rows = &self.interactions;
        let columns: [(&str, Dtype, Vec<u8>); 4] = [
            (
                "users",
                Dtype::U32,
                rows.users
                    .iter()
                    .flat_map(|row| row.to_le_bytes())
                    .collect(),
            ),
            (
                "items",
                Dtype::U32,
                rows.items
                    .iter()
                    .flat_map(|row| row.to_le_bytes())
                    .collect(),
            ),
            (
                "at_ms",
                Dtype::I64,
                rows.at_ms.iter().flat_map(|ms| ms.to_le_bytes()).collect(),
            ),
            (
                "splits",
                Dtype::U8,
                rows.splits.iter().map(|&split| split as u8).collect(),
            ),
        ];
        let mut views = Vec::new();
        for (name, dtype, bytes) in &columns {
            let view = TensorView::new(*dtype, vec![rows.users.len()], bytes)
                .map_err(|e| Error::malformed(path, e))?;
            views.push((*name, view));
        }
        safetensors::serialize_to_file(views, None, path).map_err(|e| Error::malformed(path, e))
    }

    /// Reads and cross-checks the files; anything that does not fit is an error that names the
    /// file.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let mut dataset = Self::read_without_texts(folder)?;
        dataset.texts = texts(folder)?.collect::<Result<_, _>>()?;
        Ok(dataset)
    }

    /// The same, the texts left where they are: [`texts`] reads them one by one.
    pub fn read_without_texts(folder: &Path) -> Result<Self, Error> {
        let manifest = Manifest::read(folder)?;
        let users: Vec<UserId> = read_json(&folder.join("users.json"))?;
        let items: Vec<Item> = lines(folder.join("items.jsonl"))?.collect::<Result<_, _>>()?;
        let path = folder.join("interactions.safetensors");
        let interactions = Interactions::read(&path)?;
        let fits = |rows: &[u32], n: usize| rows.iter().all(|&row| (row as usize) < n);
        let consistent = users.len() == manifest.n_users
            && items.len() == manifest.n_items
            && interactions.users.len() == manifest.n_interactions
            && fits(&interactions.users, users.len())
            && fits(&interactions.items, items.len());
        if !consistent {
            return Err(Error::malformed(
                folder,
                "the files of this data set do not fit each other; import it again",
            ));
        }
        Ok(Self {
            manifest,
            users,
            items,
            interactions,
            texts: Vec::new(),
        })
    }
}

/// A stored data set's texts, in the order they were read.
pub fn texts(folder: &Path) -> Result<impl Iterator<Item = Result<Text, Error>> + use<>, Error> {
    lines(folder.join("texts.jsonl"))
}

impl Manifest {
    /// Reads the manifest alone.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("dataset.json");
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
    fn read(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(Error::file(path))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| Error::malformed(path, e))?;
        let column = |name: &str, dtype: Dtype| {
            let view = file
                .tensor(name)
                .map_err(|e| Error::malformed(path, format!("column `{name}`: {e}")))?;
            let right = view.dtype() == dtype;
            right
                .then(|| view.data())
                .ok_or_else(|| Error::malformed(path, format!("column `{name}` is no {dtype:?}")))
        };
        let u32s = |data: &[u8]| {
            data.as_chunks()
                .0
                .iter()
                .map(|&word| u32::from_le_bytes(word))
                .collect()
        };
        let mut splits = Vec::new();
        for &byte in column("splits", Dtype::U8)? {
            splits.push(match byte {
                0 => Split::Train,
                1 => Split::Valid,
                2 => Split::Test,
                other => {
                    return Err(Error::malformed(
                        path,
                        format!("split {other} is none of 0, 1, 2"),
                    ));
                }
            });
        }
        Ok(Self {
            users: u32s(column("users", Dtype::U32)?),
            items: u32s(column("items", Dtype::U32)?),
            at_ms: column("at_ms", Dtype::I64)?
                .as_chunks()
                .0
                .iter()
                .map(|&word| i64::from_le_bytes(word))
                .collect(),
            splits,
        })
    }
}

fn lengths<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let mut counts = vec![0; N_TEXT_STEPS];
    texts.for_each(|text| counts[(text.len() / TEXT_STEP).min(N_TEXT_STEPS - 1)] += 1);
    counts
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let bytes = serde_json::to_vec(value).map_err(|e| Error::malformed(path, e))?;
    std::fs::write(path, bytes).map_err(Error::file(path))
}

fn write_lines<T: Serialize>(path: &Path, values: &[T]) -> Result<(), Error> {
    let mut file = BufWriter::new(std::fs::File::create(path).map_err(Error::file(path))?);
    for value in values {
        serde_json::to_writer(&mut file, value).map_err(|e| Error::malformed(path, e))?;
        file.write_all(b"\n").map_err(Error::file(path))?;
    }
    file.flush().map_err(Error::file(path))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = std::fs::read(path).map_err(Error::file(path))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::malformed(path, e))
}

fn lines<T: DeserializeOwned>(
    path: PathBuf,
) -> Result<impl Iterator<Item = Result<T, Error>> + use<T>, Error> {
    let file = std::fs::File::open(&path).map_err(Error::file(&path))?;
    Ok((1..)
        .zip(BufReader::new(file).lines())
        .map(move |(number, line): (usize, _)| {
            let line = line.map_err(Error::file(&path))?;
            serde_json::from_str(&line)
                .map_err(|e| Error::malformed(&path, format!("line {number}: {e}")))
        }))
}
