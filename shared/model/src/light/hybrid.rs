//! Two models' scores as one: the language model's and a light one's, each
//! standardised over the catalogue. Evaluation and serving call the same
//! function.

/// Where most of an item's score comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The language model gives most of the score.
    LanguageModel,
    /// The light model gives most of it: what others took together.
    CoOccurrence,
    /// Both models give a good part of it.
    Both,
}

/// The two parts of one user's scores.
#[derive(Debug, Clone)]
pub struct Mixed {
    /// The language model's part `[items]`.
    language: Vec<f32>,
    /// The light model's part `[items]`.
    light: Vec<f32>,
    /// The origin of an item that neither model likes better than the average.
    usual: Origin,
    /// What the language model's scores were standardised by.
    of_language: Standardization,
}

/// What a unit of each model's raw score comes to in a mixed score.
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    /// What a unit of the language model's score comes to.
    pub language: f32,
    /// What a unit of the light model's score comes to.
    pub light: f32,
    /// What a unit of the language model's score comes to for items that the
    /// light model does not know.
    pub alone: f32,
}

/// The share of both parts from which on a part is the origin by itself.
const MOST: f32 = 0.75;

impl Mixed {
    /// `(1 − weight) · standardised language scores` and
    /// `weight · standardised light scores`. A light model that knows nothing
    /// of this user counts for nothing, and the items that it does not know are
    /// the language model's alone.
    pub fn new(
        language: Vec<f32>,
        light: Vec<f32>,
        weight: f64,
        unknown: &[u32],
    ) -> Self {
        debug_assert_eq!(
            language.len(),
            light.len(),
            "both score the same catalogue"
        );
        let weight = effective_weight(&light, weight);
        let usual = if weight > 0.5 {
            Origin::CoOccurrence
        } else {
            Origin::LanguageModel
        };

        let of_language = Standardization::of(&language);
        let mut language = language;
        of_language.apply_to(&mut language);
        let mut light = standardized(light);
        let whole: Vec<f32> = unknown
            .iter()
            .map(|&item| language[item as usize])
            .collect();
        scale(&mut language, 1.0 - weight);
        scale(&mut light, weight);

        for (&item, score) in unknown.iter().zip(whole) {
            language[item as usize] = score;
            light[item as usize] = 0.0;
        }
        Self {
            language,
            light,
            usual,
            of_language,
        }
    }

    /// What a unit of each model's raw score comes to in the sum.
    pub fn shares(language: &[f32], light: &[f32], weight: f64) -> Shares {
        let weight = effective_weight(light, weight);
        let alone = Standardization::of(language).scale as f32;
        Shares {
            language: alone * (1.0 - weight) as f32,
            light: (Standardization::of(light).scale * weight) as f32,
            alone,
        }
    }

    /// The score of an item beside the catalogue, as that of one which the light
    /// model does not know: the language model's alone.
    pub fn of_unknown(&self, language: f32) -> f32 {
        self.of_language.apply(language)
    }

    /// The mixed scores: the sums of both parts `[items]`.
    pub fn scores(&self) -> Vec<f32> {
        let parts = self.language.iter().zip(&self.light);
        parts.map(|(language, light)| language + light).collect()
    }

    /// Where an item's score comes from.
    pub fn origin(&self, row: u32) -> Origin {
        let language = self.language[row as usize];
        let light = self.light[row as usize];
        if language <= 0.0 && light <= 0.0 {
            self.usual
        } else if is_most(language, light) {
            Origin::LanguageModel
        } else if is_most(light, language) {
            Origin::CoOccurrence
        } else {
            Origin::Both
        }
    }
}

/// True when one part of a score is nearly all that speaks for an item.
pub fn is_most(part: f32, other: f32) -> bool {
    part > 0.0 && part >= MOST * (part + other.max(0.0))
}

/// The light model's weight: none where it scores all items the same.
fn effective_weight(light: &[f32], weight: f64) -> f64 {
    let knows_nothing = light.iter().all(|&score| score == light[0]);
    if knows_nothing { 0.0 } else { weight }
}

fn scale(scores: &mut [f32], share: f64) {
    for score in scores {
        *score = (f64::from(*score) * share) as f32;
    }
}

/// Scores of one user over the catalogue, shifted and scaled to mean 0 and
/// variance 1; all 0 where they are all the same.
pub fn standardized(mut scores: Vec<f32>) -> Vec<f32> {
    Standardization::of(&scores).apply_to(&mut scores);
    scores
}

/// What standardises the scores of a catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Standardization {
    mean: f64,
    /// One over the standard deviation; 0 where all scores are the same.
    pub scale: f64,
}

impl Standardization {
    /// A score in standard deviations from the catalogue's mean.
    pub fn apply(&self, score: f32) -> f32 {
        ((f64::from(score) - self.mean) * self.scale) as f32
    }

    /// Standardises scores in their place.
    pub fn apply_to(&self, scores: &mut [f32]) {
        for score in scores {
            *score = self.apply(*score);
        }
    }

    /// What standardises these scores.
    pub fn of(scores: &[f32]) -> Self {
        let n = scores.len().max(1) as f64;
        let values = scores.iter().map(|&score| f64::from(score));
        let mean = values.sum::<f64>() / n;
        let squares = scores
            .iter()
            .map(|&score| (f64::from(score) - mean).powi(2));
        let variance = squares.sum::<f64>() / n;
        let scale = if variance > 0.0 {
            1.0 / variance.sqrt()
        } else {
            0.0
        };
        Self { mean, scale }
    }
}

/// A teacher's distribution over the catalogue: the softmax of its standardised
/// scores times `sharpness`.
pub fn softened(scores: Vec<f32>, sharpness: f64) -> Vec<f32> {
    let mut scores = standardized(scores);
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for score in &mut scores {
        *score = ((*score - most) * sharpness as f32).exp();
    }

    let values = scores.iter().map(|&score| f64::from(score));
    let sum = values.sum::<f64>();
    for score in &mut scores {
        *score = (f64::from(*score) / sum) as f32;
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standardized_scores_have_mean_0_and_variance_1() {
        let scores = standardized(vec![1.0, 2.0, 6.0]);
        assert!(scores.iter().sum::<f32>().abs() < 1e-6);
        assert!((scores.iter().map(|s| s * s).sum::<f32>() - 3.0).abs() < 1e-5);
        assert_eq!(standardized(vec![4.0; 3]), [0.0; 3]);
    }

    #[test]
    fn the_ends_of_the_mix_are_the_two_models() {
        let (language, light) = (vec![3.0, 1.0, 2.0], vec![0.0, 5.0, 0.5]);
        let order = |weight: f64| {
            let scores =
                Mixed::new(language.clone(), light.clone(), weight, &[])
                    .scores();
            crate::metrics::top_k(&scores, 3, |_| true)
                .into_iter()
                .map(|(item, _)| item)
                .collect::<Vec<_>>()
        };
        assert_eq!(order(0.0), [0, 2, 1]);
        assert_eq!(order(1.0), [1, 2, 0]);
    }

    #[test]
    fn an_item_that_one_model_alone_likes_comes_from_that_model() {
        let mixed = Mixed::new(
            vec![9.0, 0.0, 9.0, 0.0],
            vec![0.0, 9.0, 9.0, 0.0],
            0.5,
            &[],
        );
        assert_eq!(
            [0, 1, 2].map(|row| mixed.origin(row)),
            [Origin::LanguageModel, Origin::CoOccurrence, Origin::Both]
        );
    }

    #[test]
    fn a_light_model_that_knows_nothing_leaves_the_language_model_alone() {
        let mixed = Mixed::new(vec![1.0, 3.0, 2.0], vec![0.0; 3], 1.0, &[]);
        assert_eq!(mixed.scores(), standardized(vec![1.0, 3.0, 2.0]));
        assert_eq!(mixed.origin(1), Origin::LanguageModel);
    }

    #[test]
    fn an_item_that_the_light_model_does_not_know_is_the_language_models() {
        let language = vec![1.0, 3.0, 2.0];
        let mixed =
            Mixed::new(language.clone(), vec![5.0, 0.0, 1.0], 1.0, &[1]);
        assert_eq!(mixed.scores()[1], standardized(language)[1]);
        assert_eq!(mixed.origin(1), Origin::LanguageModel);
        assert_eq!(mixed.origin(0), Origin::CoOccurrence);
    }

    #[test]
    fn a_sharper_teacher_is_surer() {
        let [soft, sharp] = [1.0, 4.0]
            .map(|sharpness| softened(vec![0.1, 0.5, 0.2], sharpness));
        assert!((sharp.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(sharp[1] > soft[1] && soft[1] > soft[2]);
    }
}
