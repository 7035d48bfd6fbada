//! Whose list it is, as a model knows them: the history in its rows, and the user token.

use std::time::Instant;

use domain::{Degradation, Reader};

use crate::Error;
use crate::histories::{Histories, Known, Place};
use crate::loaded::Loaded;
use crate::states::{Key, TokenRow};

/// A reader as a model knows them.
#[derive(Debug)]
pub(crate) struct Read {
    /// Rows of the whole history, in prompt order.
    pub(crate) seen: Vec<u32>,
    /// How many of them, the latest, are in the prompt.
    pub(crate) n_in_prompt: usize,
    token: TokenRow,
    /// There is no row for the user.
    pub(crate) is_stranger: bool,
    /// When its latest interaction was; the clock would let in what is recorded in the same
    /// millisecond.
    pub(crate) until_ms: i64,
    /// The history was not read for this request, and is to be read afterwards.
    pub(crate) to_refresh: Option<Place>,
    /// What there is to do without.
    pub(crate) degradations: Vec<Degradation>,
}

impl Read {
    /// A reader's history and user token in a model's rows.
    pub(crate) async fn new(
        histories: &Histories,
        reader: &Reader,
        model: &Loaded,
        by: Instant,
    ) -> Result<Self, Error> {
        let Known {
            history,
            row_is_allowed,
            mut degradations,
            to_refresh,
        } = histories.of(reader, &model.catalog, by).await?;
        let user = reader
            .user
            .as_ref()
            .filter(|_| row_is_allowed)
            .and_then(|user| model.user_row(user));
        let items = history.items();
        let seen: Vec<u32> = items
            .iter()
            .filter_map(|item| model.item_row(item))
            .collect();
        let n_in_prompt = seen.len().min(model.max_history());
        if reader.user.is_some() && user.is_none() {
            degradations.push(Degradation::UnknownUser);
        }
        if items.is_empty() {
            degradations.push(Degradation::EmptyHistory);
        }
        if seen.len() < items.len() {
            degradations.push(Degradation::UnknownItems(items.len() - seen.len()));
        }
        if n_in_prompt < seen.len() {
            degradations.push(Degradation::TruncatedHistory);
        }
        Ok(Self {
            seen,
            n_in_prompt,
            token: model.token(user),
            is_stranger: user.is_none(),
            until_ms: history
                .interactions()
                .last()
                .map_or(0, |latest| latest.at_ms),
            to_refresh,
            degradations,
        })
    }

    /// What the user state depends on.
    pub(crate) fn key(&self, model: &Loaded) -> Key {
        Key::new(
            &model.version,
            self.token,
            self.latest(),
            model.catalogue.precision(),
        )
    }

    pub(crate) fn latest(&self) -> &[u32] {
        &self.seen[self.seen.len() - self.n_in_prompt..]
    }

    pub(crate) fn prompt(&self, model: &Loaded) -> Vec<model::Token> {
        model.prompt(self.token, self.latest())
    }
}
