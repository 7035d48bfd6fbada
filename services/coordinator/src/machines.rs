//! How fast the workers are. In memory: a worker says it each time that it asks for work, and what
//! nobody says any more describes no machine that is there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::Calibration;

/// Device, precision and cores.
type Machine = (String, String, usize);

/// The latest calibration of each kind of machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machines(Arc<Mutex<BTreeMap<Machine, Calibration>>>);

impl Machines {
    pub(crate) fn note(&self, calibration: Calibration) {
        let machine = (
            calibration.device.clone(),
            calibration.precision.clone(),
            calibration.n_threads,
        );
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(machine, calibration);
    }

    pub(crate) fn all(&self) -> Vec<Calibration> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }
}
