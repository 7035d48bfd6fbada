//! A data set as both programs read it. Rows are numbered in order of first
//! appearance in `interactions.csv.gz`.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Context;
use flate2::read::GzDecoder;
use serde::Deserialize;

/// Who has interacted with what, and what was written about it.
pub(crate) struct DataSet {
    pub(crate) n_users: usize,
    pub(crate) n_items: usize,
    /// Training items by user row; users without any are absent.
    pub(crate) histories: BTreeMap<u32, Vec<u32>>,
    pub(crate) reviews: Vec<Review>,
}

/// What a user wrote about an item, both as rows.
pub(crate) struct Review {
    pub(crate) user: u32,
    pub(crate) item: u32,
    pub(crate) text: String,
}

#[derive(Deserialize)]
struct InteractionLine {
    user_id: String,
    item_id: String,
    split: String,
}

#[derive(Deserialize)]
struct ReviewLine {
    user_id: String,
    item_id: String,
    text: String,
}

/// Row numbers of external ids, in the order in which the ids appear.
#[derive(Default)]
struct Rows {
    by_id: HashMap<String, u32>,
}

impl Rows {
    fn row(&mut self, id: String) -> u32 {
        let next = self.by_id.len() as u32;
        *self.by_id.entry(id).or_insert(next)
    }
}

impl DataSet {
    /// Reads a folder with `interactions.csv.gz` and, where there is a content
    /// stage, `reviews.jsonl.gz`.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut users = Rows::default();
        let mut items = Rows::default();
        let mut histories: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let interactions = unzipped(&folder.join("interactions.csv.gz"))?;
        for line in csv::Reader::from_reader(interactions).deserialize() {
            let line: InteractionLine = line?;
            let user = users.row(line.user_id);
            let item = items.row(line.item_id);
            if line.split == "train" {
                histories.entry(user).or_default().push(item);
            }
        }

        let mut reviews = Vec::new();
        let path = folder.join("reviews.jsonl.gz");
        if path.exists() {
            for line in BufReader::new(unzipped(&path)?).lines() {
                let line: ReviewLine = serde_json::from_str(&line?)?;
                reviews.push(Review {
                    user: users.row(line.user_id),
                    item: items.row(line.item_id),
                    text: line.text,
                });
            }
        }

        Ok(Self {
            n_users: users.by_id.len(),
            n_items: items.by_id.len(),
            histories,
            reviews,
        })
    }

    /// There is something to train the content LM on.
    pub(crate) fn has_texts(&self) -> bool {
        !self.reviews.is_empty()
    }
}

fn unzipped(path: &Path) -> anyhow::Result<GzDecoder<File>> {
    let file = File::open(path);
    let file =
        file.with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(GzDecoder::new(file))
}
