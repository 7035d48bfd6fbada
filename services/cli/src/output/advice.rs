//! What to do with a model, in sentences: does it add anything to the simpler
//! methods?

use domain::{HYBRID_WEIGHT, Metric, RankedBy, best_simpler_method};
use proto::pb;

use wording::change;

/// A lift smaller than this is not worth a model.
const WORTH: f64 = 0.02;
/// Seeds and splits move the metrics of fewer users by more than a model does.
const FEW_USERS: usize = 300;

/// Judges a finished job by its metrics, a sentence or two each about the lift
/// over the simpler methods, the hybrid, and how far the figures can be
/// trusted.
pub(crate) fn advice(job: &pb::Job, n_users: usize) -> Vec<String> {
    let Some(served) = ndcg(job, RankedBy::Served) else {
        return vec![
            "The job has no metrics: its data set has no test split to measure on.".to_owned(),
        ];
    };
    let mut advice = vec![on_simpler_methods(job, served)];
    advice.extend(on_hybrid(job, served));
    if n_users < FEW_USERS {
        advice.push(format!(
            "There are {n_users} users only: differences of a few percent can be chance. Try several seeds (`--set seed=1`)."
        ));
    }

    advice
}

fn ndcg(job: &pb::Job, ranker: RankedBy) -> Option<f64> {
    let key = ranker.key(Metric::Ndcg100);
    job.metrics.get(&key).copied()
}

/// Whether the model beats the best of the simpler methods by enough.
fn on_simpler_methods(job: &pb::Job, served: f64) -> String {
    let Some(simpler) = best_simpler_method(&job.metrics) else {
        return "No simpler method was measured: set evaluation.baselines = \"all\" to compare."
            .to_owned();
    };
    let name = simpler.ranker.label();
    if simpler.ndcg <= 0.0 {
        return format!(
            "{name} finds nothing at all on the test split: there is nothing to compare with."
        );
    }

    let lift = served / simpler.ndcg - 1.0;
    let change = change(served / simpler.ndcg);
    let lift_text =
        format!("{change} NDCG@100 over {name}, the best simpler method");
    if lift < WORTH {
        return format!(
            "The model adds nothing here ({lift_text}): {name} alone would do, at a fraction of the cost."
        );
    }

    format!("The model is worth its cost: {lift_text}.")
}

/// What mixing the language model with EASE came to, where there is something
/// to say.
fn on_hybrid(job: &pb::Job, served: f64) -> Option<String> {
    let alone = ndcg(job, RankedBy::LanguageModel)?;
    // The light model reads the texts where there are some.
    let reads = ndcg(job, RankedBy::EaseWithTexts);
    let ease = reads.or_else(|| ndcg(job, RankedBy::Ease))?;
    let weight = job.metrics.get(HYBRID_WEIGHT).copied()?;
    if weight >= 1.0 {
        return Some(
            "Validation gave EASE all the weight: what is served is EASE alone.".to_owned(),
        );
    }

    if weight == 0.0 {
        return Some(
            "Mixing EASE in did not help on validation: the language model ranks alone.".to_owned(),
        );
    }

    let makes_up_for_it = weight > 0.0 && alone < ease && served >= ease;
    makes_up_for_it.then(|| {
        format!(
            "The language model alone is behind EASE; the hybrid (weight {weight:.1}) makes up for it."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(metrics: &[(&str, f64)]) -> pb::Job {
        let metrics = metrics
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect();
        pb::Job {
            metrics,
            ..Default::default()
        }
    }

    #[test]
    fn a_model_that_adds_nothing_is_called_that() {
        let job = job(&[
            ("ndcg@100", 0.101),
            ("llm_ndcg@100", 0.09),
            ("ease_ndcg@100", 0.1),
            ("knn_ndcg@100", 0.08),
            ("hybrid_weight", 0.4),
        ]);
        let advice = advice(&job, 10_000);
        assert!(
            advice[0].contains("adds nothing") && advice[0].contains("EASE"),
            "{advice:?}"
        );
        assert!(advice[1].contains("behind EASE"), "{advice:?}");
    }

    #[test]
    fn a_good_model_on_few_users_is_praised_with_a_warning() {
        let advice =
            advice(&job(&[("ndcg@100", 0.12), ("ease_ndcg@100", 0.1)]), 50);
        assert!(
            advice[0].contains("worth its cost")
                && advice[0].contains("+20.0 %"),
            "{advice:?}"
        );
        assert!(advice[1].contains("50 users"), "{advice:?}");
    }
}
