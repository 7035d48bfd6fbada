//! What is told of a job: metrics with their steps and times, and settings.

use std::collections::BTreeMap;

use proto::pb::job::State;
use proto::{milliseconds, pb};

use crate::output::spec_fields::important;

/// A value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    /// Such as `loss/finetuning` or `test/ndcg@100`.
    pub(crate) metric: String,
    pub(crate) value: f64,
    /// The epoch of the stage, or of the job for a validation; 0 for what the
    /// whole job came to.
    pub(crate) step: i64,
    /// When it was known, in milliseconds since 1970-01-01 UTC.
    pub(crate) at_ms: i64,
}

/// A job as others show it.
#[derive(Debug)]
pub(crate) struct Run {
    /// The job's id.
    pub(crate) id: String,
    pub(crate) state: State,
    pub(crate) begun_ms: i64,
    /// When it ended; absent while it goes on.
    pub(crate) ended_ms: Option<i64>,
    pub(crate) settings: BTreeMap<String, String>,
    /// In the order in which they were known.
    pub(crate) points: Vec<Point>,
    /// Its model's version; empty where there is none.
    pub(crate) model_version: String,
}

impl Run {
    /// A job by its record, and its events for the times.
    pub(crate) fn of(job: &pb::Job, events: &[pb::JobEvent]) -> Self {
        let mut settings = BTreeMap::new();
        for field in important(job) {
            settings.insert(field.path, field.value);
        }
        let spec = job.spec.clone().unwrap_or_default();
        settings.insert("dataset".to_owned(), spec.dataset);
        let ended_ms = job.update_time.map_or(0, milliseconds);
        Self {
            id: job.name.trim_start_matches("jobs/").to_owned(),
            state: job.state(),
            begun_ms: job.create_time.map_or(0, milliseconds),
            ended_ms: job.state().is_final().then_some(ended_ms),
            settings,
            points: points(job, events),
            model_version: job.model_version.clone(),
        }
    }
}

fn points(job: &pb::Job, events: &[pb::JobEvent]) -> Vec<Point> {
    let mut points = Vec::new();
    let now_ms = job.update_time.map_or(0, milliseconds);
    let epochs = job.progress.iter().flat_map(|it| &it.epochs);
    for (place, epoch) in epochs.enumerate() {
        let at_ms = known_since(events, place).unwrap_or(now_ms);
        points.push(Point {
            metric: format!("loss/{}", epoch.stage),
            value: epoch.loss,
            step: epoch.epoch.into(),
            at_ms,
        });
        if let Some(value) = epoch.valid_ndcg_100 {
            points.push(Point {
                metric: "validation/ndcg@100".to_owned(),
                value,
                step: place as i64 + 1,
                at_ms,
            });
        }
    }
    let mut metrics: Vec<_> = job.metrics.iter().collect();
    metrics.sort_by(|one, other| one.0.cmp(other.0));
    for (name, value) in metrics {
        points.push(Point {
            metric: format!("test/{name}"),
            value: *value,
            step: 0,
            at_ms: now_ms,
        });
    }
    points
}

/// When the epoch at a place was first reported.
fn known_since(events: &[pb::JobEvent], place: usize) -> Option<i64> {
    let has_it = |event: &&pb::JobEvent| {
        let job = event.job.as_ref();
        let progress = job.and_then(|job| job.progress.as_ref());
        progress.is_some_and(|progress| progress.epochs.len() > place)
    };
    let event = events.iter().find(has_it)?;
    event.time.map(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::timestamp;

    #[test]
    fn a_point_has_the_time_at_which_its_epoch_was_reported() {
        let epoch = |epoch, valid_ndcg_100| pb::EpochReport {
            stage: "finetuning".to_owned(),
            epoch,
            loss: 3.0,
            valid_ndcg_100,
        };
        let after = |epochs: &[pb::EpochReport]| pb::Job {
            progress: Some(pb::Progress {
                epochs: epochs.to_vec(),
                ..Default::default()
            }),
            update_time: Some(timestamp(9_000)),
            metrics: [("ndcg@100".to_owned(), 0.2)].into(),
            ..Default::default()
        };
        let epochs = [epoch(1, None), epoch(2, Some(0.1))];
        let event = |ms, job| pb::JobEvent {
            time: Some(timestamp(ms)),
            job: Some(job),
            ..Default::default()
        };
        let events = [
            event(5_000, after(&epochs[..1])),
            event(7_000, after(&epochs)),
        ];
        let run = Run::of(&after(&epochs), &events);
        let told: Vec<(&str, i64, i64)> = run
            .points
            .iter()
            .map(|it| (it.metric.as_str(), it.step, it.at_ms))
            .collect();
        assert_eq!(
            told,
            [
                ("loss/finetuning", 1, 5_000),
                ("loss/finetuning", 2, 7_000),
                ("validation/ndcg@100", 2, 7_000),
                ("test/ndcg@100", 0, 9_000),
            ]
        );
    }
}
