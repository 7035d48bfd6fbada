//! The state of a training attempt: what it starts from, how it is validated,
//! what it hands over.

use domain::{Part, UserToken};
use model::metrics::RankingMetrics;
use model::{Backbone, PairMoments, Tables, step};

use crate::contract::input::Input;
use crate::contract::progress::Progress;
use crate::error::{Error, in_step};
use crate::evaluation::baselines::ease::{self, ChosenEase};
use crate::evaluation::choices::Evaluated;
use crate::evaluation::choose::Candidate;
use crate::evaluation::holdout::Holdout;
use crate::evaluation::ranker::Ranker;
use crate::material::corpus::Corpus;
use crate::training::fit::Fit;
use crate::training::learned::Learned;
use crate::training::start::{self, Started, start_tables};

/// The state of a training attempt between two epochs.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) learned: Learned,
    /// The user token of finetuning's prompts.
    trained_with: UserToken,
    /// A baseline, a teacher and a partner; present where the job wants any of
    /// these.
    pub(crate) ease: Option<ChosenEase>,
    /// What the rows started with; absent where they started at random.
    start: Option<start::Settings>,
    /// What was measured before, where this is the final fit.
    pub(crate) evaluated: Option<Evaluated>,
    /// The best validated tables so far.
    pub(crate) best: Option<Best>,
    /// How the tables ranked the validation split before finetuning.
    pub(crate) pretrained: Option<RankingMetrics>,
    pub(crate) n_epochs_done: usize,
    /// Validations since the best one.
    pub(crate) n_without_better: usize,
}

/// Tables and how well they rank.
#[derive(Debug)]
pub(crate) struct Best {
    pub(crate) metrics: RankingMetrics,
    pub(crate) tables: Tables,
    /// Epochs of the plan that were done then.
    pub(crate) n_epochs_done: usize,
}

impl Run {
    /// A run that nothing was learned in yet: backbone and fresh tables.
    pub(crate) fn start(
        input: &Input,
        backbone: Backbone,
        fit: &Fit,
        progress: &mut Progress,
    ) -> Result<Self, Error> {
        let (spec, corpus) = (&fit.spec, &fit.corpus);
        progress.begins(Part::Ease);
        let ease = match fit.choices() {
            Some(choices) if choices.ease.is_some() || fit.is_final() => {
                ChosenEase::fit_again(choices, spec, corpus)
            }
            Some(_) | None => ease::choose(spec, corpus, progress)?,
        };
        progress.begins(Part::Start);
        let Started {
            tables,
            settings: start,
        } = start_tables(fit, &backbone);
        if model::has_own_memory(&input.device) {
            let computing = backbone.in_precision(input.precision);
            step::rehearse(&computing, &tables.content).map_err(in_step)?;
            progress.has_room_for(backbone.budget().get());
        }
        let trained_with = if spec.finetuning.without_user_token {
            UserToken::Absent
        } else {
            UserToken::Own
        };
        Ok(Self {
            learned: Learned::new(backbone, input.precision, tables),
            trained_with,
            ease,
            start,
            evaluated: fit.evaluated.clone(),
            best: None,
            pretrained: None,
            n_epochs_done: 0,
            n_without_better: 0,
        })
    }

    /// Measures the pretrained tables and gives the collaborative ones a fresh
    /// optimiser (published: a new Adam).
    pub(crate) fn begin_finetuning(
        &mut self,
        corpus: &Corpus,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        self.validate(corpus, progress)?;
        self.pretrained = self.best.as_ref().map(|best| best.metrics);
        self.learned.collaborative =
            PairMoments::zeros(&self.learned.tables.collaborative);
        Ok(())
    }

    /// Ranks the validation split; keeps the tables when they are the best so
    /// far.
    pub(crate) fn validate(
        &mut self,
        corpus: &Corpus,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        progress.begins(Part::Validation);
        let holdout = Holdout::valid(&corpus.histories);
        let ranker = Ranker {
            backbone: &self.learned.computing(),
            tables: &self.learned.tables.collaborative,
            // As the training prompts were; which token serves best is chosen
            // at the end.
            user_token: self.trained_with,
        };
        let metrics = ranker.evaluate(holdout, progress)?;
        if holdout.is_empty() {
            // Nothing to choose by: the latest tables count.
            self.keep(metrics);
            return Ok(());
        }
        let RankingMetrics {
            recall_20,
            recall_40,
            ndcg_100,
        } = metrics;
        tracing::info!(recall_20, recall_40, ndcg_100, "validated");
        progress.validated(&metrics);
        if self.is_better(&metrics) {
            self.keep(metrics);
            self.n_without_better = 0;
        } else {
            self.n_without_better += 1;
        }
        Ok(())
    }

    fn is_better(&self, metrics: &RankingMetrics) -> bool {
        match &self.best {
            Some(best) => metrics.sum() > best.metrics.sum(),
            None => true,
        }
    }

    /// Keeps the tables as they are now as the best ones.
    fn keep(&mut self, metrics: RankingMetrics) {
        let tables = self.learned.tables.clone();
        self.best = Some(Best {
            metrics,
            tables,
            n_epochs_done: self.n_epochs_done,
        });
    }

    /// True once `patience` validations have passed without a better one; never
    /// where it is 0.
    pub(crate) fn is_out_of_patience(&self, patience: usize) -> bool {
        patience > 0 && self.n_without_better >= patience
    }

    /// The best tables, and what they are evaluated with.
    pub(crate) fn into_candidate(
        mut self,
        corpus: &Corpus,
        progress: &mut Progress,
    ) -> Result<Candidate, Error> {
        if self.best.is_none() {
            self.validate(corpus, progress)?;
        }
        let best = self.best.expect("a validation leaves the best tables");
        Ok(Candidate {
            backbone: self.learned.backbone,
            tables: best.tables,
            n_epochs_done: best.n_epochs_done,
            start: self.start,
            trained_with: self.trained_with,
            ease: self.ease,
            pretrained: self.pretrained,
        })
    }
}
