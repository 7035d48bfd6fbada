//! Which workers can take a job, said before it is queued and while it waits.

use std::collections::BTreeMap;

use domain::{Body, Equipment, Needs};

/// Most workers that a note names.
const MOST_NAMED: usize = 10;

/// A worker has the weights as f32.
const BYTES_PER_WEIGHT: f64 = 4.0;

/// Says for people which of the workers that are there can take a job, or what
/// none of them has.
pub(crate) fn note(
    needs: &Needs,
    workers: &BTreeMap<String, Equipment>,
) -> String {
    if let Some(nobody) = no_taker(needs, workers) {
        return nobody;
    }

    let mut fitting = Vec::new();
    for (name, equipment) in workers {
        if needs.are_met_by(equipment) {
            fitting.push(name.as_str());
        }
    }

    let n = workers.len();
    let n_fitting = fitting.len();
    fitting.truncate(MOST_NAMED);
    let names = fitting.join(", ");
    let others = match n_fitting - fitting.len() {
        0 => String::new(),
        n_others => format!(" and {n_others} more"),
    };
    format!("{n_fitting} of {n} workers can take it: {names}{others}")
}

/// Says why none of the workers that are there can take a job, and what to do;
/// `None` where one can.
pub(crate) fn no_taker(
    needs: &Needs,
    workers: &BTreeMap<String, Equipment>,
) -> Option<String> {
    if workers.is_empty() {
        return Some(format!(
            "no worker has asked for work yet: the job waits for one{}; \
             `cllm4rec up` runs all services, the program `worker` one worker",
            wanted(needs)
        ));
    }

    if workers.values().any(|worker| needs.are_met_by(worker)) {
        return None;
    }

    let there = match workers.len() {
        1 => "the only worker that is there cannot take it".to_owned(),
        n => format!("none of the {n} workers that are there can take it"),
    };
    let missing = missing(needs, workers).join(", ");
    Some(format!(
        "{there}: {missing}; it waits for a worker{}",
        wanted(needs)
    ))
}

/// What a worker must have, such as ` with label gpu and 24 GiB`.
fn wanted(needs: &Needs) -> String {
    let mut wanted = Vec::new();
    for label in &needs.labels {
        wanted.push(format!("label {label}"));
    }
    if needs.memory_gib > 0 {
        wanted.push(format!("{} GiB", needs.memory_gib));
    }
    if wanted.is_empty() {
        return String::new();
    }
    format!(" with {}", wanted.join(" and "))
}

/// What no worker has, one by one; or that none has all of it.
fn missing(
    needs: &Needs,
    workers: &BTreeMap<String, Equipment>,
) -> Vec<String> {
    let mut missing = Vec::new();
    for label in &needs.labels {
        let has_it = |worker: &Equipment| worker.labels.contains(label);
        if !workers.values().any(has_it) {
            missing.push(format!("nobody has the label `{label}`"));
        }
    }

    let most = workers.values().map(|worker| worker.memory_gib).max();
    let most = most.unwrap_or_default();
    if needs.memory_gib > most {
        missing.push(format!(
            "nobody has {} GiB (the most is {most} GiB)",
            needs.memory_gib
        ));
    }

    if missing.is_empty() {
        missing.push("nobody has all that it needs".to_owned());
    }

    missing
}

/// Says for people which workers have too little memory for the weights of a
/// job's language model, the least that a job takes; `None` where none is known
/// to have.
pub(crate) fn too_small(
    body: &Body,
    workers: &BTreeMap<String, Equipment>,
) -> Option<String> {
    let gib = body.n_weights() * BYTES_PER_WEIGHT / f64::from(1 << 30);
    let mut small = Vec::new();
    for (name, Equipment { memory_gib, .. }) in workers {
        // Nothing: it has not said.
        if *memory_gib > 0 && f64::from(*memory_gib) < gib {
            small.push(format!("{name} ({memory_gib} GiB)"));
        }
    }

    let n_small = small.len();
    small.truncate(MOST_NAMED);
    let names = small.join(", ");
    let least = gib.ceil();
    (n_small > 0).then(|| {
        format!(
            "the weights of its language model alone take {gib:.1} GiB, more than is there on {names}; \
             with `needs.memory_gib` (`--need-memory-gib {least}`) it waits for one that has it"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{RandomBackbone, WorkerLabel};

    #[test]
    fn a_worker_without_room_for_the_weights_is_named() {
        let body = Body::from(&RandomBackbone {
            n_embd: 4_096,
            n_layer: 32,
            ..RandomBackbone::default()
        });
        let workers = BTreeMap::from([
            ("large".to_owned(), worker(&[], 64)),
            ("silent".to_owned(), worker(&[], 0)),
            ("small".to_owned(), worker(&[], 8)),
        ]);
        let note = too_small(&body, &workers).unwrap();
        assert!(note.contains("take 24.8 GiB"), "{note}");
        assert!(
            note.contains("more than is there on small (8 GiB)"),
            "{note}"
        );
        assert!(note.contains("--need-memory-gib 25"), "{note}");
        let body = Body::from(&RandomBackbone::default());
        assert_eq!(too_small(&body, &workers), None);
    }

    fn worker(labels: &[&str], memory_gib: u32) -> Equipment {
        let label = |name: &&str| WorkerLabel::new(*name).unwrap();
        Equipment {
            labels: labels.iter().map(label).collect(),
            memory_gib,
        }
    }

    fn needs(labels: &[&str], memory_gib: u32) -> Needs {
        Needs {
            labels: worker(labels, 0).labels,
            memory_gib,
        }
    }

    #[test]
    fn whoever_asks_hears_who_fits_or_what_nobody_has() {
        let nobody = note(&Needs::default(), &BTreeMap::new());
        assert!(nobody.starts_with("no worker has asked"), "{nobody}");
        let message = no_taker(&needs(&["gpu"], 24), &BTreeMap::new());
        let message = message.unwrap();
        assert!(
            message.contains("one with label gpu and 24 GiB"),
            "{message}"
        );
        let workers = BTreeMap::from([
            ("cpu".to_owned(), worker(&[], 64)),
            ("gpu".to_owned(), worker(&["gpu"], 24)),
        ]);
        let note = |labels: &[&str], gib| note(&needs(labels, gib), &workers);
        assert_eq!(note(&[], 0), "2 of 2 workers can take it: cpu, gpu");
        assert_eq!(note(&["gpu"], 24), "1 of 2 workers can take it: gpu");
        let message = note(&["tpu", "gpu"], 80);
        assert!(message.contains("nobody has the label `tpu`, nobody has 80 GiB (the most is 64 GiB)"), "{message}");
        assert!(message.contains("none of the 2 workers"), "{message}");
        let message = note(&["gpu"], 64);
        assert!(message.contains("nobody has all that"), "{message}");
        assert_eq!(no_taker(&needs(&["gpu"], 24), &workers), None);
    }
}
