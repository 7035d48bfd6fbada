//! The same work for both programs: which users, items and texts a step reads, in which order.
//!
//! Rows are numbered in order of first appearance in `interactions.csv.gz`. Content: reviews in
//! file order, texts of fewer than two words left out. The others: users by row, training items in
//! file order.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::read::GzDecoder;
use model::prompt::Document;
use model::recommender::{Example, Options};
use model::{Objective, PromptTexts, Token, Tokenizer, collaborative, content, recommender};
use serde::Deserialize;

/// How much of which data.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Workload {
    /// Folder with `interactions.csv.gz` and `reviews.jsonl.gz`.
    #[arg(long)]
    pub(crate) data: PathBuf,

    /// Training steps, or batches to rank.
    #[arg(long, default_value_t = 6)]
    pub(crate) steps: usize,

    /// Documents or users a training step.
    #[arg(long, default_value_t = 20)]
    pub(crate) batch: usize,

    /// Threads that compute.
    #[arg(long, default_value_t = 2)]
    pub(crate) threads: usize,
}

/// A data set as the stages read it.
pub(crate) struct Data {
    pub(crate) n_users: usize,
    pub(crate) n_items: usize,
    /// Training items by user row; users without any are absent.
    histories: BTreeMap<u32, Vec<u32>>,
    /// (user, item, text) of each review.
    reviews: Vec<(u32, u32, String)>,
    tokenizer: Tokenizer,
    texts: PromptTexts,
}

#[derive(Deserialize)]
struct Interaction {
    user_id: String,
    item_id: String,
    split: String,
}

#[derive(Deserialize)]
struct Review {
    user_id: String,
    item_id: String,
    text: String,
}

/// Row numbers of external ids.
#[derive(Default)]
struct Rows(HashMap<String, u32>);

impl Rows {
    fn of(&mut self, id: String) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(id).or_insert(next)
    }
}

fn unzipped(path: &Path) -> anyhow::Result<GzDecoder<File>> {
    Ok(GzDecoder::new(File::open(path).with_context(|| {
        format!("{} cannot be read", path.display())
    })?))
}

impl Data {
    /// Reads a folder with `interactions.csv.gz` and, where there is a content stage,
    /// `reviews.jsonl.gz`.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let (mut users, mut items) = (Rows::default(), Rows::default());
        let mut histories: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for row in
            csv::Reader::from_reader(unzipped(&folder.join("interactions.csv.gz"))?).deserialize()
        {
            let row: Interaction = row?;
            let (user, item) = (users.of(row.user_id), items.of(row.item_id));
            if row.split == "train" {
                histories.entry(user).or_default().push(item);
            }
        }
        let mut reviews = Vec::new();
        let path = folder.join("reviews.jsonl.gz");
        if path.exists() {
            for line in BufReader::new(unzipped(&path)?).lines() {
                let review: Review = serde_json::from_str(&line?)?;
                reviews.push((
                    users.of(review.user_id),
                    items.of(review.item_id),
                    review.text,
                ));
            }
        }
        let tokenizer = Tokenizer::gpt2();
        let texts = PromptTexts::new(&tokenizer);
        Ok(Self {
            n_users: users.0.len(),
            n_items: items.0.len(),
            histories,
            reviews,
            tokenizer,
            texts,
        })
    }

    /// There is something to train the content LM on.
    pub(crate) fn has_texts(&self) -> bool {
        !self.reviews.is_empty()
    }

    /// Steps of the content LM; a text is encoded when its step is asked for.
    pub(crate) fn content(
        &self,
        batch: usize,
        n_steps: usize,
        n_positions: usize,
    ) -> impl Iterator<Item = Objective> {
        let document = move |(user, item, text): &(u32, u32, String)| {
            let main = self
                .tokenizer
                .encode(&format!(" {text}"))
                .into_iter()
                .map(Token::Word)
                .collect();
            Document {
                prompt: self.texts.review(*user, *item),
                main,
            }
            .fitted(n_positions)
        };
        let steps = self.reviews.chunks(batch).take(n_steps);
        steps.map(move |reviews| {
            content::objective(&reviews.iter().filter_map(document).collect::<Vec<_>>())
        })
    }

    /// Steps of the collaborative LM.
    pub(crate) fn collaborative(
        &self,
        batch: usize,
        n_steps: usize,
        n_positions: usize,
    ) -> impl Iterator<Item = Objective> {
        let document = move |(user, history): &(u32, &Vec<u32>)| {
            collaborative::document(&self.texts, *user, history).fitted(n_positions)
        };
        let steps = self.users(batch, n_steps).into_iter();
        steps.map(move |users| {
            collaborative::objective(&users.iter().filter_map(document).collect::<Vec<_>>())
        })
    }

    /// Steps of finetuning: the first fifth of a history is hidden, all of it is asked for.
    pub(crate) fn recommend(
        &self,
        batch: usize,
        n_steps: usize,
        n_positions: usize,
    ) -> impl Iterator<Item = Objective> {
        let example = move |(user, history): &(u32, &Vec<u32>)| {
            let n_hidden = (history.len() / 5).max(1);
            let prompt = self
                .texts
                .recommend(Some(*user), &history[n_hidden..], n_positions);
            Example {
                prompt,
                targets: (*history).clone(),
            }
        };
        let steps = self.users(batch, n_steps).into_iter();
        steps.map(move |users| {
            recommender::objective(
                &users.iter().map(example).collect::<Vec<_>>(),
                Options::default(),
            )
        })
    }

    /// Whole batches of prompts to be ranked, and what is not to be in the ranking.
    pub(crate) fn predict(
        &self,
        batch: usize,
        n_batches: usize,
        n_positions: usize,
    ) -> Vec<Vec<Question>> {
        let question = |(user, history): &(u32, &Vec<u32>)| Question {
            prompt: self.texts.recommend(Some(*user), history, n_positions),
            seen: (*history).clone(),
        };
        let batches = self.users(batch, n_batches);
        batches
            .iter()
            .filter(|users| users.len() == batch)
            .map(|users| users.iter().map(question).collect())
            .collect()
    }

    fn users(&self, batch: usize, n_batches: usize) -> Vec<Vec<(u32, &Vec<u32>)>> {
        let users: Vec<(u32, &Vec<u32>)> = self
            .histories
            .iter()
            .map(|(&user, history)| (user, history))
            .collect();
        users
            .chunks(batch)
            .take(n_batches)
            .map(<[_]>::to_vec)
            .collect()
    }
}

/// A user to be ranked for.
pub(crate) struct Question {
    pub(crate) prompt: Vec<Token>,
    pub(crate) seen: Vec<u32>,
}
