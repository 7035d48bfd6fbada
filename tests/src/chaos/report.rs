//! Says what a fault did when it is over, and sums all of them up.
#![allow(clippy::print_stdout, reason = "what `make chaos` says")]

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::chaos::kind::Kind;
use crate::chaos::plan::Plan;
use crate::chaos::schedule::Fault;

/// How a round went.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    /// The fault came when it was aimed at.
    pub(super) is_hit: bool,
    /// The promise that is broken.
    pub(super) broken: Option<String>,
}

/// What all rounds so far came to, by kind.
#[derive(Debug, Default)]
pub(super) struct Report {
    sums: Mutex<BTreeMap<Kind, Sum>>,
}

#[derive(Debug, Default)]
struct Sum {
    n: usize,
    n_hit: usize,
    n_broken: usize,
    time: Duration,
    longest: Duration,
}

/// Says what begins, so that it can be repeated.
pub(super) fn announce(plan: &Plan, skipped: &[Kind]) {
    let (seed, seconds) = (plan.seed, plan.time.as_secs());
    println!("chaos --seed {seed}: {seconds} s, {} lanes", plan.n_lanes);
    for kind in skipped {
        let why = if kind.needs_clocks() {
            "there is no C compiler for the wrong clocks"
        } else {
            "only root may mount a file system"
        };
        println!("{kind} is left out: {why}");
    }
}

impl Report {
    /// Adds a round, and says how it went.
    pub(super) fn add(&self, fault: &Fault, took: Duration, outcome: &Outcome) {
        let how = match (&outcome.broken, outcome.is_hit) {
            (Some(promise), _) => format!("BROKEN: {promise}"),
            (None, true) => "kept".to_owned(),
            (None, false) => "kept; the moment was missed".to_owned(),
        };
        let (number, kind, s) = (fault.number, fault.kind, took.as_secs_f64());
        println!("{number:5}  {kind:36} {s:6.1} s  {how}");
        let sums = self.sums.lock();
        let mut sums = sums.unwrap_or_else(PoisonError::into_inner);
        let sum = sums.entry(kind).or_default();
        sum.n += 1;
        sum.n_hit += usize::from(outcome.is_hit);
        sum.n_broken += usize::from(outcome.broken.is_some());
        sum.time += took;
        sum.longest = sum.longest.max(took);
    }

    /// Prints the table; true when no promise was broken.
    pub(super) fn conclude(&self) -> bool {
        let sums = self.sums.lock();
        let sums = sums.unwrap_or_else(PoisonError::into_inner);
        println!(
            "\n| fault | times | in its moment | seconds a round, mean and most | broken promises |"
        );
        println!("|---|---|---|---|---|");
        let (mut n, mut n_hit, mut n_broken) = (0, 0, 0);
        for (kind, sum) in &*sums {
            let mean = sum.time.as_secs_f64() / sum.n as f64;
            let most = sum.longest.as_secs_f64();
            println!(
                "| {kind} | {} | {} | {mean:.1}, {most:.1} | {} |",
                sum.n, sum.n_hit, sum.n_broken
            );
            n += sum.n;
            n_hit += sum.n_hit;
            n_broken += sum.n_broken;
        }
        println!("| all | {n} | {n_hit} | | {n_broken} |");
        n_broken == 0 && n > 0
    }
}
