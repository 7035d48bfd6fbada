//! How fast the workers are. In memory: a worker says it each time that it asks
//! for work, and what nobody says any more describes no machine that is there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::Calibration;

/// What makes two machines equally fast.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Machine {
    device: String,
    precision: String,
    n_threads: usize,
}

/// The latest calibration of each kind of machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machines {
    measured: Arc<Mutex<BTreeMap<Machine, Calibration>>>,
}

impl Machines {
    pub(crate) fn note(&self, calibration: Calibration) {
        let machine = Machine {
            device: calibration.device.clone(),
            precision: calibration.precision.clone(),
            n_threads: calibration.n_threads,
        };

        self.measured().insert(machine, calibration);
    }

    pub(crate) fn all(&self) -> Vec<Calibration> {
        self.measured().values().cloned().collect()
    }

    fn measured(&self) -> MutexGuard<'_, BTreeMap<Machine, Calibration>> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
