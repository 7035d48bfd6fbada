//! What the workers are: how fast, and which backbones they see. In memory: a
//! worker says it each time that it asks for work, and what nobody says any
//! more describes no machine that is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{Body, Calibration, Equipment, SeenBackbone};
use tokio::time::Instant;

/// A worker that holds no job and was not heard of for so long is gone; it asks
/// for work several times a minute.
const GONE_AFTER: Duration = Duration::from_secs(10 * 60);
/// Most workers that are remembered.
const MOST_WORKERS: usize = 1_000;
/// Most backbones of one worker that are remembered.
const MOST_BACKBONES: usize = 64;

/// What a worker says of itself when it asks for work.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine {
    /// Absent where nobody measured it.
    pub(crate) calibration: Option<Calibration>,
    /// The backbones on its disk.
    pub(crate) backbones: Vec<SeenBackbone>,
    /// What jobs may need of it.
    pub(crate) equipment: Equipment,
}

/// A worker that asked for work.
#[derive(Debug)]
struct Heard {
    at: Instant,
    machine: Machine,
}

/// What all workers that are there have said.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Known {
    /// One of each kind of machine, as it was last measured.
    pub(crate) calibrations: Vec<Calibration>,
    /// Every backbone that one of them sees, by what jobs name it.
    pub(crate) backbones: BTreeMap<String, Body>,
    /// What each worker has that jobs may need, by its name.
    pub(crate) equipment: BTreeMap<String, Equipment>,
}

/// The latest word of each worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machines {
    workers: Arc<Mutex<BTreeMap<String, Heard>>>,
}

impl Machines {
    /// Remembers what a worker says. Where there are too many, the one that was
    /// silent for longest is forgotten.
    pub(crate) fn note(&self, worker: &str, machine: Machine, at: Instant) {
        let mut workers = self.workers();
        let mut machine = machine;
        machine.backbones.truncate(MOST_BACKBONES);
        workers.insert(worker.to_owned(), Heard { at, machine });
        if workers.len() > MOST_WORKERS {
            let silent = workers.iter().min_by_key(|(_, heard)| heard.at);
            let silent = silent.map(|(worker, _)| worker.clone());
            silent.and_then(|worker| workers.remove(&worker));
        }
    }

    /// What a worker said that it has; nothing where it said nothing.
    pub(crate) fn equipment(&self, worker: &str) -> Equipment {
        let workers = self.workers();
        let heard = workers.get(worker);
        heard
            .map(|heard| heard.machine.equipment.clone())
            .unwrap_or_default()
    }

    /// What is known of the workers that are there: those that hold a job do
    /// not ask for work, and are.
    pub(crate) fn known(&self, busy: &BTreeSet<&str>, now: Instant) -> Known {
        let mut workers = self.workers();
        workers.retain(|worker, heard| {
            let silence = now.saturating_duration_since(heard.at);
            silence < GONE_AFTER || busy.contains(&**worker)
        });
        let mut equipment = BTreeMap::new();
        for (name, heard) in workers.iter() {
            equipment.insert(name.clone(), heard.machine.equipment.clone());
        }
        let mut machines: Vec<&Heard> = workers.values().collect();
        machines.sort_by_key(|heard| heard.at);
        let mut calibrations = BTreeMap::new();
        let mut backbones = BTreeMap::new();
        for Heard { machine, .. } in machines {
            for seen in &machine.backbones {
                backbones.insert(seen.location.to_string(), seen.body);
            }
            if let Some(calibration) = &machine.calibration {
                // What makes two machines equally fast.
                let kind = (
                    &calibration.device,
                    &calibration.precision,
                    calibration.n_threads,
                );
                calibrations.insert(kind, calibration);
            }
        }
        Known {
            calibrations: calibrations.into_values().cloned().collect(),
            backbones,
            equipment,
        }
    }

    fn workers(&self) -> MutexGuard<'_, BTreeMap<String, Heard>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{BackboneLocation, RandomBackbone};

    fn sees(names: &[&str], n_embd: usize) -> Machine {
        let body = Body::from(&RandomBackbone {
            n_embd,
            ..RandomBackbone::default()
        });
        let mut backbones = Vec::new();
        for name in names {
            let location = BackboneLocation::new(name).unwrap();
            backbones.push(SeenBackbone { location, body });
        }
        Machine {
            backbones,
            ..Machine::default()
        }
    }

    fn names(known: &Known) -> Vec<&str> {
        known.backbones.keys().map(String::as_str).collect()
    }

    #[test]
    fn what_workers_see_is_known_until_they_are_gone() {
        let (machines, start) = (Machines::default(), Instant::now());
        let later = start + GONE_AFTER / 2;
        machines.note("one", sees(&["a", "b"], 8), start);
        machines.note("two", sees(&["b", "c"], 16), later);
        let nobody = BTreeSet::new();
        let known = machines.known(&nobody, later);
        assert_eq!(names(&known), ["a", "b", "c"]);
        let latest = known.backbones["b"].shape().n_embd;
        assert_eq!(latest, 16.0, "the latest word counts");

        let end = start + GONE_AFTER;
        let busy = BTreeSet::from(["one"]);
        assert_eq!(names(&machines.known(&busy, end)), ["a", "b", "c"]);
        assert_eq!(names(&machines.known(&nobody, end)), ["b", "c"]);
        machines.note("two", sees(&[], 16), end);
        assert!(machines.known(&nobody, end).backbones.is_empty());
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let (machines, start) = (Machines::default(), Instant::now());
        let names_of = |n: usize| -> Vec<String> {
            (0..n).map(|number| format!("b{number}")).collect()
        };
        let many = names_of(MOST_BACKBONES + 9);
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        machines.note("first", sees(&many, 8), start);
        let nobody = BTreeSet::new();
        let known = machines.known(&nobody, start);
        assert_eq!(known.backbones.len(), MOST_BACKBONES);
        for number in 0..MOST_WORKERS {
            let after = start + Duration::from_millis(1);
            machines.note(&format!("w{number}"), Machine::default(), after);
        }
        assert!(machines.known(&nobody, start).backbones.is_empty());
    }
}
