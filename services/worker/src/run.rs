//! The state of a training attempt: what it starts from, how it is validated, what it leaves.

use dataset::Dataset;
use domain::{Part, TableInit, TrainSpec, UserToken};
use model::metrics::RankingMetrics;
use model::{Gpt2, Gpt2Config, PairMoments, Spectrum, Table, Tables, step};

use crate::baselines::{ChosenEase, choose_ease};
use crate::corpus::{Corpus, TestSplit};
use crate::error::in_step;
use crate::evaluate::{Holdout, Ranker};
use crate::input::Input;
use crate::progress::Progress;
use crate::stages::Learned;
use crate::token_file::TokenFile;
use crate::{Error, backbone};

/// The state of a training attempt between two epochs.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) config: Gpt2Config,
    pub(crate) learned: Learned,
    /// Finetuning leaves the user token out.
    pub(crate) without_user_token: bool,
    /// A baseline, a teacher and a partner; present where the job wants any of these.
    pub(crate) ease: Option<ChosenEase>,
    /// The best validated tables so far.
    pub(crate) best: Option<Best>,
    /// Validation before finetuning.
    pub(crate) pretrained: Option<RankingMetrics>,
    pub(crate) n_epochs_done: usize,
    /// Validations since the best.
    pub(crate) n_without_better: usize,
}

/// Tables and how well they rank.
#[derive(Debug)]
pub(crate) struct Best {
    pub(crate) metrics: RankingMetrics,
    pub(crate) tables: Tables,
}

/// How many validations have passed without a better one.
pub(crate) struct Patience(usize);

impl Patience {
    pub(crate) fn is_worse_for(&self, patience: usize) -> bool {
        patience > 0 && self.0 >= patience
    }
}

impl Run {
    /// Backbone, corpus and fresh tables.
    pub(crate) fn start(
        input: &Input,
        dataset: &Dataset,
        progress: &mut Progress,
    ) -> Result<(Self, Corpus, TestSplit), Error> {
        let spec = &input.spec;
        let (config, gpt2) = backbone::start(input, progress)?;
        let of = (spec.dataset.as_str(), spec.pretraining.max_text_tokens);
        let tokens = TokenFile::open((dataset, &input.dataset), of, &input.token_files, progress)?;
        let (corpus, test) = Corpus::new(dataset, tokens, config.n_positions);
        progress.begins(Part::Ease);
        let ease = if spec.wants_ease() {
            choose_ease(&corpus, progress)?
        } else {
            None
        };
        progress.begins(Part::Start);
        let tables = start_tables(spec, &corpus, &gpt2);
        if model::has_own_memory(&input.device) {
            step::rehearse(&gpt2.in_precision(input.precision), &tables.content)
                .map_err(in_step)?;
            progress.has_room_for(gpt2.budget.get());
        }
        let learned = Learned {
            content: PairMoments::zeros(&tables.content),
            collaborative: PairMoments::zeros(&tables.collaborative),
            gpt2,
            precision: input.precision,
            tables,
        };
        let without_user_token = spec.finetuning.without_user_token;
        let run = Self {
            without_user_token,
            config,
            learned,
            ease,
            best: None,
            pretrained: None,
            n_epochs_done: 0,
            n_without_better: 0,
        };
        Ok((run, corpus, test))
    }

    /// Measures the pretrained tables and gives the collaborative ones a fresh optimiser
    /// (published: a new Adam).
    pub(crate) fn begin_finetuning(
        &mut self,
        corpus: &Corpus,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        self.validate(corpus, progress)?;
        self.pretrained = self.best.as_ref().map(|best| best.metrics);
        self.learned.collaborative = PairMoments::zeros(&self.learned.tables.collaborative);
        Ok(())
    }

    /// Ranks the validation split; keeps the tables when they are the best so far.
    pub(crate) fn validate(
        &mut self,
        corpus: &Corpus,
        progress: &mut Progress,
    ) -> Result<Patience, Error> {
        progress.begins(Part::Validation);
        let (gpt2, tables) = (&self.learned.computing(), &self.learned.tables);
        // As the training prompts were; which token serves best is chosen at the end.
        let user_token = if self.without_user_token {
            UserToken::Absent
        } else {
            UserToken::Own
        };
        let ranker = Ranker {
            gpt2,
            tables: &tables.collaborative,
            light: None,
            user_token,
        };
        let holdout = Holdout::valid(corpus);
        let metrics = ranker.evaluate(holdout, progress)?;
        if holdout.users().is_empty() {
            // Nothing to choose by: the latest tables count.
            self.best = Some(Best {
                metrics,
                tables: tables.clone(),
            });
            return Ok(Patience(0));
        }
        let RankingMetrics {
            recall_20,
            recall_40,
            ndcg_100,
        } = metrics;
        tracing::info!(recall_20, recall_40, ndcg_100, "validated");
        progress.validated(&metrics);
        if self
            .best
            .as_ref()
            .is_none_or(|best| metrics.sum() > best.metrics.sum())
        {
            self.best = Some(Best {
                metrics,
                tables: tables.clone(),
            });
            self.n_without_better = 0;
        } else {
            self.n_without_better += 1;
        }
        Ok(Patience(self.n_without_better))
    }
}

fn start_tables(spec: &TrainSpec, corpus: &Corpus, gpt2: &Gpt2) -> Tables {
    let words = gpt2.word_rows(&corpus.texts.words());
    match spec.init {
        TableInit::Normal => {
            Tables::normal(corpus.train.len(), corpus.n_items, words.width(), spec.seed)
        }
        TableInit::Spectral => {
            let spectrum = Spectrum::new(&corpus.train, corpus.n_items, spec.seed);
            let rank = if spec.spectral_rank > 0 {
                spec.spectral_rank
            } else {
                best_rank(&spectrum, &words, corpus)
            };
            let pair = spectrum.tables(rank, &words, spec.seed);
            Tables {
                collaborative: pair.clone(),
                content: pair,
            }
        }
    }
}

/// Numbers of singular vectors that are tried.
const RANKS: [usize; 6] = [8, 16, 32, 64, 96, 128];
/// Where there is nothing to choose by.
const UNCHOSEN_RANK: usize = 64;

/// The number of singular vectors that rank the validation split best by themselves.
fn best_rank(spectrum: &Spectrum, words: &Table, corpus: &Corpus) -> usize {
    let holdout = Holdout::valid(corpus);
    if holdout.users().is_empty() {
        tracing::info!(
            rank = UNCHOSEN_RANK,
            "no validation split: the usual number of singular vectors"
        );
        return UNCHOSEN_RANK;
    }
    let (mut best, mut most) = (1, f64::NEG_INFINITY);
    for rank in RANKS
        .into_iter()
        .filter(|&rank| rank <= spectrum.n_vectors(words))
    {
        let sum = holdout
            .ranked(|user| spectrum.scores(rank, holdout.history(user)))
            .sum();
        tracing::info!(rank, sum, "singular vectors tried");
        if sum > most {
            (best, most) = (rank, sum);
        }
    }
    best
}
