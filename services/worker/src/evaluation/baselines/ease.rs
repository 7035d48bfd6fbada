//! EASE with the λ, and the strength of the items' texts, that rank the
//! validation split best.

use domain::{
    LIGHT_TEXT_STRENGTHS, MAX_LIGHT_ITEMS, PARTNER_NEARNESS,
    PARTNER_NEARNESS_LAMBDA_PART, PARTNER_TEXT_FACTOR, TrainSpec,
    UNCHOSEN_LIGHT_TEXT_STRENGTH, ease_lambdas,
};
use model::metrics::RankingMetrics;
use model::{Ease, EaseSettings, Gram, ItemWeights, ItemWords};
use serde::{Deserialize, Serialize};

use crate::contract::progress::Progress;
use crate::error::Error;
use crate::evaluation::choices::Choices;
use crate::evaluation::holdout::Holdout;
use crate::material::corpus::Corpus;

/// A fitted EASE: a job's teacher and partner where it wants these, and a
/// baseline.
#[derive(Debug)]
pub(crate) struct ChosenEase {
    pub(crate) weights: Ease,
    /// What it was fitted with.
    pub(crate) reading: Settings,
    /// What ranks the validation split best where no text is read.
    pub(crate) blind: Settings,
    /// True where the job reads texts and there are some.
    pub(super) has_texts: bool,
}

/// EASE's weights as a hybrid mixes them in.
#[derive(Debug)]
pub(crate) struct LightWeights {
    pub(crate) weights: ItemWeights,
    /// What they were fitted with.
    pub(crate) settings: Settings,
}

/// What EASE is fitted with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) lambda: f64,
    /// How much a text's likeness counts beside an interaction, β; 0: no text
    /// is read.
    pub(crate) text_strength: f64,
    /// Over how many places of a history a pair's weight falls to 1/e, τ; absent
    /// where all pairs count the same.
    #[serde(default)]
    pub(crate) nearness: Option<f64>,
}

impl ChosenEase {
    /// Fits EASE as was chosen before; `None` where there was none, where the
    /// catalogue has become too large for it, or where the matrix cannot be
    /// inverted.
    pub(crate) fn fit_again(
        choices: &Choices,
        spec: &TrainSpec,
        corpus: &Corpus,
    ) -> Option<Self> {
        let reading = choices.ease?;
        if !spec.fits_ease(corpus.histories.n_items) {
            return None;
        }
        let gram = Gram::new(&corpus.histories.train, &corpus.item_words);
        let weights = fit(&gram, reading)?;
        Some(Self {
            weights,
            reading,
            blind: choices.blind_ease.unwrap_or(reading),
            has_texts: !corpus.item_words.is_empty(),
        })
    }

    /// The metrics of the chosen weights.
    pub(super) fn measure(&self, test: Holdout<'_>) -> RankingMetrics {
        ranked(&self.weights, test)
    }

    /// The metrics of EASE without texts, which is fitted anew where texts were
    /// chosen: two matrices of all pairs at a time would be too much to keep.
    pub(super) fn measure_blind(
        &self,
        test: Holdout<'_>,
    ) -> Option<RankingMetrics> {
        if self.reads() {
            let no_words = ItemWords::none(test.histories.n_items);
            let blind = Gram::new(&test.histories.train, &no_words);
            let weights = fit(&blind, self.blind)?;
            Some(ranked(&weights, test))
        } else {
            Some(self.measure(test))
        }
    }

    /// The light models that a hybrid tries: these weights, where texts count
    /// those with stronger texts, and those that heed the order of histories.
    /// The `n_kept` largest weights of each item stay.
    pub(crate) fn light_models(
        &self,
        n_kept: usize,
        corpus: &Corpus,
        progress: &Progress,
    ) -> Result<Vec<LightWeights>, Error> {
        let mut tried = vec![self.reading];
        if self.reads() {
            tried.push(Settings {
                text_strength: PARTNER_TEXT_FACTOR * self.reading.text_strength,
                ..self.reading
            });
        }
        tried.push(Settings {
            lambda: self.reading.lambda / PARTNER_NEARNESS_LAMBDA_PART,
            nearness: Some(PARTNER_NEARNESS),
            ..self.reading
        });
        let mut models = Vec::new();
        for settings in tried {
            progress.check()?;
            models.extend(self.light_model(settings, n_kept, corpus));
        }
        Ok(models)
    }

    /// The light model of some settings; `None` where its matrix cannot be
    /// inverted.
    pub(crate) fn light_model(
        &self,
        settings: Settings,
        n_kept: usize,
        corpus: &Corpus,
    ) -> Option<LightWeights> {
        let weights = if settings == self.reading {
            self.weights.sparse(n_kept)
        } else {
            let gram = Gram::new(&corpus.histories.train, &corpus.item_words);
            fit(&gram, settings)?.sparse(n_kept)
        };
        Some(LightWeights { weights, settings })
    }

    /// True where texts count.
    pub(crate) fn reads(&self) -> bool {
        self.reading.text_strength > 0.0
    }
}

fn ranked(weights: &Ease, holdout: Holdout<'_>) -> RankingMetrics {
    holdout.ranked(|user| weights.scores(holdout.history(user)))
}

fn fit(gram: &Gram<'_>, settings: Settings) -> Option<Ease> {
    let settings = EaseSettings {
        lambda: settings.lambda,
        text_strength: settings.text_strength,
        nearness: settings.nearness,
    };
    Ease::fit(gram, &settings)
}

/// Fits EASE for each λ, then for each strength of the texts with the best λ,
/// then for the λ beside it with the best strength, and keeps the best; `None`
/// where the job wants none, or for a catalogue that is too large for it.
pub(crate) fn choose(
    spec: &TrainSpec,
    corpus: &Corpus,
    progress: &Progress,
) -> Result<Option<ChosenEase>, Error> {
    let n_items = corpus.histories.n_items;
    if !spec.fits_ease(n_items) {
        if spec.wants_ease() {
            tracing::info!(
                n_items,
                MAX_LIGHT_ITEMS,
                "the catalogue is too large for EASE"
            );
        }
        return Ok(None);
    }
    let gram = Gram::new(&corpus.histories.train, &corpus.item_words);
    let lambdas = ease_lambdas(!Holdout::valid(&corpus.histories).is_empty());
    let mut search = Search {
        gram,
        corpus,
        progress,
        best: None,
    };
    for &lambda in lambdas {
        search.try_with(Settings {
            lambda,
            text_strength: 0.0,
            nearness: None,
        })?;
    }
    let Some(blind) = search.settings() else {
        return Ok(None);
    };
    if search.gram.has_texts() {
        search.read_texts(spec.reading.light_strength, lambdas)?;
    }
    let best = search.best.map(|best| ChosenEase {
        reading: best.settings,
        weights: best.weights,
        blind,
        has_texts: !corpus.item_words.is_empty(),
    });
    Ok(best)
}

/// The search for the settings that rank the validation split best.
struct Search<'a> {
    gram: Gram<'a>,
    corpus: &'a Corpus,
    progress: &'a Progress,
    best: Option<Tried>,
}

/// Settings, what they give, and how well that ranks the validation split.
struct Tried {
    settings: Settings,
    weights: Ease,
    sum: f64,
}

impl Search<'_> {
    fn settings(&self) -> Option<Settings> {
        self.best.as_ref().map(|best| best.settings)
    }

    /// Tries the strengths of the texts, or the job's own one; then the λ next
    /// to the best one, because texts add to the diagonal too.
    fn read_texts(&mut self, own: f64, lambdas: &[f64]) -> Result<(), Error> {
        let Some(Settings { lambda, .. }) = self.settings() else {
            return Ok(());
        };
        let mut strengths = &LIGHT_TEXT_STRENGTHS[..];
        if own > 0.0 {
            strengths = std::slice::from_ref(&own);
            self.best = None;
        } else if lambdas.len() == 1 {
            strengths = &[UNCHOSEN_LIGHT_TEXT_STRENGTH];
            self.best = None;
        }
        for &text_strength in strengths {
            self.try_with(Settings {
                lambda,
                text_strength,
                nearness: None,
            })?;
        }
        let Some(Settings { text_strength, .. }) = self.settings() else {
            return Ok(());
        };
        let place = lambdas.iter().position(|other| *other == lambda);
        let place = place.unwrap_or(0);
        let last = (place + 1).min(lambdas.len() - 1);
        for &lambda in &lambdas[place.saturating_sub(1)..=last] {
            self.try_with(Settings {
                lambda,
                text_strength,
                nearness: None,
            })?;
        }
        Ok(())
    }

    /// Fits EASE and keeps it where it is the best so far.
    fn try_with(&mut self, settings: Settings) -> Result<(), Error> {
        self.progress.check()?;
        if self.settings() == Some(settings) {
            return Ok(());
        }
        let Some(weights) = fit(&self.gram, settings) else {
            return Ok(());
        };
        let sum =
            ranked(&weights, Holdout::valid(&self.corpus.histories)).sum();
        let Settings {
            lambda,
            text_strength,
            ..
        } = settings;
        tracing::info!(lambda, text_strength, sum, "EASE tried");
        if self.best.as_ref().is_none_or(|best| sum > best.sum) {
            self.best = Some(Tried {
                settings,
                weights,
                sum,
            });
        }
        Ok(())
    }
}
