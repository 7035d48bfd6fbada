//! What came of a sweep: the best first, as a table for people and as JSON.

use clap::ValueEnum;
use domain::{Metric, RankedBy};
use proto::pb;
use serde_json::{Value, json};

use crate::output::json;
use crate::tuning::sweep::Trial;

/// What trials are compared by, on the validation split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measure {
    /// Recall among the first 20 items.
    #[value(name = "recall@20")]
    Recall20,
    /// Recall among the first 40 items.
    #[value(name = "recall@40")]
    Recall40,
    /// Normalised discounted gain among the first 100 items.
    #[value(name = "ndcg@100")]
    Ndcg100,
}

impl Measure {
    fn metric(self) -> Metric {
        match self {
            Self::Recall20 => Metric::Recall20,
            Self::Recall40 => Metric::Recall40,
            Self::Ndcg100 => Metric::Ndcg100,
        }
    }

    /// The key of a job's metrics that it is.
    pub(crate) fn key(self) -> String {
        format!("valid_{}", RankedBy::Served.key(self.metric()))
    }

    /// A job's value; `None` where it has no model, or nothing was held out for
    /// validation.
    pub(crate) fn of(self, job: &pb::Job) -> Option<f64> {
        let value = job.metrics.get(&self.key()).copied();
        value.filter(|value| value.is_finite())
    }

    fn of_trial(self, trial: &Trial) -> Option<f64> {
        trial.job.as_ref().and_then(|job| self.of(job))
    }
}

/// Puts the best trial first; those without a value come last, as they were.
pub(crate) fn rank(trials: &mut [Trial], by: Measure) {
    trials.sort_by(|one, other| {
        let value = |trial| by.of_trial(trial).unwrap_or(f64::NEG_INFINITY);
        value(other).total_cmp(&value(one))
    });
}

/// The best of ranked trials, if any has a value.
pub(crate) fn best(trials: &[Trial], by: Measure) -> Option<&pb::Job> {
    let first = trials.first()?;
    by.of_trial(first)?;
    first.job.as_ref()
}

/// A line for each trial.
pub(crate) fn table(trials: &[Trial], by: Measure) -> String {
    let mut lines = Vec::new();
    let test = RankedBy::Served.key(by.metric());
    let width = trials.iter().map(|trial| trial.shown().len()).max();
    let width = width.unwrap_or_default().max(6);
    lines.push(format!(
        "{:>4}  {:>16}  {:>16}  {:<width$}  model or job",
        "rank",
        by.key(),
        format!("test {test}"),
        "fields"
    ));
    for (place, trial) in trials.iter().enumerate() {
        let Some(job) = &trial.job else { continue };
        let cell = |value: Option<f64>| {
            value.map_or("-".to_owned(), |value| format!("{value:.4}"))
        };
        let outcome = match &job.cause {
            _ if !job.model_version.is_empty() => job.model_version.clone(),
            Some(cause) => format!(
                "{} {}: {}",
                job.name,
                job.state().as_str_name(),
                cause.message
            ),
            None => format!("{} {}", job.name, job.state().as_str_name()),
        };
        lines.push(format!(
            "{:>4}  {:>16}  {:>16}  {:<width$}  {outcome}",
            place + 1,
            cell(by.of(job)),
            cell(job.metrics.get(&test).copied()),
            trial.shown()
        ));
    }

    lines.join("\n")
}

/// All of it, for programs: the best first.
pub(crate) fn as_json(trials: &[Trial], by: Measure) -> Value {
    let mut ranked = Vec::new();
    for trial in trials {
        let Some(job) = &trial.job else { continue };
        let mut fields = serde_json::Map::new();
        for (field, value) in &trial.fields {
            fields.insert(field.clone(), value.clone().into());
        }

        ranked.push(json!({
            "fields": fields,
            "value": by.of(job),
            "job": json::job(job),
        }));
    }

    let best = best(trials, by);
    json!({
        "by": by.key(),
        "best_job": best.map(|job| &job.name),
        "best_model_version": best.map(|job| &job.model_version),
        "trials": ranked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::pb::job::State;

    fn trial(name: &str, value: Option<f64>) -> Trial {
        let mut job = pb::Job {
            name: format!("jobs/{name}"),
            ..pb::Job::default()
        };
        job.set_state(State::Failed);
        if let Some(value) = value {
            job.set_state(State::Succeeded);
            job.model_version = format!("modelVersions/{name}");
            let key = "valid_ndcg@100".to_owned();
            job.metrics.insert(key, value);
        }
        Trial {
            fields: vec![("seed".to_owned(), name.to_owned())],
            request: pb::TrainJobRequest::default(),
            job: Some(job),
        }
    }

    #[test]
    fn the_best_on_validation_comes_first_and_failures_last() {
        let mut trials = vec![
            trial("1", None),
            trial("2", Some(0.1)),
            trial("3", Some(0.3)),
            trial("4", None),
            trial("5", Some(0.2)),
        ];
        let by = Measure::Ndcg100;
        rank(&mut trials, by);
        let order: Vec<&str> = trials
            .iter()
            .map(|trial| trial.fields[0].1.as_str())
            .collect();
        assert_eq!(order, ["3", "5", "2", "1", "4"]);
        assert_eq!(best(&trials, by).unwrap().name, "jobs/3");
        let table = table(&trials, by);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 6);
        assert!(lines[1].contains("0.3000"), "{table}");
        assert!(lines[1].ends_with("modelVersions/3"), "{table}");
        assert!(lines[5].contains("jobs/4 FAILED"), "{table}");
        let json = as_json(&trials, by);
        assert_eq!(json["best_job"], "jobs/3");
        assert_eq!(json["trials"][3]["value"], Value::Null);
        assert_eq!(json["trials"][0]["fields"]["seed"], "3");
    }

    #[test]
    fn without_a_validation_split_there_is_no_best() {
        let trials = [trial("1", None)];
        assert!(best(&trials, Measure::Recall20).is_none());
        assert_eq!(Measure::Recall20.key(), "valid_recall@20");
    }
}
