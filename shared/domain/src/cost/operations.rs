//! How much each part of a job computes, counted from its specification and its
//! data set's counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cost::body::Body;
use crate::cost::part::Part;
use crate::metric::RankedBy;
use crate::train_spec::{Light, TrainSpec};
use crate::tried::{HYBRID_WEIGHTS, USER_TOKENS};
use crate::work::{Pass, Shape};

/// The counts in a data set's manifest that costs follow from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// The number of users.
    pub n_users: usize,
    /// The number of items, J.
    pub n_items: usize,
    /// Interactions for training.
    pub n_train: usize,
    /// Interactions that are held out for validation.
    pub n_valid: usize,
    /// Interactions that are held out for the test.
    pub n_test: usize,
    /// Texts and titles by length: the n-th entry counts those of [`TEXT_STEP`]
    /// n to [`TEXT_STEP`] (n + 1) bytes, the last one longer ones too. Empty in
    /// data sets that were imported before this was counted.
    #[serde(default)]
    pub text_lengths: Vec<usize>,
}

/// Bytes between two entries of [`Counts::text_lengths`].
pub const TEXT_STEP: usize = 16;
/// The number of entries of [`Counts::text_lengths`].
pub const N_TEXT_STEPS: usize = 64;

/// Tokens of the prompt of a text, without the text's last one: nothing is read
/// behind that.
const CONTENT_PROMPT: f64 = 7.0;
/// Tokens around a history that is asked for item by item, without its last
/// one.
const COLLABORATIVE_PROMPT: f64 = 3.0;
/// Words around a history after which the catalogue is ranked.
const RANKING_PROMPT: f64 = 7.0;
/// How often the user's token is in that prompt.
const USER_IN_PROMPT: f64 = 2.0;
/// Rows of a user or an item in a checkpoint: one of each language model, and
/// what the optimiser keeps of it.
const N_TABLES: f64 = 4.0;
/// GPT-2 needs a token for so many bytes of English.
const BYTES_A_TOKEN: f64 = 4.4;
/// Operations that ranking one item for one user costs beside its score, next
/// to a product's.
const RANKING: f64 = 20.0;
/// Whose rankings of the test split take a pass of the language model, at most.
const RANKED_BY_LANGUAGE_MODEL: [RankedBy; 3] =
    [RankedBy::Served, RankedBy::LanguageModel, RankedBy::NewUser];

/// Operations of each part of a job on a language model of these sizes; `None`
/// where the data set's texts were not counted.
pub fn operations(
    spec: &TrainSpec,
    counts: &Counts,
    body: &Body,
) -> Option<BTreeMap<Part, f64>> {
    if counts.text_lengths.is_empty() {
        return None;
    }
    let job = Job {
        spec,
        counts,
        body,
        shape: *body.shape(),
        n_positions: body.n_positions() as f64,
    };
    let n = spec.n_epochs();
    let n_fits = 1.0 + job.final_fit();
    let content = n_fits * job.content();
    let collaborative = n_fits * job.collaborative();
    let finetuning = n_fits * job.finetuning();
    Some(BTreeMap::from([
        (Part::Start, job.start()),
        (Part::Ease, job.ease()),
        // Forward, and the gradients of input and weights.
        (
            Part::Warmup,
            n.warmup as f64 * 1.5 * (content + collaborative),
        ),
        (Part::Content, n.content as f64 * content),
        (Part::Collaborative, n.collaborative as f64 * collaborative),
        (Part::Finetuning, n.finetuning as f64 * finetuning),
        (Part::Validation, job.validation()),
        (Part::Choice, job.choice()),
        (Part::Test, job.test()),
        (Part::Saving, job.saving()),
    ]))
}

/// A job on a data set, counted.
struct Job<'a> {
    spec: &'a TrainSpec,
    counts: &'a Counts,
    body: &'a Body,
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
        let mean = self.counts.n_train as f64 / self.n_users().max(1.0);
        mean.min(self.n_positions - RANKING_PROMPT - USER_IN_PROMPT)
    }

    /// Users that the validation split ranks for.
    fn n_validated(&self) -> f64 {
        self.counts.n_valid.min(self.counts.n_users) as f64
    }

    /// Users that the test split ranks for.
    fn n_tested(&self) -> f64 {
        self.counts.n_test.min(self.counts.n_users) as f64
    }

    fn fits_ease(&self) -> bool {
        self.spec.fits_ease(self.counts.n_items)
    }

    /// What an epoch of the final fit costs, next to one on the training split;
    /// 0 where there is no final fit.
    fn final_fit(&self) -> f64 {
        let Counts {
            n_train,
            n_valid,
            n_test,
            ..
        } = *self.counts;
        let n_held_out = n_valid + n_test;
        if !self.spec.fits_finally() || n_held_out == 0 {
            return 0.0;
        }
        (n_train + n_held_out) as f64 / n_train.max(1) as f64
    }

    /// Tokens of a text of a length, as an index into [`Counts::text_lengths`].
    fn n_tokens(&self, length: usize) -> f64 {
        let n_bytes = (length as f64 + 0.5) * TEXT_STEP as f64;
        let longest = self.spec.pretraining.max_text_tokens as f64;
        (n_bytes / BYTES_A_TOKEN).min(longest).min(self.n_positions)
    }

    /// An epoch over texts.
    fn content(&self) -> f64 {
        let mut n_texts = 0.0;
        let mut n_words = 0.0;
        for (length, &count) in self.counts.text_lengths.iter().enumerate() {
            n_texts += count as f64;
            n_words += count as f64 * self.n_tokens(length);
        }
        let mean = n_words / f64::max(n_texts, 1.0);
        let n = match self.spec.pretraining.documents_per_epoch {
            0 => n_texts,
            most => n_texts.min(most as f64),
        };
        content_epoch(&self.shape, n, mean)
    }

    /// An epoch over histories.
    fn collaborative(&self) -> f64 {
        let (n, history) = (self.n_users(), self.mean_history());
        let n_read = n * (history - 1.0).max(0.0);
        let length = COLLABORATIVE_PROMPT + history;
        let pass = documents(n, length, n_read, n * (history + 1.0));
        step(&self.shape, &pass, self.item_softmax(n_read))
    }

    /// An epoch over prompts that hide a part of the history.
    fn finetuning(&self) -> f64 {
        let n = self.n_users();
        let history =
            self.mean_history() * (1.0 - self.spec.finetuning.hidden_share);
        let mut n_soft = history;
        if !self.spec.finetuning.without_user_token {
            n_soft += USER_IN_PROMPT;
        }
        let length = RANKING_PROMPT + n_soft;
        let pass = documents(n, length, n, n * n_soft);
        step(&self.shape, &pass, self.item_softmax(n))
    }

    /// The item softmax at some positions; its rows have a gradient too.
    fn item_softmax(&self, n_read: f64) -> Head {
        Head {
            n_products: 3.0,
            n_logits: n_read * self.n_classes(),
        }
    }

    /// Classes of the item softmax.
    fn n_classes(&self) -> f64 {
        match self.spec.n_sampled_items {
            0 => self.n_items(),
            n => self.n_items().min(n as f64),
        }
    }

    /// The states of some users, each a pass over a prompt.
    fn states(&self, n_users: f64) -> f64 {
        let length = RANKING_PROMPT + USER_IN_PROMPT + self.mean_history();
        documents(n_users, length, n_users, 0.0).forward(&self.shape)
    }

    /// Catalogues scored and ranked, a number of times for each user.
    fn ranking(&self, n_users: f64, n_times: usize) -> f64 {
        n_users
            * self.n_items()
            * (2.0 * self.shape.n_embd + n_times as f64 * RANKING)
    }

    /// The language model ranks for some users, a number of times.
    fn language_model(&self, n_users: f64, n_times: usize) -> f64 {
        n_times as f64 * self.states(n_users) + self.ranking(n_users, n_times)
    }

    /// Each number of singular vectors that is tried ranks the validation
    /// split.
    fn start(&self) -> f64 {
        let n_vectors = self.n_vectors_tried();
        if n_vectors == 0.0 {
            return 0.0;
        }
        let ranking =
            self.n_validated() * self.n_items() * (2.0 * n_vectors + RANKING);
        let n_starts = self.spec.n_starts(self.counts.n_valid > 0);
        let products = 4.0 * n_vectors * self.counts.n_train as f64;
        n_starts as f64 * (ranking + products)
    }

    /// The numbers of singular vectors that are tried, summed. There are no
    /// more vectors than users, items or columns.
    fn n_vectors_tried(&self) -> f64 {
        if self.counts.n_valid == 0 {
            return 0.0;
        }
        let width = self.shape.n_embd as usize;
        let most = self.counts.n_items.min(self.counts.n_users).min(width);
        let n: usize = self.spec.spectral_ranks(most).iter().sum();
        n as f64
    }

    /// Fits of EASE, each with a ranking of the validation split.
    fn ease(&self) -> f64 {
        if !self.fits_ease() {
            return 0.0;
        }
        let n_fits = self.spec.n_ease_fits(self.counts.n_valid > 0);
        let an_item = 2.0 * self.mean_history() + RANKING;
        let ranking = self.n_validated() * self.n_items() * an_item;
        let chosen = n_fits as f64 * (self.ease_fit() + ranking);
        if self.final_fit() == 0.0 {
            return chosen;
        }
        // Once more as the teacher, and as the partner with stronger texts.
        let n_again = if self.spec.reads_texts() { 2.0 } else { 1.0 };
        chosen + n_again * self.ease_fit()
    }

    /// A factor and an inverse.
    fn ease_fit(&self) -> f64 {
        2.0 * self.n_items().powi(3)
    }

    /// Rankings of the validation split between the epochs.
    fn validation(&self) -> f64 {
        self.language_model(self.n_validated(), self.spec.n_validations())
    }

    /// A ranking of the validation split for each user token, then one for each
    /// weight of a mix.
    fn choice(&self) -> f64 {
        let n_users = self.n_validated();
        let tokens = self.language_model(n_users, USER_TOKENS.len());
        if !self.fits_ease() || self.spec.hybrid.light != Light::Ease {
            return tokens;
        }
        let mixes = self.ranking(n_users, HYBRID_WEIGHTS.len());
        if !self.spec.reads_texts() {
            return tokens + mixes;
        }
        // The light model with stronger texts is tried too.
        tokens + 2.0 * mixes + self.ease_fit()
    }

    /// The test split, ranked by the language model and by the baselines.
    fn test(&self) -> f64 {
        let n_users = self.n_tested();
        let n_passes = RANKED_BY_LANGUAGE_MODEL.len();
        let n_baselines =
            self.spec.measured_baselines(self.counts.n_items).len();
        n_passes as f64 * self.states(n_users)
            + self.ranking(n_users, n_passes + n_baselines)
    }

    /// The tables and the backbone are written, so many numbers.
    fn saving(&self) -> f64 {
        let tables = (self.n_users() + self.n_items()) * self.shape.n_embd;
        N_TABLES * tables + self.body.n_weights()
    }
}

/// Operations of an epoch of the content LM over `n_texts` texts of `n_words`
/// words: a pass and its gradients. The word softmax has none of its own.
pub fn content_epoch(shape: &Shape, n_texts: f64, n_words: f64) -> f64 {
    let n_read = n_texts * (n_words - 1.0).max(0.0);
    let length = CONTENT_PROMPT + n_words;
    let pass = documents(n_texts, length, n_read, 2.0 * n_texts);
    let head = Head {
        n_products: 2.0,
        n_logits: n_read * shape.n_words,
    };
    step(shape, &pass, head)
}

/// What a step does with its logits.
#[derive(Clone, Copy)]
struct Head {
    /// How many products of the logits' size there are, there and back.
    n_products: f64,
    n_logits: f64,
}

/// One pass over some documents and its gradients.
fn step(shape: &Shape, pass: &Pass, head: Head) -> f64 {
    let head = head.n_products * 2.0 * head.n_logits * shape.n_embd;
    pass.forward(shape) + pass.backward(shape) + head
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
    use crate::backbone::RandomBackbone;
    use crate::ids::DatasetId;
    use crate::train_spec::ReadTexts;
    use crate::tried::{
        EASE_LAMBDAS, LIGHT_TEXT_STRENGTHS, SPECTRAL_RANKS,
        START_TEXT_STRENGTHS,
    };

    fn spec() -> TrainSpec {
        TrainSpec::new(DatasetId::new("d").unwrap())
    }

    fn counts() -> Counts {
        Counts {
            n_users: 300,
            n_items: 200,
            n_train: 3_000,
            n_valid: 300,
            n_test: 300,
            text_lengths: vec![0, 0, 40],
        }
    }

    fn of(part: Part, spec: &TrainSpec, counts: &Counts) -> f64 {
        let body = Body::from(&RandomBackbone::default());
        operations(spec, counts, &body).unwrap()[&part]
    }

    #[test]
    fn a_search_for_the_rank_costs_what_is_tried() {
        let n_vectors: usize = SPECTRAL_RANKS.iter().sum();
        let (n_scores, n_vectors) = (300.0 * 200.0, n_vectors as f64);
        let expected =
            n_scores * (2.0 * n_vectors + RANKING) + 4.0 * n_vectors * 3_000.0;
        let mut blind = spec();
        blind.reading.texts = ReadTexts::None;
        assert_eq!(of(Part::Start, &blind, &counts()), expected);
        let n_strengths = START_TEXT_STRENGTHS.len() as f64;
        let reads = of(Part::Start, &spec(), &counts());
        assert_eq!(reads, n_strengths * expected, "for each strength");
    }

    #[test]
    fn no_search_for_the_rank_costs_nothing() {
        let given = TrainSpec {
            spectral_rank: 32,
            ..spec()
        };
        assert_eq!(of(Part::Start, &given, &counts()), 0.0);
        let unvalidated = Counts {
            n_valid: 0,
            ..counts()
        };
        assert_eq!(of(Part::Start, &spec(), &unvalidated), 0.0);
    }

    #[test]
    fn a_final_fit_costs_more_than_the_first_and_nothing_where_all_are_seen() {
        let mut once = spec();
        once.finetuning.final_fit = Some(false);
        let mut twice = spec();
        twice.finetuning.final_fit = Some(true);
        let n_all = 3_000.0 + 300.0 + 300.0;
        for part in [Part::Content, Part::Finetuning] {
            let ratio =
                of(part, &twice, &counts()) / of(part, &once, &counts());
            assert!((ratio - 1.0 - n_all / 3_000.0).abs() < 1e-9, "{ratio}");
        }
        let all_seen = Counts {
            n_valid: 0,
            n_test: 0,
            ..counts()
        };
        for part in Part::ALL {
            let costs = of(part, &twice, &all_seen);
            assert_eq!(costs, of(part, &once, &all_seen), "{part:?}");
        }
    }

    #[test]
    fn ease_is_solved_for_each_lambda_that_can_be_chosen() {
        let unvalidated = Counts {
            n_valid: 0,
            ..counts()
        };
        let once = of(Part::Ease, &spec(), &unvalidated);
        assert_eq!(once, 2.0 * 2.0 * 200f64.powi(3), "with texts and without");
        let mut blind = spec();
        blind.reading.texts = ReadTexts::None;
        let once = of(Part::Ease, &blind, &unvalidated);
        assert_eq!(once, 2.0 * 200f64.powi(3));
        let times = of(Part::Ease, &blind, &counts()) / once;
        assert!(times > EASE_LAMBDAS.len() as f64, "and ranks: {times}");
        let reads = of(Part::Ease, &spec(), &counts()) / once;
        let n_strengths = LIGHT_TEXT_STRENGTHS.len() as f64;
        assert!(reads > times + n_strengths, "each strength: {reads}");
    }

    #[test]
    fn a_large_catalogue_is_ranked_by_one_baseline() {
        let large = Counts {
            n_items: 20_000,
            ..counts()
        };
        let mut spec = spec();
        let with_popularity = of(Part::Test, &spec, &large);
        spec.evaluation.baselines = crate::train_spec::Baselines::None;
        let alone = of(Part::Test, &spec, &large);
        let n_rankings =
            (with_popularity - alone) / (300.0 * 20_000.0 * RANKING);
        assert!((n_rankings - 1.0).abs() < 1e-6, "{n_rankings}");
    }
}
