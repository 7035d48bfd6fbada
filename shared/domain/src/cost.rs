//! How long a job will take: the work of its parts, counted from a specification and a data set's
//! counts, over the rates of a machine that was calibrated by doing such parts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Backbone, Baselines, Light, MAX_LIGHT_ITEMS, Pass, Shape, TrainSpec};

/// What a job's time is spent on, in the order in which it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The data set is read and encoded, the tables get their first rows.
    Start,
    /// EASE is solved for each λ and ranks the validation split.
    Ease,
    /// The random backbone itself learns.
    Warmup,
    /// The content LM.
    Content,
    /// The collaborative LM.
    Collaborative,
    /// Finetuning for ranking.
    Finetuning,
    /// The validation split is ranked.
    Validation,
    /// User tokens and the hybrid's weight are chosen.
    Choice,
    /// The test split is ranked, by the baselines too.
    Test,
    /// Files are written.
    Saving,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Start,
        Self::Ease,
        Self::Warmup,
        Self::Content,
        Self::Collaborative,
        Self::Finetuning,
        Self::Validation,
        Self::Choice,
        Self::Test,
        Self::Saving,
    ];

    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Ease => "ease",
            Self::Warmup => "warmup",
            Self::Content => "content",
            Self::Collaborative => "collaborative",
            Self::Finetuning => "finetuning",
            Self::Validation => "validation",
            Self::Choice => "choice",
            Self::Test => "test",
            Self::Saving => "saving",
        }
    }

    /// The part of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }
}

/// What a part of a job came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// Seconds, all times that the part ran.
    pub seconds: f64,
    /// Real tokens of its training steps.
    pub n_tokens: f64,
}

/// The counts in a data set's manifest that costs follow from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Users.
    pub n_users: usize,
    /// Items, J.
    pub n_items: usize,
    /// Interactions for training.
    pub n_train: usize,
    /// For validation.
    pub n_valid: usize,
    /// For the test.
    pub n_test: usize,
    /// Texts and titles by length: the n-th entry counts those of [`TEXT_STEP`] n to [`TEXT_STEP`]
    /// (n + 1) bytes, the last one longer ones too. Empty in data sets that were imported before
    /// this was counted.
    #[serde(default)]
    pub text_lengths: Vec<usize>,
}

/// Bytes between two entries of [`Counts::text_lengths`].
pub const TEXT_STEP: usize = 16;
/// Entries of [`Counts::text_lengths`].
pub const N_TEXT_STEPS: usize = 64;

/// Seconds that a machine takes for a floating-point operation of a part, all that is done beside
/// it included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Of what.
    pub part: Part,
    /// Width of the backbone that it was measured with.
    pub n_embd: usize,
    /// Seconds an operation.
    pub seconds: f64,
    /// Real tokens a second; 0 where no rows are learned.
    pub tokens_per_second: f64,
}

/// What a machine does in a second, measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// What computes.
    pub device: String,
    /// `f32` or `bf16`.
    pub precision: String,
    /// Cores that it may use.
    pub n_threads: usize,
    /// Products of two f32 matrices, in operations a second.
    pub gemm_f32: f64,
    /// The same in bf16; absent where the device has no bf16 in hardware.
    pub gemm_bf16: Option<f64>,
    /// For each part, at one width or more.
    pub rates: Vec<Rate>,
}

impl Calibration {
    /// How long each part of a job will take, in seconds, if early stopping does not end it; `None`
    /// where a rate is missing or the backbone's shape is not known.
    pub fn estimate(&self, spec: &TrainSpec, counts: &Counts) -> Option<Vec<(Part, f64)>> {
        let Backbone::Random(backbone) = &spec.backbone else {
            return None;
        };
        let operations = operations(spec, counts)?;
        let seconds = |(part, n_operations)| {
            Some((part, self.seconds(part, backbone.n_embd)? * n_operations))
        };
        operations
            .into_iter()
            .filter(|(_, n_operations)| *n_operations > 0.0)
            .map(seconds)
            .collect()
    }

    /// Seconds an operation at a width: between two that were measured in proportion to the widths'
    /// logarithms, outside of them as at the nearest.
    fn seconds(&self, part: Part, n_embd: usize) -> Option<f64> {
        let mut measured: Vec<(f64, f64)> = self
            .rates
            .iter()
            .filter(|rate| rate.part == part)
            .map(|rate| ((rate.n_embd as f64).ln(), rate.seconds))
            .collect();
        measured.sort_by(|one, other| one.0.total_cmp(&other.0));
        let at = (n_embd as f64).ln();
        let above = measured.iter().find(|(width, _)| *width >= at);
        let below = measured.iter().rev().find(|(width, _)| *width <= at);
        match (below, above) {
            (Some(&(low, slow)), Some(&(high, fast))) if high > low => {
                Some(slow + (fast - slow) * (at - low) / (high - low))
            }
            (Some((_, seconds)), _) | (None, Some((_, seconds))) => Some(*seconds),
            (None, None) => None,
        }
    }
}

/// Words of a prompt around its user and items.
const PROMPT: f64 = 10.0;
/// GPT-2 needs a token for so many bytes of English.
const BYTES_A_TOKEN: f64 = 4.4;
/// Operations that ranking one item for one user costs beside its score, next to a product's.
const RANKING: f64 = 20.0;
/// Singular vectors that are tried, summed.
const RANKS_TRIED: f64 = 344.0;
/// Values of λ that EASE is solved for.
const N_LAMBDAS: f64 = 5.0;
/// Weights of the hybrid that are tried.
const N_WEIGHTS: f64 = 11.0;
/// Rankings of the language model before the user token is chosen, and on the test split.
const N_CHOSEN_BY: f64 = 3.0;

/// Operations of each part of a job; `None` where the data set's counts or the backbone's shape are
/// not known.
pub fn operations(spec: &TrainSpec, counts: &Counts) -> Option<BTreeMap<Part, f64>> {
    let Backbone::Random(backbone) = &spec.backbone else {
        return None;
    };
    if counts.text_lengths.is_empty() {
        return None;
    }
    let job = Job {
        spec,
        counts,
        shape: Shape::from(backbone),
        n_positions: backbone.n_positions as f64,
    };
    let content = job.content();
    let (collaborative, finetuning) = (job.collaborative(), job.finetuning());
    let n = spec.n_epochs();
    let n_validations = 1.0 + n.finetuning.div_ceil(spec.evaluation.every.max(1)) as f64;
    let (n_valid, n_test) = (job.n_ranked(counts.n_valid), job.n_ranked(counts.n_test));
    let mixes = if job.has_ease() && spec.hybrid.light == Light::Ease {
        job.ranking(n_valid, N_WEIGHTS)
    } else {
        0.0
    };
    let n_baselines = match spec.evaluation.baselines {
        Baselines::None => 0.0,
        Baselines::Popularity => 1.0,
        Baselines::All => 3.0,
    };
    Some(BTreeMap::from([
        (Part::Start, job.start(n_valid)),
        (
            Part::Ease,
            if job.has_ease() {
                job.ease(n_valid)
            } else {
                0.0
            },
        ),
        // Forward, and the gradients of input and weights.
        (
            Part::Warmup,
            n.warmup as f64 * 1.5 * (content + collaborative),
        ),
        (Part::Content, n.content as f64 * content),
        (Part::Collaborative, n.collaborative as f64 * collaborative),
        (Part::Finetuning, n.finetuning as f64 * finetuning),
        (
            Part::Validation,
            n_validations * job.states(n_valid) + job.ranking(n_valid, n_validations),
        ),
        (
            Part::Choice,
            N_CHOSEN_BY * job.states(n_valid) + job.ranking(n_valid, N_CHOSEN_BY) + mixes,
        ),
        (
            Part::Test,
            N_CHOSEN_BY * job.states(n_test) + job.ranking(n_test, N_CHOSEN_BY + n_baselines),
        ),
        (
            Part::Saving,
            4.0 * (counts.n_users + counts.n_items) as f64 * job.shape.n_embd,
        ),
    ]))
}

/// A job on a data set, counted.
struct Job<'a> {
    spec: &'a TrainSpec,
    counts: &'a Counts,
    shape: Shape,
    n_positions: f64,
}

impl Job<'_> {
    fn n_items(&self) -> f64 {
        self.counts.n_items as f64
    }

    fn n_users(&self) -> f64 {
        self.counts.n_users as f64
    }

    /// Items in a training history, cut where positions end.
    fn mean_history(&self) -> f64 {
        (self.counts.n_train as f64 / self.n_users().max(1.0)).min(self.n_positions - PROMPT)
    }

    /// Users that a split ranks for.
    fn n_ranked(&self, n_interactions: usize) -> f64 {
        n_interactions.min(self.counts.n_users) as f64
    }

    fn has_ease(&self) -> bool {
        self.spec.wants_ease() && self.counts.n_items <= MAX_LIGHT_ITEMS
    }

    fn step(&self, pass: &Pass, n_head_products: f64, n_logits: f64) -> f64 {
        let head = n_head_products * 2.0 * n_logits * self.shape.n_embd;
        pass.forward(&self.shape) + pass.backward(&self.shape) + head
    }

    /// An epoch over texts: the word softmax has no gradient of its own.
    fn content(&self) -> f64 {
        let longest = self.spec.pretraining.max_text_tokens as f64;
        let lengths = self.counts.text_lengths.iter().enumerate();
        let tokens = |place: usize| {
            ((place as f64 + 0.5) * TEXT_STEP as f64 / BYTES_A_TOKEN)
                .min(longest)
                .min(self.n_positions)
        };
        // The first entry counts empty titles and texts of a word: nothing is predicted there.
        let (n_texts, n_words) = lengths.fold((0.0, 0.0), |(n, words), (place, &count)| {
            (n + count as f64, words + count as f64 * tokens(place))
        });
        let mean = n_words / f64::max(n_texts, 1.0);
        let n = match self.spec.pretraining.documents_per_epoch {
            0 => n_texts,
            most => n_texts.min(most as f64),
        };
        let n_read = n * (mean - 1.0).max(0.0);
        self.step(
            &documents(n, PROMPT + mean, n_read, 2.0 * n),
            2.0,
            n_read * self.shape.n_words,
        )
    }

    /// An epoch over histories; the item softmax's rows have a gradient too.
    fn collaborative(&self) -> f64 {
        let (n, history) = (self.n_users(), self.mean_history());
        let n_read = n * (history - 1.0).max(0.0);
        let pass = documents(n, PROMPT + history, n_read, n * (history + 1.0));
        self.step(&pass, 3.0, n_read * self.n_classes())
    }

    fn finetuning(&self) -> f64 {
        let n = self.n_users();
        let history = self.mean_history() * (1.0 - self.spec.finetuning.hidden_share);
        let pass = documents(n, PROMPT + history, n, n * (history + 1.0));
        self.step(&pass, 3.0, n * self.n_classes())
    }

    /// Classes of the item softmax.
    fn n_classes(&self) -> f64 {
        match self.spec.n_sampled_items {
            0 => self.n_items(),
            n => self.n_items().min(n as f64),
        }
    }

    /// User states.
    fn states(&self, n_users: f64) -> f64 {
        documents(n_users, PROMPT + self.mean_history(), n_users, 0.0).forward(&self.shape)
    }

    /// Catalogues scored and ranked, a number of times for each user.
    fn ranking(&self, n_users: f64, n_times: f64) -> f64 {
        n_users * self.n_items() * (2.0 * self.shape.n_embd + n_times * RANKING)
    }

    /// Texts are encoded; each number of singular vectors ranks the validation split.
    fn start(&self, n_users: f64) -> f64 {
        n_users * self.n_items() * (2.0 * RANKS_TRIED + RANKING)
            + 4.0 * RANKS_TRIED * self.counts.n_train as f64
    }

    /// A factor and an inverse for each λ, and a ranking of the validation split.
    fn ease(&self, n_users: f64) -> f64 {
        let ranking = n_users * self.n_items() * (2.0 * self.mean_history() + RANKING);
        N_LAMBDAS * (2.0 * self.n_items().powi(3) + ranking)
    }
}

/// Documents of one length, read at their ends.
fn documents(n: f64, length: f64, n_read: f64, n_soft: f64) -> Pass {
    let n_seen = n * length * (length + 1.0) / 2.0;
    Pass {
        n_tokens: n * length,
        n_read,
        n_soft,
        n_seen,
        n_seen_by_read: n_read * length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DatasetId;

    fn calibration(rates: &[(Part, usize, f64)]) -> Calibration {
        let rate = |&(part, n_embd, seconds)| Rate {
            part,
            n_embd,
            seconds,
            tokens_per_second: 0.0,
        };
        Calibration {
            device: "flex".to_owned(),
            precision: "f32".to_owned(),
            n_threads: 2,
            gemm_f32: 1e11,
            gemm_bf16: None,
            rates: rates.iter().map(rate).collect(),
        }
    }

    fn counts() -> Counts {
        Counts {
            n_users: 100,
            n_items: 50,
            n_train: 1_000,
            n_valid: 100,
            n_test: 100,
            text_lengths: vec![0, 0, 40],
        }
    }

    #[test]
    fn a_rate_between_two_widths_lies_between_theirs() {
        let machine = calibration(&[(Part::Content, 256, 4.0), (Part::Content, 1024, 2.0)]);
        assert_eq!(machine.seconds(Part::Content, 512), Some(3.0));
        assert_eq!(machine.seconds(Part::Content, 64), Some(4.0));
        assert_eq!(machine.seconds(Part::Content, 2048), Some(2.0));
        assert_eq!(machine.seconds(Part::Ease, 256), None);
    }

    #[test]
    fn a_job_takes_in_proportion_to_its_epochs() {
        let rates: Vec<_> = Part::ALL
            .into_iter()
            .map(|part| (part, 256, 1e-11))
            .collect();
        let mut spec = TrainSpec::new(DatasetId::new("d").unwrap());
        let finetuning = |spec: &TrainSpec| {
            let parts = calibration(&rates).estimate(spec, &counts()).unwrap();
            parts
                .into_iter()
                .find(|(part, _)| *part == Part::Finetuning)
                .unwrap()
                .1
        };
        let once = finetuning(&spec);
        spec.finetuning.epochs *= 3;
        assert!((finetuning(&spec) / once - 3.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_said_of_what_is_not_known() {
        let machine = calibration(&[]);
        let spec = TrainSpec::new(DatasetId::new("d").unwrap());
        assert_eq!(machine.estimate(&spec, &counts()), None, "no rates");
        let uncounted = Counts {
            text_lengths: Vec::new(),
            ..counts()
        };
        assert_eq!(operations(&spec, &uncounted), None, "no lengths");
        let files = TrainSpec {
            backbone: Backbone::Path(crate::BackboneLocation::new("gpt2").unwrap()),
            ..spec
        };
        assert_eq!(operations(&files, &counts()), None, "no shape");
    }
}
