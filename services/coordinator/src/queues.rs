//! The queues that jobs name, and what each may have: the section `[queues]` of the
//! coordinator's settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::{Invalid, QueueName};
use serde::Deserialize;
use tokio::sync::Mutex;

/// What a queue may have.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueLimits {
    /// Its share of the workers, beside the other queues' weights; more than 0.
    pub weight: f64,
    /// Most jobs of it that workers have at once; 0: any number.
    pub max_running: usize,
    /// Most jobs of it that wait; 0: any number.
    pub max_queued: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            weight: 1.0,
            max_running: 0,
            max_queued: 0,
        }
    }
}

/// All queues; clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Queues {
    limits: Arc<BTreeMap<QueueName, QueueLimits>>,
    /// Held while a job is added to a queue with a limit.
    pub(crate) adding: Arc<Mutex<()>>,
}

impl Queues {
    /// Checks what the settings say; the queue `default` is always there.
    pub(crate) fn new(
        settings: &BTreeMap<String, QueueLimits>,
    ) -> Result<Self, Invalid> {
        let mut limits = BTreeMap::new();
        limits.insert(QueueName::default(), QueueLimits::default());
        for (name, given) in settings {
            let field = format!("queues.{name}");
            let name = QueueName::new(name.as_str())
                .map_err(|wrong| wrong.under(&field))?;
            if !(given.weight > 0.0 && given.weight.is_finite()) {
                let reason = format!("must be above 0, is {}", given.weight);
                return Err(Invalid::one(format!("{field}.weight"), reason));
            }

            limits.insert(name, *given);
        }

        Ok(Self {
            limits: Arc::new(limits),
            adding: Arc::default(),
        })
    }

    /// What a queue may have. Jobs of one that is not in the settings any more
    /// are given out as if it had no limits.
    pub(crate) fn limits(&self, queue: &QueueName) -> QueueLimits {
        self.limits.get(queue).copied().unwrap_or_default()
    }

    /// Refuses a queue that is not in the settings.
    pub(crate) fn require(&self, queue: &QueueName) -> Result<(), Invalid> {
        let is_default = *queue == QueueName::default();
        if is_default || self.limits.contains_key(queue) {
            return Ok(());
        }

        let names: Vec<&str> =
            self.limits.keys().map(QueueName::as_str).collect();
        let reason = format!(
            "there is no queue `{queue}`, only {}; the coordinator's settings name them ([queues.{queue}])",
            names.join(", ")
        );
        Err(Invalid::one("schedule.queue", reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_one_of_the_settings_and_default_is_always_there() {
        let nightly = QueueLimits {
            weight: 2.0,
            ..QueueLimits::default()
        };
        let settings = BTreeMap::from([("nightly".to_owned(), nightly)]);
        let queues = Queues::new(&settings).unwrap();
        queues.require(&QueueName::default()).unwrap();
        let known = QueueName::new("nightly").unwrap();
        queues.require(&known).unwrap();
        assert_eq!(queues.limits(&known).weight, 2.0);
        let unknown = QueueName::new("nightli").unwrap();
        let refused = queues.require(&unknown).unwrap_err().to_string();
        assert!(refused.contains("default, nightly"), "{refused}");
        assert_eq!(queues.limits(&unknown), QueueLimits::default());
    }

    #[test]
    fn a_weight_is_above_nothing() {
        for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let limits = QueueLimits {
                weight,
                ..QueueLimits::default()
            };
            let settings = BTreeMap::from([("a".to_owned(), limits)]);
            let refused = Queues::new(&settings).unwrap_err().to_string();
            assert!(refused.starts_with("queues.a.weight"), "{refused}");
        }
    }
}
