//! What ranks a catalogue once the language model's scores are there: they are
//! mixed with a light model's where there is one, and popularity ranks for
//! strangers without a history.

use domain::Source;
use fixedbitset::FixedBitSet;
use model::ItemWeights;
use model::hybrid::{Mixed, Origin, Shares, Standardization, is_most};

/// For whom a catalogue is ranked, as one version knows them.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Rows of the whole history, in prompt order; items that the version does
    /// not know left out.
    pub(crate) seen: Vec<u32>,
    /// True when the version has no row for the user, or it must not be used.
    pub(crate) is_stranger: bool,
}

/// What a version ranks by beside its language model.
#[derive(Debug)]
pub(crate) struct Ranking {
    light: Option<LightModel>,
    /// Share of all training interactions that each item has; absent in older
    /// versions.
    popularity: Option<Vec<f32>>,
    /// Items that nobody had interacted with.
    cold: FixedBitSet,
}

/// The light model of a hybrid.
#[derive(Debug)]
pub(super) struct LightModel {
    weights: ItemWeights,
    /// Its share of the mixed scores, 0 to 1.
    share: f64,
    /// Rows of the items that it does not know.
    unknown: Vec<u32>,
}

/// A user's scores over the catalogue, and where they come from.
pub(crate) struct CatalogueScores {
    /// The scores that are served `[items]`.
    pub(crate) values: Vec<f32>,
    origins: Origins,
    /// What a query did to them.
    of_query: Option<QueryScores>,
}

/// The parts of scores that a query was mixed into.
struct QueryScores {
    /// What the query adds `[items]`.
    added: Vec<f32>,
    /// How the scores without it were standardised.
    own: Standardization,
    /// The query's share, 0 to 1.
    weight: f64,
}

enum Origins {
    LanguageModel,
    Hybrid(Mixed),
    Popularity,
}

/// How the language model came to its scores of some items.
pub(crate) struct LanguageExplanation<'a> {
    pub(crate) items: &'a [u32],
    /// What each item of the history adds to the score of each item
    /// `[items][history]`.
    pub(crate) contributions: Vec<Vec<f32>>,
    pub(crate) scores: &'a [f32],
}

impl CatalogueScores {
    fn new(values: Vec<f32>, origins: Origins) -> Self {
        Self {
            values,
            origins,
            of_query: None,
        }
    }

    /// Mixes in what a query found `[items]`, in standard deviations: alone
    /// where nothing is known of the user.
    pub(crate) fn add_query(&mut self, found: &[f32], weight: f64) {
        let weight = match self.origins {
            Origins::Popularity => 1.0,
            Origins::LanguageModel | Origins::Hybrid(_) => weight,
        };
        let own = Standardization::of(&self.values);
        let mut added = found.to_vec();
        for (value, added) in self.values.iter_mut().zip(&mut added) {
            *added *= weight as f32;
            *value = (1.0 - weight) as f32 * own.apply(*value) + *added;
        }
        self.of_query = Some(QueryScores { added, own, weight });
    }

    /// What the query added to an item's score.
    pub(crate) fn query_contribution(&self, row: u32) -> f32 {
        let of_query = self.of_query.as_ref();
        of_query.map_or(0.0, |of_query| of_query.added[row as usize])
    }

    /// What a unit of the scores without the query comes to.
    pub(crate) fn own_scale(&self) -> f32 {
        let of_query = self.of_query.as_ref();
        of_query.map_or(1.0, |QueryScores { own, weight, .. }| {
            (own.scale * (1.0 - weight)) as f32
        })
    }

    /// The score without a query of an item that is not in the catalogue, from
    /// the language model's: as that of one which the light model does not
    /// know. Nobody took it, where popularity ranks.
    pub(crate) fn own_of_new_item(&self, language: f32) -> f32 {
        match &self.origins {
            Origins::LanguageModel => language,
            Origins::Hybrid(mixed) => mixed.of_unknown(language),
            Origins::Popularity => 0.0,
        }
    }

    /// The score of an item that is not in the catalogue, from the language
    /// model's and from how well it matches the query.
    pub(crate) fn of_new_item(
        &self,
        language: f32,
        found: f32,
    ) -> NewItemScore {
        let own = self.own_of_new_item(language);
        match &self.of_query {
            None => NewItemScore {
                score: own,
                query_contribution: 0.0,
            },
            Some(query) => {
                let added = found * query.weight as f32;
                let own = (1.0 - query.weight) as f32 * query.own.apply(own);
                NewItemScore {
                    score: own + added,
                    query_contribution: added,
                }
            }
        }
    }
}

/// The score of an item that is not in the catalogue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewItemScore {
    pub(crate) score: f32,
    pub(crate) query_contribution: f32,
}

impl NewItemScore {
    /// Where the score comes from: the query, for the most part, or the text.
    pub(crate) fn source(&self) -> Source {
        let own = self.score - self.query_contribution;
        if is_most(self.query_contribution, own) {
            Source::Query
        } else {
            Source::ColdStart
        }
    }
}

impl LightModel {
    pub(super) fn new(weights: ItemWeights, share: f64) -> Self {
        Self {
            unknown: weights.unknown_items(),
            weights,
            share,
        }
    }

    /// The shares in one item's score: the language model's alone where this
    /// does not know it.
    fn shares_for(&self, item: u32, shares: Shares) -> Shares {
        if !self.unknown.contains(&item) {
            return shares;
        }
        Shares {
            language: shares.alone,
            light: 0.0,
            alone: shares.alone,
        }
    }
}

impl Ranking {
    /// `counts` are the training interactions of each item.
    pub(super) fn new(
        light: Option<LightModel>,
        counts: Option<&[u32]>,
        n_items: usize,
    ) -> Self {
        let mut cold = FixedBitSet::with_capacity(n_items);
        match (counts, &light) {
            (Some(counts), _) => cold.extend(without_interactions(counts)),
            (None, Some(light)) => {
                cold.extend(light.unknown.iter().map(|&row| row as usize))
            }
            (None, None) => {}
        }
        Self {
            light,
            popularity: counts.map(shares_of_all),
            cold,
        }
    }

    /// The scores that are served. The light model goes by the whole history,
    /// as it was measured; a stranger without one gets what is popular.
    pub(crate) fn scores(
        &self,
        language: &[f32],
        listener: &Listener,
    ) -> CatalogueScores {
        let knows_nothing = listener.is_stranger && listener.seen.is_empty();
        if knows_nothing && let Some(popularity) = &self.popularity {
            let values = popularity.clone();
            return CatalogueScores::new(values, Origins::Popularity);
        }
        let Some(light) = &self.light else {
            let values = language.to_vec();
            return CatalogueScores::new(values, Origins::LanguageModel);
        };
        let light_scores = light.weights.scores(&listener.seen);
        let mixed = Mixed::new(
            language.to_vec(),
            light_scores,
            light.share,
            &light.unknown,
        );
        CatalogueScores::new(mixed.scores(), Origins::Hybrid(mixed))
    }

    pub(crate) fn source(&self, scores: &CatalogueScores, row: u32) -> Source {
        if let Some(of_query) = &scores.of_query {
            let added = of_query.added[row as usize];
            let own = scores.values[row as usize] - added;
            if is_most(added, own) {
                return Source::Query;
            }
        }
        let is_cold = self.cold.contains(row as usize);
        match &scores.origins {
            Origins::Popularity => Source::Popularity,
            Origins::LanguageModel | Origins::Hybrid(_) if is_cold => {
                Source::ColdStart
            }
            Origins::LanguageModel => Source::Model,
            Origins::Hybrid(mixed) => match mixed.origin(row) {
                Origin::LanguageModel => Source::Model,
                Origin::CoOccurrence => Source::CoOccurrence,
                Origin::Both => Source::Both,
            },
        }
    }

    /// What each item of the history adds to the served scores
    /// `[items][history]`: the language model's contributions in the units of
    /// these scores, and the light model's.
    pub(crate) fn served_contributions(
        &self,
        language: LanguageExplanation<'_>,
        history: &[u32],
    ) -> Vec<Vec<f32>> {
        let Some(light) = &self.light else {
            return language.contributions;
        };
        let light_scores = light.weights.scores(history);
        let shares = Mixed::shares(language.scores, &light_scores, light.share);
        let mut served = language.contributions;
        for (&item, contributions) in language.items.iter().zip(&mut served) {
            let shares = light.shares_for(item, shares);
            for (contribution, &of_history) in
                contributions.iter_mut().zip(history)
            {
                let of_light = light.weights.weight(of_history, item);
                *contribution =
                    shares.language * *contribution + shares.light * of_light;
            }
        }
        served
    }
}

fn without_interactions(counts: &[u32]) -> impl Iterator<Item = usize> {
    let rows = counts.iter().enumerate();
    rows.filter(|(_, n)| **n == 0).map(|(row, _)| row)
}

fn shares_of_all(counts: &[u32]) -> Vec<f32> {
    let all: f64 = counts.iter().map(|&n| f64::from(n)).sum();
    let shares = counts.iter().map(|&n| f64::from(n) / all.max(1.0));
    shares.map(|share| share as f32).collect()
}
