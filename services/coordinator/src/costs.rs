//! What parts of a job will cost, said before it is queued.

use domain::{
    Baselines, Body, Calibration, Counts, MAX_LIGHT_ITEMS, TrainSpec,
};

use crate::body::KnownBody;

/// A factor and an inverse in f64, the best weights so far, the new ones and the
/// cosines of the texts in f32.
const BYTES_PER_PAIR: usize = 28;

/// What a job is to do, on what.
pub(crate) struct Work<'a> {
    pub(crate) spec: &'a TrainSpec,
    pub(crate) counts: &'a Counts,
    pub(crate) body: KnownBody,
}

/// Says for people what the job's parts will cost, one line each.
pub(crate) fn notes(work: &Work<'_>, machines: &[Calibration]) -> Vec<String> {
    let Work { spec, counts, .. } = work;
    let n = counts.n_items;
    let as_baseline = spec.evaluation.baselines == Baselines::All;
    let mut notes = Vec::new();
    if spec.evaluation.baselines != Baselines::None {
        notes.push(format!(
            "popularity: one ranking for {} users, nothing to speak of",
            counts.n_users
        ));
    }

    if as_baseline && n <= MAX_LIGHT_ITEMS {
        let most = (n * n * 8) >> 20;
        notes.push(format!(
            "item-kNN: the cosines of items that share a user, at most {most} MiB for {n} items"
        ));
    }

    if spec.wants_ease() && n > MAX_LIGHT_ITEMS {
        notes.push(format!(
            "item-kNN and EASE: left out, {n} items are more than {MAX_LIGHT_ITEMS}; the language model ranks alone"
        ));
    } else if spec.wants_ease() {
        let memory = (n * n * BYTES_PER_PAIR) >> 20;
        let n_fits = spec.n_ease_fits(counts.n_valid > 0);
        notes.push(format!(
            "EASE: up to {n_fits} inverses of {n} × {n}, {memory} MiB"
        ));
    }

    if spec.n_sampled_items > 0 {
        notes.push(format!(
            "the item softmax is over {} of {n} items a step, and no teacher is asked",
            spec.n_sampled_items.min(n)
        ));
    }

    notes.extend(durations(work, machines));
    notes
}

/// Says how long the job will take on each kind of machine that has asked for
/// work, or why that cannot be said.
fn durations(work: &Work<'_>, machines: &[Calibration]) -> Vec<String> {
    match body_to_measure(work, machines) {
        Ok(body) => machines
            .iter()
            .filter_map(|machine| duration(work, body, machine))
            .collect(),
        Err(why) => vec![format!("how long it will take is not known: {why}")],
    }
}

/// The body whose work is counted, or why no time can be said.
fn body_to_measure<'a>(
    work: &'a Work<'_>,
    machines: &[Calibration],
) -> Result<&'a Body, &'a str> {
    let body = match &work.body {
        KnownBody::Sizes(body) => body,
        KnownBody::Unknown(why) => return Err(why),
    };
    if work.counts.text_lengths.is_empty() {
        return Err(
            "the data set was imported before its texts were measured; \
             import it again",
        );
    }
    if machines.is_empty() {
        return Err("no worker that was measured has asked for work; \
                    run `cllm4rec worker calibrate` and start it again");
    }
    Ok(body)
}

fn duration(
    work: &Work<'_>,
    body: &Body,
    machine: &Calibration,
) -> Option<String> {
    let Work { spec, counts, .. } = work;
    let parts = machine.estimate(spec, counts, body)?;
    let mut all = 0.0;
    let mut long = Vec::new();
    for (part, seconds) in parts {
        all += seconds;
        if seconds >= 1.0 {
            long.push(format!("{} {seconds:.0}", part.name()));
        }
    }

    let long = if long.is_empty() {
        "below one each".to_owned()
    } else {
        long.join(", ")
    };

    let Calibration {
        device,
        precision,
        n_threads,
        ..
    } = machine;
    let early = if spec.evaluation.patience > 0 {
        ", less when it stops early"
    } else {
        ""
    };

    Some(format!(
        "about {all:.0} s on {device} ({precision}, {n_threads} cores){early}; in seconds: {long}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{DatasetId, Light, RandomBackbone};

    #[test]
    fn a_large_catalogue_is_told_that_ease_is_left_out() {
        let mut spec = TrainSpec::new(DatasetId::new("d").unwrap());
        let of = |spec: &TrainSpec, n_items| {
            let counts = Counts {
                n_items,
                n_users: 5,
                ..Counts::default()
            };
            let work = Work {
                spec,
                counts: &counts,
                body: KnownBody::Sizes(Body::from(&RandomBackbone::default())),
            };
            notes(&work, &[]).join("\n")
        };
        assert!(of(&spec, 2_493).contains("165 MiB"), "{}", of(&spec, 2_493));
        assert!(of(&spec, 10_001).contains("left out"));
        (spec.evaluation.baselines, spec.hybrid.light) =
            (Baselines::None, Light::None);
        spec.finetuning.distilled_share = 0.0;
        assert!(
            of(&spec, 10_001).starts_with(
                "how long it will take is not known: the data set"
            )
        );
    }
}
