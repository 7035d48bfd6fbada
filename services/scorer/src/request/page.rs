//! One page of a list, made of the scores of a whole catalogue on the thread
//! that has them.

use std::sync::Arc;

use domain::{Degradation, Query, ScoredItem, Source};
use model::metrics::top_k;

use crate::request::allowed::AllowedRows;
use crate::request::explain::ExplainedItems;
use crate::request::reader::KnownReader;
use crate::versions::loaded::LoadedModel;
use crate::versions::ranking::Listener;

/// What a ranking thread needs to make a page.
pub(crate) struct PageRequest {
    pub(super) model: Arc<LoadedModel>,
    listener: Arc<Listener>,
    allowed: AllowedRows,
    /// Items of the list before this page.
    pub(super) offset: usize,
    k: usize,
    is_explained: bool,
}

/// A page of a list, as rows.
pub(crate) struct RankedPage {
    rows: Vec<RankedRow>,
    pub(super) has_more: bool,
    /// The language model's scores of the whole catalogue, where reasons were
    /// asked for.
    pub(super) language_scores: Option<Vec<f32>>,
    pub(super) degradations: Vec<Degradation>,
}

struct RankedRow {
    row: u32,
    score: f32,
    source: Source,
}

impl PageRequest {
    pub(super) fn new(
        query: &Query,
        model: &Arc<LoadedModel>,
        reader: &KnownReader,
        allowed: AllowedRows,
    ) -> Self {
        // Reasons are items of the history.
        let is_explained = query.explain && !reader.listener.seen.is_empty();
        Self {
            model: Arc::clone(model),
            listener: Arc::clone(&reader.listener),
            allowed,
            offset: query.page.as_ref().map_or(0, |page| page.offset),
            k: query.k.get(),
            is_explained,
        }
    }

    /// The best rows that are allowed, then, where the request is not strict,
    /// the best of the others. `language` are the language model's scores
    /// `[items]`.
    pub(super) fn rank(self, language: &[f32]) -> RankedPage {
        let ranking = &self.model.ranking;
        let scores = ranking.scores(language, &self.listener);
        let n = self.offset + self.k;
        let n_with_next = n + 1; // one more tells whether there is a next page
        let mut best = top_k(&scores.values, n_with_next, |row| {
            self.allowed.strict.contains(row as usize)
        });
        let n_strict = best.len();
        if let Some(relaxed) = &self.allowed.relaxed {
            let others = top_k(&scores.values, n_with_next - n_strict, |row| {
                relaxed.contains(row as usize)
            });
            best.extend(others);
        }
        let has_more = best.len() == n_with_next;
        best.truncate(n);
        let n_relaxed = best.len().saturating_sub(n_strict.max(self.offset));

        let page = best.get(self.offset..).unwrap_or_default();
        let mut rows = Vec::with_capacity(page.len());
        for &(row, score) in page {
            let source = ranking.source(&scores, row);
            rows.push(RankedRow { row, score, source });
        }
        let mut degradations = self.allowed.degradations;
        if n_relaxed > 0 {
            degradations.push(Degradation::FilterRelaxed(n_relaxed));
        }
        if rows.len() < self.k {
            degradations.push(Degradation::FewerThanAsked);
        }
        RankedPage {
            rows,
            has_more,
            language_scores: self.is_explained.then(|| language.to_vec()),
            degradations,
        }
    }
}

impl RankedPage {
    pub(super) fn items(&self, model: &LoadedModel) -> Vec<ScoredItem> {
        self.rows
            .iter()
            .map(|ranked| {
                model.scored_item(ranked.row, ranked.score, ranked.source)
            })
            .collect()
    }

    pub(super) fn explained<'a>(
        &self,
        language_scores: &'a [f32],
    ) -> ExplainedItems<'a> {
        ExplainedItems {
            rows: self.rows.iter().map(|ranked| ranked.row).collect(),
            language_scores,
        }
    }
}
