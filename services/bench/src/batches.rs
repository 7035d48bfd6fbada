//! The same work for both programs: which users, items and texts a step reads,
//! in which order.
//!
//! Content: reviews in file order, texts of fewer than two words left out. The
//! others: users by row, training items in file order.

use std::path::PathBuf;
use std::sync::Arc;

use model::prompt::Document;
use model::recommender::{Example, Options};
use model::{
    Objective, PromptTexts, Token, Tokenizer, collaborative, content,
    recommender,
};

use crate::data_set::{DataSet, Review};

/// How much of which data.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct WorkSize {
    /// Folder with `interactions.csv.gz` and `reviews.jsonl.gz`.
    #[arg(long)]
    pub(crate) data: PathBuf,

    /// Training steps, or batches to rank.
    #[arg(long, default_value_t = 6)]
    pub(crate) steps: usize,

    /// Documents or users a training step.
    #[arg(long, default_value_t = 20)]
    pub(crate) batch: usize,

    /// How many threads compute.
    #[arg(long, default_value_t = 2)]
    pub(crate) threads: usize,
}

/// A data set in the words of a decoder.
pub(crate) struct StageData {
    pub(crate) set: DataSet,
    tokenizer: Arc<Tokenizer>,
    texts: PromptTexts,
}

/// A user and their training items, all as rows.
struct UserHistory<'a> {
    user: u32,
    items: &'a [u32],
}

/// A user to be ranked for.
pub(crate) struct Question {
    pub(crate) prompt: Vec<Token>,
    /// Items that are not to be in the ranking.
    pub(crate) seen: Vec<u32>,
}

impl StageData {
    /// Texts and prompts become the words of this tokenizer.
    pub(crate) fn new(set: DataSet, tokenizer: &Arc<Tokenizer>) -> Self {
        Self {
            set,
            tokenizer: Arc::clone(tokenizer),
            texts: PromptTexts::new(tokenizer),
        }
    }

    /// Steps of the content LM; a text is encoded when its step is asked for.
    pub(crate) fn content(
        &self,
        batch: usize,
        n_steps: usize,
        n_positions: usize,
    ) -> impl Iterator<Item = Objective> {
        let steps = self.set.reviews.chunks(batch).take(n_steps);
        steps.map(move |reviews| {
            let documents = reviews.iter().map(|review| self.review(review));
            let fitted =
                documents.filter_map(|document| document.fitted(n_positions));
            content::objective(&fitted.collect::<Vec<_>>())
        })
    }

    fn review(&self, review: &Review) -> Document {
        let words = self.tokenizer.encode(&format!(" {}", review.text));
        Document {
            prompt: self.texts.review(review.user, review.item),
            main: words.into_iter().map(Token::Word).collect(),
        }
    }

    /// Steps of the collaborative LM.
    pub(crate) fn collaborative(
        &self,
        batch: usize,
        n_steps: usize,
        n_positions: usize,
    ) -> impl Iterator<Item = Objective> {
        let steps = self.batches(batch).take(n_steps);
        steps.map(move |users| {
            let documents = users.iter().map(|history| self.history(history));
            let fitted =
                documents.filter_map(|document| document.fitted(n_positions));
            collaborative::objective(&fitted.collect::<Vec<_>>())
        })
    }

    fn history(&self, history: &UserHistory<'_>) -> Document {
        collaborative::document(&self.texts, history.user, history.items)
    }

    /// Steps of finetuning: the first fifth of a history is hidden, all of it
    /// is asked for.
    pub(crate) fn recommend(
        &self,
        batch: usize,
        n_steps: usize,
        n_positions: usize,
    ) -> impl Iterator<Item = Objective> {
        let steps = self.batches(batch).take(n_steps);
        steps.map(move |users| {
            let examples = users
                .iter()
                .map(|history| self.example(history, n_positions));
            recommender::objective(
                &examples.collect::<Vec<_>>(),
                Options::default(),
            )
        })
    }

    fn example(
        &self,
        history: &UserHistory<'_>,
        n_positions: usize,
    ) -> Example {
        let n_hidden = (history.items.len() / 5).max(1);
        let shown = &history.items[n_hidden..];
        Example {
            prompt: self.texts.recommend(
                Some(history.user),
                shown,
                n_positions,
            ),
            targets: history.items.to_vec(),
        }
    }

    /// Whole batches of prompts to be ranked, and what is not to be in the
    /// ranking.
    pub(crate) fn predict(
        &self,
        batch: usize,
        n_batches: usize,
        n_positions: usize,
    ) -> Vec<Vec<Question>> {
        let mut questions = Vec::new();
        for users in self.batches(batch).take(n_batches) {
            if users.len() == batch {
                let users = users.iter();
                questions.push(
                    users
                        .map(|user| self.question(user, n_positions))
                        .collect(),
                );
            }
        }

        questions
    }

    fn question(
        &self,
        history: &UserHistory<'_>,
        n_positions: usize,
    ) -> Question {
        let user = Some(history.user);
        Question {
            prompt: self.texts.recommend(user, history.items, n_positions),
            seen: history.items.to_vec(),
        }
    }

    /// All users with a history, by row, so many at a time.
    fn batches(
        &self,
        batch: usize,
    ) -> impl Iterator<Item = Vec<UserHistory<'_>>> {
        let mut left = self.set.histories.iter();
        std::iter::from_fn(move || {
            let mut next = Vec::with_capacity(batch);
            for (&user, items) in left.by_ref().take(batch) {
                next.push(UserHistory { user, items });
            }
            (!next.is_empty()).then_some(next)
        })
    }
}
