//! What is chosen once training has ended: the user tokens and the hybrid's weight. Everything is
//! chosen on the validation split; the test split is not among what this file is given.

use std::collections::BTreeMap;

use domain::{ColdItems, Light, Part, TrainSpec, UserToken};
use model::metrics::RankingMetrics;
use model::{ItemWeights, Tables, TokenTables, rows_from_texts};

use crate::Error;
use crate::corpus::Corpus;
use crate::evaluate::{Holdout, Ranker};
use crate::progress::Progress;
use crate::run::{Best, Run};

/// A light model and how much it counts.
#[derive(Debug)]
pub(crate) struct Partner {
    pub(crate) weights: ItemWeights,
    pub(crate) weight: f64,
}

/// How the model will be served.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) tables: Tables,
    /// The collaborative tables with the mean user as their last row.
    served: TokenTables,
    pub(crate) known_user: UserToken,
    pub(crate) new_user: UserToken,
    pub(crate) partner: Option<Partner>,
    /// The weight that was best, where a mix was tried.
    pub(crate) tried_weight: Option<f64>,
    /// Validation metrics: `valid_…`, `valid_llm_…`, `valid_pretrained_…`.
    pub(crate) metrics: BTreeMap<String, f64>,
}

/// Weights of the light model that are tried.
const WEIGHTS: [f64; 11] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

impl Chosen {
    /// Chooses for the best tables of a run.
    pub(crate) fn new(
        run: &mut Run,
        spec: &TrainSpec,
        corpus: &Corpus,
        progress: &mut Progress,
    ) -> Result<Self, Error> {
        if run.best.is_none() {
            run.validate(corpus, progress)?;
        }
        progress.begins(Part::Choice);
        let Some(Best { mut tables, .. }) = run.best.take() else {
            return Err(Error::Spec("no tables were validated".to_owned()));
        };
        if spec.cold_items == ColdItems::Text {
            let (items, cold) = (&mut tables.collaborative.items, corpus.cold_items());
            let n_told = rows_from_texts(&run.learned.gpt2, corpus.documents(), items, &cold)?;
            tracing::info!(
                n_cold = cold.len(),
                n_told,
                "items without interactions got rows from their texts"
            );
        }
        let mut served = tables.collaborative.clone();
        served.push_mean_user();
        // As the training prompts were, where there is no validation split to choose by.
        let known_user = if run.without_user_token {
            UserToken::Absent
        } else {
            UserToken::Own
        };
        let (new_user, partner, metrics) = (UserToken::Absent, None, BTreeMap::new());
        let tried_weight = None;
        let mut chosen = Self {
            tables,
            served,
            known_user,
            new_user,
            partner,
            tried_weight,
            metrics,
        };
        if !Holdout::valid(corpus).users().is_empty() {
            chosen.choose_user_tokens(run, corpus, progress)?;
            chosen.choose_weight(run, spec, corpus, progress)?;
        }
        chosen.metrics.extend(
            run.pretrained
                .iter()
                .flat_map(|metrics| metrics.named("valid_pretrained_")),
        );
        Ok(chosen)
    }

    /// The model as it will rank for known users.
    pub(crate) fn ranker<'a>(&'a self, run: &'a Run, light: Option<&'a ItemWeights>) -> Ranker<'a> {
        Ranker {
            gpt2: &run.learned.gpt2,
            tables: &self.served,
            light,
            user_token: self.known_user,
        }
    }

    fn choose_user_tokens(
        &mut self,
        run: &Run,
        corpus: &Corpus,
        progress: &Progress,
    ) -> Result<(), Error> {
        let ranks = |user_token| {
            Ranker {
                user_token,
                ..self.ranker(run, None)
            }
            .evaluate(Holdout::valid(corpus), progress)
        };
        let (own, absent, mean) = (
            ranks(UserToken::Own)?,
            ranks(UserToken::Absent)?,
            ranks(UserToken::Mean)?,
        );
        let (new_user, stranger) = if mean.sum() > absent.sum() {
            (UserToken::Mean, mean)
        } else {
            (UserToken::Absent, absent)
        };
        let (known_user, best) = if own.sum() >= stranger.sum() {
            (UserToken::Own, own)
        } else {
            (new_user, stranger)
        };
        tracing::info!(?known_user, ?new_user, "user tokens chosen");
        (self.known_user, self.new_user) = (known_user, new_user);
        self.metrics.extend(
            best.named("valid_llm_")
                .into_iter()
                .chain(best.named("valid_")),
        );
        Ok(())
    }

    /// The light model with the weight that is best; none where the job wants none, or where it
    /// does not help.
    fn choose_weight(
        &mut self,
        run: &Run,
        spec: &TrainSpec,
        corpus: &Corpus,
        progress: &Progress,
    ) -> Result<(), Error> {
        let Some(ease) = run
            .ease
            .as_ref()
            .filter(|_| spec.hybrid.light == Light::Ease)
        else {
            return Ok(());
        };
        let weights = ease.weights.sparse(spec.hybrid.n_kept);
        let tried = self.ranker(run, Some(&weights)).evaluate_mixes(
            &WEIGHTS,
            Holdout::valid(corpus),
            progress,
        )?;
        let (mut weight, mut best) = (0.0, RankingMetrics::default());
        for (tried_weight, metrics) in WEIGHTS.into_iter().zip(tried) {
            if metrics.sum() > best.sum() {
                (weight, best) = (tried_weight, metrics);
            }
        }
        tracing::info!(weight, sum = best.sum(), "hybrid chosen");
        self.metrics.extend(best.named("valid_"));
        self.tried_weight = Some(weight);
        self.partner = (weight > 0.0).then_some(Partner { weights, weight });
        Ok(())
    }
}
