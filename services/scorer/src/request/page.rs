//! One page of a list, made of the scores of a whole catalogue on the thread
//! that has them.

use std::sync::Arc;

use domain::{Degradation, Item, Query, Reason, ScoredItem, Source};
use model::metrics::top_k;

use crate::request::allowed::AllowedRows;
use crate::request::explain::ExplainedItems;
use crate::request::new_items::ScoredNewItem;
use crate::request::reader::KnownReader;
use crate::request::search::QueryPart;
use crate::versions::loaded::LoadedModel;
use crate::versions::ranking::{CatalogueScores, Listener};

/// What a ranking thread needs to make a page.
pub(crate) struct PageRequest {
    pub(super) model: Arc<LoadedModel>,
    listener: Arc<Listener>,
    material: Material,
    /// Items of the list before this page.
    pub(super) offset: usize,
    k: usize,
    is_explained: bool,
}

/// What a list is made of beside the user's own scores.
pub(super) struct Material {
    pub(super) allowed: AllowedRows,
    /// What the user looks for; absent without a query, or where the version
    /// knows none of its words.
    pub(super) query: Option<QueryPart>,
    /// Items beside the catalogue, those that the list may have.
    pub(super) new_items: Vec<ScoredNewItem>,
}

/// A page of a list.
pub(crate) struct RankedPage {
    ranked: Vec<Ranked>,
    /// What a unit of the scores without a query comes to.
    own_scale: f32,
    pub(super) has_more: bool,
    /// The language model's scores of the whole catalogue, where reasons were
    /// asked for.
    pub(super) language_scores: Option<Vec<f32>>,
    pub(super) degradations: Vec<Degradation>,
}

/// An item of a list.
struct Ranked {
    place: Place,
    score: f32,
    source: Source,
    /// What the query added to the score.
    query_contribution: f32,
}

/// Where an item of a list is known from.
enum Place {
    /// The row of the version's catalogue.
    Row(u32),
    /// It came with the request.
    New(Item),
}

impl PageRequest {
    pub(super) fn new(
        query: &Query,
        model: &Arc<LoadedModel>,
        reader: &KnownReader,
        material: Material,
    ) -> Self {
        // Reasons are items of the history.
        let is_explained = query.explain && !reader.listener.seen.is_empty();
        Self {
            model: Arc::clone(model),
            listener: Arc::clone(&reader.listener),
            material,
            offset: query.page.as_ref().map_or(0, |page| page.offset),
            k: query.k.get(),
            is_explained,
        }
    }

    /// The best items that are allowed, then, where the request is not strict,
    /// the best of the others. `language` are the language model's scores
    /// `[items]`.
    pub(super) fn rank(self, language: &[f32]) -> RankedPage {
        let mut scores = self.model.ranking.scores(language, &self.listener);
        if let Some(QueryPart { found, weight }) = &self.material.query {
            scores.add_query(&found.scores, *weight);
        }
        let n = self.offset + self.k;
        let n_with_next = n + 1; // one more tells whether there is a next page
        let mut list = self.strict(&scores, n_with_next);
        let n_strict = list.len();
        if let Some(relaxed) = &self.material.allowed.relaxed {
            let others = top_k(&scores.values, n_with_next - n_strict, |row| {
                relaxed.contains(row as usize)
            });
            list.extend(
                others.iter().map(|(row, _)| self.of_row(*row, &scores)),
            );
        }
        let has_more = list.len() == n_with_next;
        list.truncate(n);
        let n_relaxed = list.len().saturating_sub(n_strict.max(self.offset));

        let page = list.split_off(self.offset.min(list.len()));
        let mut degradations = self.material.allowed.degradations;
        if n_relaxed > 0 {
            degradations.push(Degradation::FilterRelaxed(n_relaxed));
        }
        if page.len() < self.k {
            degradations.push(Degradation::FewerThanAsked);
        }
        RankedPage {
            ranked: page,
            own_scale: scores.own_scale(),
            has_more,
            language_scores: self.is_explained.then(|| language.to_vec()),
            degradations,
        }
    }

    /// The best of the catalogue's rows that are allowed and of the new items.
    fn strict(&self, scores: &CatalogueScores, n: usize) -> Vec<Ranked> {
        let Material {
            allowed,
            query,
            new_items,
        } = &self.material;
        let best = top_k(&scores.values, n, |row| {
            allowed.strict.contains(row as usize)
        });
        let best = best.iter().map(|(row, _)| self.of_row(*row, scores));
        let mut list: Vec<Ranked> = best.collect();
        if new_items.is_empty() {
            return list;
        }
        for new in new_items {
            let found = query.as_ref().map_or(0.0, |query| {
                query.found.score_of(&self.model, &new.read)
            });
            let score = scores.of_new_item(new.language_score, found);
            list.push(Ranked {
                place: Place::New(new.read.item.clone()),
                score: score.score,
                source: score.source(),
                query_contribution: score.query_contribution,
            });
        }
        list.sort_by(|one, other| other.score.total_cmp(&one.score));
        list.truncate(n);
        list
    }

    /// An item of the catalogue, as it is ranked.
    fn of_row(&self, row: u32, scores: &CatalogueScores) -> Ranked {
        Ranked {
            place: Place::Row(row),
            score: scores.values[row as usize],
            source: self.model.ranking.source(scores, row),
            query_contribution: scores.query_contribution(row),
        }
    }
}

impl RankedPage {
    pub(super) fn items(&self, model: &LoadedModel) -> Vec<ScoredItem> {
        let mut items = Vec::with_capacity(self.ranked.len());
        for ranked in &self.ranked {
            let item = match &ranked.place {
                Place::Row(row) => model.item(*row),
                Place::New(item) => item,
            };
            items.push(ScoredItem {
                item: item.id.clone(),
                title: item.title.clone(),
                score: ranked.score,
                source: ranked.source,
                query_contribution: ranked.query_contribution,
                reasons: Vec::new(),
            });
        }
        items
    }

    /// The items that have reasons: nothing is known yet of what moves the
    /// score of a new one.
    pub(super) fn explained<'a>(
        &self,
        language_scores: &'a [f32],
    ) -> ExplainedItems<'a> {
        let mut rows = Vec::with_capacity(self.ranked.len());
        for ranked in &self.ranked {
            if let Place::Row(row) = ranked.place {
                rows.push(row);
            }
        }
        ExplainedItems {
            rows,
            language_scores,
            own_scale: self.own_scale,
        }
    }

    /// Gives the items of the page their reasons, which are in the same order.
    pub(super) fn add_reasons(
        &self,
        items: &mut [ScoredItem],
        reasons: Vec<Vec<Reason>>,
    ) {
        let mut reasons = reasons.into_iter();
        for (item, ranked) in items.iter_mut().zip(&self.ranked) {
            if matches!(ranked.place, Place::Row(_)) {
                item.reasons = reasons.next().unwrap_or_default();
            }
        }
    }
}
