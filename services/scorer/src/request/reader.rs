//! Whose list it is, as one version knows them: the history in its rows, the
//! user token, and the prompt that is made of both.

use std::sync::{Arc, OnceLock};

use domain::{Degradation, ItemId, Reader};
use model::Token;

use crate::compute::language_model::PromptUser;
use crate::compute::state_key::StateKey;
use crate::histories::{HistoryKey, KnownHistory};
use crate::versions::loaded::LoadedModel;
use crate::versions::ranking::Listener;

/// A reader as one version knows them.
#[derive(Debug)]
pub(crate) struct KnownReader {
    pub(crate) listener: Arc<Listener>,
    /// Items of the history that the version does not know.
    pub(crate) unknown: Vec<ItemId>,
    /// How many items of the history, the latest, are in the prompt.
    pub(crate) n_in_prompt: usize,
    user: PromptUser,
    /// Made when it is first needed: a state that is in memory needs none.
    prompt: OnceLock<Vec<Token>>,
    /// When the latest interaction was, in milliseconds since 1970, by which
    /// further pages stay with this history; the clock would let in what is
    /// recorded in the same millisecond.
    pub(crate) until_ms: i64,
    /// Set when the history was not read for this request, and is to be read
    /// afterwards.
    pub(crate) to_refresh: Option<HistoryKey>,
    pub(crate) degradations: Vec<Degradation>,
}

impl KnownReader {
    /// Finds the rows of a reader's history and user token.
    pub(crate) fn new(
        reader: &Reader,
        known: KnownHistory,
        model: &LoadedModel,
    ) -> Self {
        let items = known.history.items();
        let n_items = items.len();
        let mut seen = Vec::with_capacity(n_items);
        let mut unknown = Vec::new();
        for item in items {
            match model.item_row(item) {
                Some(row) => seen.push(row),
                None => unknown.push(item.clone()),
            }
        }
        let n_in_prompt = seen.len().min(model.language.max_history());
        let user_row = match &reader.user {
            Some(user) if known.row_is_allowed => model.user_row(user),
            Some(_) | None => None,
        };

        let mut degradations = known.degradations;
        if reader.user.is_some() && user_row.is_none() {
            degradations.push(Degradation::UnknownUser);
        }
        if n_items == 0 {
            degradations.push(Degradation::EmptyHistory);
        }
        if !unknown.is_empty() {
            degradations.push(Degradation::UnknownItems(unknown.len()));
        }
        if n_in_prompt < seen.len() {
            degradations.push(Degradation::TruncatedHistory);
        }

        let latest = known.history.interactions().last();
        let until_ms = latest.map_or(0, |latest| latest.at_ms);
        let listener = Listener {
            seen,
            is_stranger: user_row.is_none(),
        };
        Self {
            listener: Arc::new(listener),
            unknown,
            n_in_prompt,
            user: model.language.prompt_user(user_row),
            prompt: OnceLock::new(),
            until_ms,
            to_refresh: known.to_refresh,
            degradations,
        }
    }

    pub(crate) fn state_key(&self, model: &LoadedModel) -> StateKey {
        let precisions = model.language.precisions();
        StateKey::new(&model.version, self.user, self.latest(), precisions)
    }

    pub(crate) fn prompt(&self, model: &LoadedModel) -> &[Token] {
        self.prompt
            .get_or_init(|| model.language.prompt(self.user, self.latest()))
    }

    fn latest(&self) -> &[u32] {
        let seen = &self.listener.seen;
        &seen[seen.len() - self.n_in_prompt..]
    }
}
