//! Which fault comes next, and until when.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::chaos::chance::Chance;
use crate::chaos::kind::Kind;
use crate::chaos::plan::Plan;

/// One fault of a schedule.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    /// Its number in the schedule, from 1.
    pub(super) number: u64,
    pub(super) kind: Kind,
    /// What its moment and its manner follow from.
    pub(super) chance: Chance,
}

/// All kinds in an order that follows from the seed, again and again, until the
/// time is over.
#[derive(Debug)]
pub(super) struct Schedule {
    seed: u64,
    kinds: Vec<Kind>,
    n_most: u64,
    until: Instant,
    dealt: Mutex<Dealt>,
}

#[derive(Debug, Default)]
struct Dealt {
    n_dealt: u64,
    ahead: Vec<Kind>,
}

impl Schedule {
    /// A schedule that begins now.
    pub(super) fn new(plan: &Plan, kinds: Vec<Kind>) -> Self {
        let n_most = match plan.times {
            0 => u64::MAX,
            times => times * kinds.len() as u64,
        };
        Self {
            seed: plan.seed,
            kinds,
            n_most,
            until: Instant::now() + plan.time,
            dealt: Mutex::default(),
        }
    }

    /// The next fault; `None` when the schedule has ended.
    pub(super) fn next(&self) -> Option<Fault> {
        let dealt = self.dealt.lock();
        let mut dealt = dealt.unwrap_or_else(PoisonError::into_inner);
        if dealt.n_dealt >= self.n_most || Instant::now() >= self.until {
            return None;
        }
        dealt.n_dealt += 1;
        let number = dealt.n_dealt;
        let mut chance = Chance::of_round(self.seed, number);
        if dealt.ahead.is_empty() {
            dealt.ahead = self.kinds.clone();
            chance.shuffle(&mut dealt.ahead);
        }
        let kind = dealt.ahead.pop()?;
        Some(Fault {
            number,
            kind,
            chance,
        })
    }
}
