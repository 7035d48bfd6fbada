//! The end of a job: what was chosen is measured on the test split beside the
//! baselines.

use std::collections::BTreeMap;

use domain::{
    EASE_LAMBDA, EASE_TEXT_STRENGTH, HYBRID_NEARNESS, HYBRID_TEXT_STRENGTH,
    HYBRID_WEIGHT, RankedBy, TrainSpec,
};
use model::metrics::RankingMetrics;

use crate::contract::progress::Progress;
use crate::error::Error;
use crate::evaluation::baselines::{self, Baseline, popularity};
use crate::evaluation::choose::{Chosen, Partner};
use crate::evaluation::holdout::Holdout;
use crate::evaluation::keys::{Keyed, lifts, tested};

/// So few cold items are all among the first of their ranking: nothing to
/// measure.
const FEW: usize = 40;

/// The metrics of a model version: those of the validation split that it was
/// chosen by, and those of the test split for everybody who ranks it.
pub(crate) fn measure(
    chosen: &Chosen,
    spec: &TrainSpec,
    test: Holdout<'_>,
    progress: &Progress,
) -> Result<BTreeMap<String, f64>, Error> {
    let mut metrics = chosen.metrics.clone();
    let alone = chosen.ranker().evaluate(test, progress)?;
    let served = match &chosen.partner {
        Some(partner) => served_by(chosen, partner, test, progress)?,
        None => alone,
    };
    let new_user = if chosen.new_user == chosen.known_user {
        alone
    } else {
        let stranger = chosen.ranker_with(chosen.new_user);
        stranger.evaluate(test, progress)?
    };
    metrics.extend(tested(RankedBy::Served, &served));
    metrics.extend(tested(RankedBy::LanguageModel, &alone));
    metrics.extend(tested(RankedBy::NewUser, &new_user));
    metrics.extend(cold_items(chosen, test, progress)?);
    if let Some(weight) = chosen.tried_weight {
        metrics.insert(HYBRID_WEIGHT.to_owned(), weight);
    }
    let ease = chosen.candidate.ease.as_ref();
    let measured = baselines::measure(spec, ease, test, progress)?;
    for Baseline { by, metrics: bar } in measured {
        metrics.extend(tested(by, &bar));
        metrics.extend(lifts(&served, by, &bar));
    }
    if let Some(partner) = &chosen.partner {
        let settings = partner.light.settings;
        let strength = settings.text_strength;
        metrics.insert(HYBRID_TEXT_STRENGTH.to_owned(), strength);
        if let Some(nearness) = settings.nearness {
            metrics.insert(HYBRID_NEARNESS.to_owned(), nearness);
        }
    }
    if let Some(ease) = ease {
        metrics.insert(EASE_LAMBDA.to_owned(), ease.reading.lambda);
        let strength = ease.reading.text_strength;
        metrics.insert(EASE_TEXT_STRENGTH.to_owned(), strength);
    }
    Ok(metrics)
}

/// The metrics of the language model mixed with its partner.
fn served_by(
    chosen: &Chosen,
    partner: &Partner,
    test: Holdout<'_>,
    progress: &Progress,
) -> Result<RankingMetrics, Error> {
    let mixed =
        chosen
            .ranker()
            .evaluate_mixes(partner.mix(), test, progress)?;
    Ok(mixed[0])
}

/// The metrics of items that nobody has interacted with, ranked among
/// themselves: among all items the others win. Nothing where they are too few.
fn cold_items(
    chosen: &Chosen,
    test: Holdout<'_>,
    progress: &Progress,
) -> Result<Vec<Keyed>, Error> {
    let cold = test.histories.cold_items();
    let truth = test.truth_among(&cold);
    if cold.len() <= FEW || truth.iter().all(Vec::is_empty) {
        return Ok(Vec::new());
    }
    let test = test.among(&truth, &cold);
    let alone = chosen.ranker().evaluate(test, progress)?;
    let popular = popularity::measure(test);
    let mut metrics = Vec::new();
    metrics.extend(tested(RankedBy::ColdItems, &alone));
    if let Some(partner) = &chosen.partner {
        let served = served_by(chosen, partner, test, progress)?;
        metrics.extend(tested(RankedBy::ColdItemsServed, &served));
    }
    metrics.extend(tested(RankedBy::ColdItemsByPopularity, &popular));
    Ok(metrics)
}
