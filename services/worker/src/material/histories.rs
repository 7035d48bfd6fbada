//! What each user did, and the prompts that are made of it.

use model::{PromptTexts, Token};

/// Users' items by split, without the test split, for a catalogue of items by
/// row.
#[derive(Debug)]
pub(crate) struct Histories {
    /// Each user's training items in prompt order.
    pub(crate) train: Vec<Vec<u32>>,
    /// Each user's items that are held out to choose the model by.
    pub(crate) valid: Vec<Vec<u32>>,
    /// Items in the catalogue, J.
    pub(crate) n_items: usize,
    /// The words of the prompts.
    pub(crate) texts: PromptTexts,
    /// Longest prompt and main text together.
    pub(crate) n_positions: usize,
}

impl Histories {
    /// The number of training interactions of each item.
    pub(crate) fn popularity(&self) -> Vec<u32> {
        let mut counts = vec![0; self.n_items];
        for &item in self.train.iter().flatten() {
            counts[item as usize] += 1;
        }
        counts
    }

    /// Items without a training interaction, ascending.
    pub(crate) fn cold_items(&self) -> Vec<u32> {
        (0u32..)
            .zip(self.popularity())
            .filter(|(_, n)| *n == 0)
            .map(|(item, _)| item)
            .collect()
    }

    /// A recommendation prompt as it is served: the whole training history of
    /// `user` in time order, with `token` for the user.
    pub(crate) fn ranking_prompt(
        &self,
        user: u32,
        token: Option<u32>,
    ) -> Vec<Token> {
        let history = &self.train[user as usize];
        self.texts.recommend(token, history, self.n_positions)
    }

    /// A recommendation prompt of a part of a history.
    pub(crate) fn training_prompt(
        &self,
        user: Option<u32>,
        visible: &[u32],
    ) -> Vec<Token> {
        self.texts.recommend(user, visible, self.n_positions)
    }
}
