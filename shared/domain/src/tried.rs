//! What a job tries before it chooses, and how often it measures. A worker goes
//! through these lists, and the costs count them.

use crate::metric::RankedBy;
use crate::model_version::UserToken;
use crate::train_spec::{
    Baselines, MAX_LIGHT_ITEMS, ReadTexts, TableInit, TrainSpec,
};

/// Values of λ that EASE is fitted with; the one that ranks the validation
/// split best stays.
pub const EASE_LAMBDAS: [f64; 5] = [50.0, 100.0, 200.0, 500.0, 1000.0];
/// EASE's λ where there is no validation split to choose by.
pub const UNCHOSEN_EASE_LAMBDA: f64 = 200.0;

/// Strengths of the texts beside the interactions in EASE, β, that are tried
/// once its λ is chosen.
pub const LIGHT_TEXT_STRENGTHS: [f64; 5] = [1.0, 3.0, 10.0, 30.0, 100.0];
/// EASE's β where there is no validation split to choose by.
pub const UNCHOSEN_LIGHT_TEXT_STRENGTH: f64 = 3.0;
/// Strengths of the texts beside the interactions in a spectral start, γ, that
/// are tried.
pub const START_TEXT_STRENGTHS: [f64; 5] = [0.0, 0.03, 0.1, 0.3, 1.0];
/// The start's γ where there is no validation split to choose by.
pub const UNCHOSEN_START_TEXT_STRENGTH: f64 = 0.1;

/// How many times stronger the texts are in the light model that the hybrid
/// tries beside the one that ranks best by itself. Stronger texts rank better
/// beside the language model than alone: it knows the interactions already.
pub const PARTNER_TEXT_FACTOR: f64 = 3.0;

/// Over how many places of a history a pair's weight falls to 1/e in the light
/// model that heeds the order of histories, and by how much its λ is smaller
/// than that of the one that does not: fewer pairs count. Chosen on the
/// validation splits of games, beauty and musical_instruments.
pub const PARTNER_NEARNESS: f64 = 2.0;
/// See [`PARTNER_NEARNESS`].
pub const PARTNER_NEARNESS_LAMBDA_PART: f64 = 8.0;

/// Numbers of singular vectors that a spectral start tries; the one that ranks
/// the validation split best by itself stays.
pub const SPECTRAL_RANKS: [usize; 6] = [8, 16, 32, 64, 96, 128];
/// The number of singular vectors where there is no validation split to choose
/// by.
pub const UNCHOSEN_SPECTRAL_RANK: usize = 64;

/// User tokens that the best tables are ranked with before one is chosen.
pub const USER_TOKENS: [UserToken; 3] =
    [UserToken::Own, UserToken::Absent, UserToken::Mean];

/// Weights of a hybrid's light model that are tried.
pub const HYBRID_WEIGHTS: [f64; 11] =
    [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// Values of λ that EASE is fitted with, whether or not there is a validation
/// split.
pub fn ease_lambdas(has_validation: bool) -> &'static [f64] {
    if has_validation {
        &EASE_LAMBDAS
    } else {
        &[UNCHOSEN_EASE_LAMBDA]
    }
}

impl TrainSpec {
    /// Numbers of singular vectors that are tried where `n_vectors` exist; none
    /// where the job does not start from singular vectors or says how many.
    pub fn spectral_ranks(&self, n_vectors: usize) -> Vec<usize> {
        if self.init != TableInit::Spectral || self.spectral_rank > 0 {
            return Vec::new();
        }
        let mut ranks = SPECTRAL_RANKS.to_vec();
        ranks.retain(|rank| *rank <= n_vectors);
        ranks
    }

    /// True where the items' texts count.
    pub fn reads_texts(&self) -> bool {
        self.reading.texts != ReadTexts::None
    }

    /// How often EASE is fitted before one is chosen, at most: for each λ, and
    /// where texts are read for each of their strengths and for the λ on either
    /// side of the best one.
    pub fn n_ease_fits(&self, has_validation: bool) -> usize {
        let n_lambdas = ease_lambdas(has_validation).len();
        if !self.reads_texts() {
            return n_lambdas;
        }
        let is_open = has_validation && self.reading.light_strength == 0.0;
        let n_strengths = if is_open {
            LIGHT_TEXT_STRENGTHS.len()
        } else {
            1
        };
        let n_beside = if has_validation { 2 } else { 0 };
        n_lambdas + n_strengths + n_beside
    }

    /// For how many strengths of the texts singular vectors are computed, at
    /// most.
    pub fn n_starts(&self, has_validation: bool) -> usize {
        let is_open = has_validation && self.reading.start_strength == 0.0;
        if self.reads_texts() && is_open {
            START_TEXT_STRENGTHS.len()
        } else {
            1
        }
    }

    /// True when EASE is needed and the catalogue is not too large for it.
    pub fn fits_ease(&self, n_items: usize) -> bool {
        self.wants_ease() && n_items <= MAX_LIGHT_ITEMS
    }

    /// Rankings of the validation split before the user token is chosen, if the
    /// job does not stop early: one before finetuning, one after every so many
    /// of its epochs, one after the last.
    pub fn n_validations(&self) -> usize {
        let every = self.evaluation.every.max(1);
        1 + self.finetuning.epochs.div_ceil(every)
    }

    /// The simpler methods that are measured beside the model on a catalogue of
    /// `n_items`: EASE wherever there is one anyway, and the one that reads where
    /// there are texts.
    pub fn measured_baselines(&self, n_items: usize) -> Vec<RankedBy> {
        let wanted = self.evaluation.baselines;
        if wanted == Baselines::None {
            return Vec::new();
        }
        let mut measured = vec![RankedBy::Popularity];
        if wanted == Baselines::All && n_items <= MAX_LIGHT_ITEMS {
            measured.push(RankedBy::ItemKnn);
        }
        if self.fits_ease(n_items) {
            measured.push(RankedBy::Ease);
            if self.reads_texts() {
                measured.push(RankedBy::EaseWithTexts);
            }
        }
        measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::DatasetId;
    use crate::train_spec::Light;

    fn spec() -> TrainSpec {
        TrainSpec::new(DatasetId::new("d").unwrap())
    }

    #[test]
    fn a_rank_is_searched_for_only_where_it_is_open() {
        let mut spec = spec();
        assert_eq!(spec.spectral_ranks(1_000), SPECTRAL_RANKS);
        assert_eq!(spec.spectral_ranks(40), [8, 16, 32]);
        spec.spectral_rank = 32;
        assert!(spec.spectral_ranks(1_000).is_empty(), "the job says it");
        (spec.spectral_rank, spec.init) = (0, TableInit::Normal);
        assert!(spec.spectral_ranks(1_000).is_empty(), "no vectors");
    }

    #[test]
    fn a_large_catalogue_is_compared_with_popularity_alone() {
        let mut spec = spec();
        assert_eq!(
            spec.measured_baselines(MAX_LIGHT_ITEMS),
            RankedBy::BASELINES
        );
        let popularity = [RankedBy::Popularity];
        assert_eq!(spec.measured_baselines(MAX_LIGHT_ITEMS + 1), popularity);
        spec.evaluation.baselines = Baselines::Popularity;
        assert!(spec.measured_baselines(10).contains(&RankedBy::Ease));
        spec.reading.texts = ReadTexts::None;
        assert_eq!(spec.measured_baselines(10).last(), Some(&RankedBy::Ease));
        (spec.hybrid.light, spec.finetuning.distilled_share) =
            (Light::None, 0.0);
        assert_eq!(
            spec.measured_baselines(10),
            popularity,
            "nobody needs EASE"
        );
    }

    #[test]
    fn a_job_without_finetuning_is_validated_once() {
        let mut spec = spec();
        spec.finetuning.epochs = 0;
        assert_eq!(spec.n_validations(), 1);
        (spec.finetuning.epochs, spec.evaluation.every) = (5, 2);
        assert_eq!(spec.n_validations(), 4);
    }
}
