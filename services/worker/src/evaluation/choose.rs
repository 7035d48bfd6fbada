//! What is chosen once training has ended: the user tokens and the hybrid's
//! weight. Everything is chosen on the validation split; the test split is not
//! among what this file is given.

use std::collections::BTreeMap;

use domain::{
    ColdItems, HYBRID_WEIGHTS, Hybrid, Light, Part, RankedBy, Stage, TrainSpec,
    USER_TOKENS, UserToken,
};
use model::metrics::RankingMetrics;
use model::{Backbone, Tables, TextMap, TokenTables, rows_from_texts};

use crate::contract::plan::plan;
use crate::contract::progress::Progress;
use crate::error::Error;
use crate::evaluation::baselines::ease;
use crate::evaluation::baselines::ease::{ChosenEase, LightWeights};
use crate::evaluation::choices::{Choices, PartnerChoice};
use crate::evaluation::holdout::Holdout;
use crate::evaluation::keys;
use crate::evaluation::ranker::{Mixes, Ranker};
use crate::material::corpus::Corpus;
use crate::training::fit::Fit;
use crate::training::start;

/// What training hands over: the best tables and the models around them.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) backbone: Backbone,
    pub(crate) tables: Tables,
    /// Epochs of the plan after which the tables were so.
    pub(crate) n_epochs_done: usize,
    /// What the rows started with; absent where they started at random.
    pub(crate) start: Option<start::Settings>,
    /// The user token of the training prompts.
    pub(crate) trained_with: UserToken,
    pub(crate) ease: Option<ChosenEase>,
    /// How the tables ranked the validation split before finetuning.
    pub(crate) pretrained: Option<RankingMetrics>,
}

/// A light model and how much it counts.
#[derive(Debug)]
pub(crate) struct Partner {
    pub(crate) light: LightWeights,
    /// Its share of the mixed scores, above 0 and up to 1.
    pub(crate) weight: f64,
}

impl Partner {
    /// This light model with this weight.
    pub(crate) fn mix(&self) -> Mixes<'_> {
        Mixes {
            lights: std::slice::from_ref(&self.light),
            weights: std::slice::from_ref(&self.weight),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Chosen {
    /// The candidate; its cold items have rows from their texts, where the job
    /// wants that.
    pub(crate) candidate: Candidate,
    /// The collaborative tables with the mean user as their last row.
    served: TokenTables,
    /// From texts to item rows; absent where no text was read.
    pub(crate) text_map: Option<TextMap>,
    pub(crate) known_user: UserToken,
    pub(crate) new_user: UserToken,
    pub(crate) partner: Option<Partner>,
    /// The light model's best weight, where a mix was tried.
    pub(crate) tried_weight: Option<f64>,
    /// Validation metrics: `valid_…`, `valid_llm_…`, `valid_pretrained_…`.
    pub(crate) metrics: BTreeMap<String, f64>,
}

impl Chosen {
    /// Chooses for a candidate, or takes what was chosen before a final fit;
    /// where there is no validation split, users are served as they were
    /// trained, by the language model alone.
    pub(crate) fn new(
        mut candidate: Candidate,
        fit: &Fit,
        progress: &mut Progress,
    ) -> Result<Self, Error> {
        progress.begins(Part::Choice);
        let (spec, corpus) = (&fit.spec, &fit.corpus);
        let text_map = text_map(&candidate, corpus);
        if let Some(map) = &text_map
            && spec.cold_items == ColdItems::Text
        {
            write_cold_rows(map, &mut candidate, corpus);
        }
        let mut served = candidate.tables.collaborative.clone();
        served.push_mean_user();
        let mut chosen = Self {
            served,
            known_user: candidate.trained_with,
            new_user: UserToken::Absent,
            partner: None,
            tried_weight: None,
            metrics: BTreeMap::new(),
            text_map,
            candidate,
        };
        if let Some(before) = &fit.evaluated {
            chosen.take(&before.choices, &spec.hybrid, corpus);
        } else if !Holdout::valid(&corpus.histories).is_empty() {
            chosen.choose_user_tokens(corpus, progress)?;
            chosen.choose_weight(&spec.hybrid, corpus, progress)?;
        }
        if let Some(metrics) = &chosen.candidate.pretrained {
            chosen.metrics.extend(keys::pretrained(metrics));
        }
        Ok(chosen)
    }

    /// Serves as was chosen before.
    fn take(&mut self, choices: &Choices, hybrid: &Hybrid, corpus: &Corpus) {
        self.known_user = choices.known_user;
        self.new_user = choices.new_user;
        if let Some(choice) = choices.partner
            && let Some(chosen) = &self.candidate.ease
        {
            let settings = ease::Settings {
                lambda: choice.lambda.unwrap_or(chosen.reading.lambda),
                text_strength: choice.text_strength,
                nearness: choice.nearness,
            };
            let light = chosen.light_model(settings, hybrid.n_kept, corpus);
            self.partner = light.map(|light| Partner {
                light,
                weight: choice.weight,
            });
        }
    }

    /// What was chosen, without the numbers.
    pub(crate) fn choices(&self, spec: &TrainSpec) -> Choices {
        let candidate = &self.candidate;
        let epochs = plan(spec);
        let done = epochs.iter().take(candidate.n_epochs_done);
        let finetuning = done.filter(|epoch| epoch.stage == Stage::Finetuning);
        Choices {
            n_finetuning_epochs: finetuning.count(),
            start: candidate.start,
            ease: candidate.ease.as_ref().map(|ease| ease.reading),
            blind_ease: candidate.ease.as_ref().map(|ease| ease.blind),
            known_user: self.known_user,
            new_user: self.new_user,
            partner: self.partner.as_ref().map(|partner| PartnerChoice {
                weight: partner.weight,
                text_strength: partner.light.settings.text_strength,
                lambda: Some(partner.light.settings.lambda),
                nearness: partner.light.settings.nearness,
            }),
        }
    }

    /// The language model as it will rank for known users.
    pub(super) fn ranker(&self) -> Ranker<'_> {
        self.ranker_with(self.known_user)
    }

    /// The language model, with a user token.
    pub(super) fn ranker_with(&self, user_token: UserToken) -> Ranker<'_> {
        Ranker {
            backbone: &self.candidate.backbone,
            tables: &self.served,
            user_token,
        }
    }

    fn choose_user_tokens(
        &mut self,
        corpus: &Corpus,
        progress: &Progress,
    ) -> Result<(), Error> {
        let mut tried = Vec::new();
        for user_token in USER_TOKENS {
            let ranker = self.ranker_with(user_token);
            let metrics =
                ranker.evaluate(Holdout::valid(&corpus.histories), progress)?;
            tried.push(Tried {
                user_token,
                metrics,
            });
        }
        let known = best(&tried);
        tried.retain(|tried| tried.user_token != UserToken::Own);
        let new = best(&tried);
        self.known_user = known.user_token;
        self.new_user = new.user_token;
        tracing::info!(
            known_user = ?self.known_user,
            new_user = ?self.new_user,
            "user tokens chosen"
        );
        for by in [RankedBy::LanguageModel, RankedBy::Served] {
            self.metrics.extend(keys::validated(by, &known.metrics));
        }
        Ok(())
    }

    /// Takes the light model and the weight that are best together; none where
    /// the job wants none, or where it does not help.
    fn choose_weight(
        &mut self,
        hybrid: &Hybrid,
        corpus: &Corpus,
        progress: &Progress,
    ) -> Result<(), Error> {
        let Some(ease) = &self.candidate.ease else {
            return Ok(());
        };
        if hybrid.light != Light::Ease {
            return Ok(());
        }
        let lights = ease.light_models(hybrid.n_kept, corpus, progress)?;
        let mixes = Mixes {
            lights: &lights,
            weights: &HYBRID_WEIGHTS,
        };
        let valid = Holdout::valid(&corpus.histories);
        let tried = self.ranker().evaluate_mixes(mixes, valid, progress)?;

        let mut best = RankingMetrics::default();
        let mut best_place = 0;
        for (place, metrics) in tried.into_iter().enumerate() {
            if metrics.sum() > best.sum() {
                best_place = place;
                best = metrics;
            }
        }
        let weight = HYBRID_WEIGHTS[best_place % HYBRID_WEIGHTS.len()];
        tracing::info!(weight, sum = best.sum(), "hybrid chosen");
        self.metrics
            .extend(keys::validated(RankedBy::Served, &best));
        self.tried_weight = Some(weight);
        if weight > 0.0 {
            let light = best_place / HYBRID_WEIGHTS.len();
            self.partner = lights
                .into_iter()
                .nth(light)
                .map(|light| Partner { light, weight });
        }
        Ok(())
    }
}

/// A user token, and how well the tables rank with it.
#[derive(Debug, Clone, Copy)]
struct Tried {
    user_token: UserToken,
    metrics: RankingMetrics,
}

fn best(tried: &[Tried]) -> Tried {
    let mut best = tried[0];
    for other in &tried[1..] {
        if other.metrics.sum() > best.metrics.sum() {
            best = *other;
        }
    }
    best
}

/// What the rows of the items that somebody took say of texts.
fn text_map(candidate: &Candidate, corpus: &Corpus) -> Option<TextMap> {
    let items = &candidate.tables.collaborative.items;
    TextMap::fit(&corpus.item_words, items, &corpus.histories.cold_items())
}

/// Gives items without interactions rows from their texts.
fn write_cold_rows(map: &TextMap, candidate: &mut Candidate, corpus: &Corpus) {
    let cold = corpus.histories.cold_items();
    let items = &mut candidate.tables.collaborative.items;
    let n_told = rows_from_texts(map, &corpus.item_words, items, &cold);
    tracing::info!(
        n_cold = cold.len(),
        n_told,
        "items without interactions got rows from their texts"
    );
}
