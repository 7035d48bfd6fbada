//! What a text finds in a catalogue: the items whose texts have its words, and
//! those that are alike to the item that would have this text.

use std::sync::Arc;

use domain::TextQuery;
use model::KnownWords;
use model::hybrid::Standardization;

use crate::admission::gate::Call;
use crate::compute::rankers::RankingRequest;
use crate::error::Error;
use crate::request::new_items::ReadItem;
use crate::request::recommend::Recommender;
use crate::versions::loaded::LoadedModel;

/// How much the rows count beside the words: with .05 to .1, every second one of
/// the queries of docs/quality.md finds its item most often.
const SHARE_OF_ROWS: f32 = 0.1;

/// What a text found in one version's catalogue.
#[derive(Debug)]
pub(crate) struct Found {
    /// The version's own words of the text.
    words: KnownWords,
    /// How well each item matches, in standard deviations of the catalogue
    /// `[items]`.
    pub(crate) scores: Vec<f32>,
    matches: Standardization,
    rows: Option<FoundRow>,
}

/// The row of an item that would have the text.
#[derive(Debug)]
struct FoundRow {
    row: Vec<f32>,
    cosines: Standardization,
}

impl Found {
    /// How well a new item matches.
    pub(crate) fn score_of(&self, model: &LoadedModel, item: &ReadItem) -> f32 {
        let texts = model.texts.as_ref();
        let matched =
            texts.map_or(0.0, |texts| texts.match_of(&item.words, &self.words));
        let matched = self.matches.apply(matched);
        let Some(FoundRow { row, cosines }) = &self.rows else {
            return matched;
        };
        let lengths = length(row) * length(&item.row);
        let cosine = dot(row, &item.row) / lengths.max(f32::MIN_POSITIVE);
        mixed(matched, cosines.apply(cosine))
    }
}

/// A query's part of the scores, and how much it counts.
#[derive(Debug)]
pub(crate) struct QueryPart {
    pub(crate) found: Found,
    /// How much it counts beside the user, 0 to 1.
    pub(crate) weight: f64,
}

impl Recommender {
    /// What a query finds; `None` when the version knows none of its words.
    pub(crate) async fn query_part(
        &self,
        query: Option<&TextQuery>,
        model: &Arc<LoadedModel>,
        call: &Call,
    ) -> Result<Option<QueryPart>, Error> {
        let Some(query) = query else {
            return Ok(None);
        };
        let found = self.search(&query.text, model, call).await?;
        let weight = query.weight;
        Ok(found.map(|found| QueryPart { found, weight }))
    }

    /// What a text finds; `None` when the version knows none of its words.
    pub(crate) async fn search(
        &self,
        text: &str,
        model: &Arc<LoadedModel>,
        call: &Call,
    ) -> Result<Option<Found>, Error> {
        let (text, reader) = (text.to_owned(), Arc::clone(model));
        let read = self.texts.run(move || read(&text, &reader)).await??;
        if read.words.is_empty() {
            return Ok(None);
        }

        let matches = Standardization::of(&read.matches);
        let mut scores = read.matches;
        matches.apply_to(&mut scores);
        let mut rows = None;
        if let Some(row) = read.row {
            let alike = self.alike_to(&row, model, call).await?;
            let cosines = Standardization::of(&alike);
            for (score, cosine) in scores.iter_mut().zip(alike) {
                *score = mixed(*score, cosines.apply(cosine));
            }
            rows = Some(FoundRow { row, cosines });
        }
        Ok(Some(Found {
            words: read.words,
            scores,
            matches,
            rows,
        }))
    }

    /// The cosines of all items' rows with a row.
    async fn alike_to(
        &self,
        row: &[f32],
        model: &Arc<LoadedModel>,
        call: &Call,
    ) -> Result<Vec<f32>, Error> {
        let scoring = &model.language.scoring;
        let request = RankingRequest {
            scoring,
            state: &scoring.state(row),
            caller: &call.caller,
        };
        let (model, own_length) = (Arc::clone(model), length(row));
        let cosines = self.rankers.scored(request, move |products| {
            let lengths = model.language.item_lengths();
            cosines(products, lengths, own_length)
        });
        cosines.await
    }
}

/// A text as a version reads it.
struct ReadText {
    words: KnownWords,
    /// How well each item's texts match `[items]`.
    matches: Vec<f32>,
    /// The row of an item with this text; absent when it says nothing that two
    /// items' texts say.
    row: Option<Vec<f32>>,
}

fn read(text: &str, model: &LoadedModel) -> Result<ReadText, Error> {
    let texts = model.texts()?;
    let words = texts.words_of_query(text);
    Ok(ReadText {
        matches: texts.matches(&words),
        row: texts.row(&words),
        words,
    })
}

fn mixed(matched: f32, alike: f32) -> f32 {
    (1.0 - SHARE_OF_ROWS) * matched + SHARE_OF_ROWS * alike
}

/// The cosines with all rows, of the inner products with them.
pub(super) fn cosines(
    products: &[f32],
    lengths: &[f32],
    own_length: f32,
) -> Vec<f32> {
    let mut cosines = Vec::with_capacity(products.len());
    for (product, length) in products.iter().zip(lengths) {
        let lengths = (length * own_length).max(f32::MIN_POSITIVE);
        cosines.push(product / lengths);
    }
    cosines
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn length(row: &[f32]) -> f32 {
    dot(row, row).sqrt()
}
