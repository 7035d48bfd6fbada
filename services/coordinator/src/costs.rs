//! What parts of a job will cost, said before it is queued.

use domain::{Baselines, MAX_LIGHT_ITEMS, TrainSpec};
use serde::Deserialize;

/// The counts in a data set's manifest that costs follow from.
#[derive(Debug, Deserialize)]
pub(crate) struct Counts {
    n_items: usize,
    n_users: usize,
}

/// Values of λ.
const N_LAMBDAS: f64 = 5.0;
/// Seconds for one value of λ, over n³: measured on two Zen 4 cores with n = 2,493 (.25 s) and 5,869 (1.9 s).
const SECONDS_PER_CUBE: f64 = 1.1e-11;
/// A factor and an inverse in f64, the best weights so far and the new ones in f32.
const BYTES_PER_PAIR: usize = 24;

/// One line a part, for people.
pub(crate) fn notes(spec: &TrainSpec, counts: &Counts) -> Vec<String> {
    let n = counts.n_items;
    let as_baseline = spec.evaluation.baselines == Baselines::All;
    let mut notes = Vec::new();
    if spec.evaluation.baselines != Baselines::None {
        notes.push(format!("popularity: one ranking for {} users, nothing to speak of", counts.n_users));
    }
    if as_baseline && n <= MAX_LIGHT_ITEMS {
        let most = (n * n * 8) >> 20;
        notes.push(format!("item-kNN: the cosines of items that share a user, at most {most} MiB for {n} items"));
    }
    if spec.wants_ease() && n > MAX_LIGHT_ITEMS {
        notes.push(format!(
            "item-kNN and EASE: left out, {n} items are more than {MAX_LIGHT_ITEMS}; the language model ranks alone"
        ));
    } else if spec.wants_ease() {
        let seconds = (N_LAMBDAS * SECONDS_PER_CUBE * (n as f64).powi(3)).ceil();
        let memory = (n * n * BYTES_PER_PAIR) >> 20;
        notes.push(format!("EASE: {N_LAMBDAS} inverses of {n} × {n}, about {seconds} s on two cores and {memory} MiB"));
    }
    if spec.n_sampled_items > 0 {
        notes.push(format!(
            "the item softmax is over {} of {n} items a step, and no teacher is asked",
            spec.n_sampled_items.min(n)
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{DatasetId, Light};

    #[test]
    fn a_large_catalogue_is_told_that_ease_is_left_out() {
        let mut spec = TrainSpec::new(DatasetId::new("d").unwrap());
        let of = |spec: &TrainSpec, n_items| notes(spec, &Counts { n_items, n_users: 5 }).join("\n");
        assert!(of(&spec, 2_493).contains("about 1 s"), "{}", of(&spec, 2_493));
        assert!(of(&spec, 10_001).contains("left out"));
        (spec.evaluation.baselines, spec.hybrid.light) = (Baselines::None, Light::None);
        spec.finetuning.distilled_share = 0.0;
        assert_eq!(of(&spec, 10_001), "");
    }
}
