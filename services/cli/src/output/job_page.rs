//! `train show` for people: what a job is to do, how it went, how good its model
//! is.

use std::collections::BTreeMap;

use dataset::date_of;
use domain::Part;
use proto::pb::job::State;
use proto::{milliseconds, pb};
use wording::duration;

use crate::output::plain::one_line;
use crate::output::progress::now_line;
use crate::output::spec_fields::changed;
use crate::output::text::metrics_table;

/// A job, and what is known beside its record.
pub(crate) struct JobPage<'a> {
    pub(crate) job: &'a pb::Job,
    /// The data set's name, where it can be read.
    pub(crate) dataset: Option<String>,
    /// What happened so far, oldest first.
    pub(crate) events: Vec<pb::JobEvent>,
    pub(crate) now_ms: i64,
}

/// Width of the names on the left.
const MARGIN: usize = 11;

impl JobPage<'_> {
    /// The page, without a line end behind it.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![self.job.name.clone()];
        push(&mut lines, "data set", vec![self.data_set()]);
        push(&mut lines, "state", self.state());
        push(&mut lines, "schedule", self.schedule());
        push(&mut lines, "settings", self.settings());
        push(&mut lines, "attempts", self.attempts());
        push(&mut lines, "time", self.time());
        push(&mut lines, "stages", self.stages());
        if !self.job.metrics.is_empty() {
            lines.push(String::new());
            lines.push(metrics_table(self.job));
        }
        lines.join("\n")
    }

    fn data_set(&self) -> String {
        let spec = self.job.spec.as_ref();
        let id = spec.map_or("", |spec| spec.dataset.as_str());
        match &self.dataset {
            Some(name) => format!("{} ({id})", one_line(name)),
            None => id.to_owned(),
        }
    }

    fn state(&self) -> Vec<String> {
        let job = self.job;
        let mut line = job.state().as_str_name().to_owned();
        if !job.model_version.is_empty() {
            line.push_str(&format!(", {}", job.model_version));
        }
        let mut lines = vec![line];
        let progress = job.progress.clone().unwrap_or_default();
        if job.state() == State::Running && !progress.stage.is_empty() {
            let percent = 100.0 * progress.done;
            lines.push(format!("{percent:.0} % done: {}", now_line(&progress)));
        }
        if let Some(cause) = &job.cause {
            let kind = cause.kind().as_str_name();
            lines.push(format!("{kind}: {}", cause.message));
        }
        if !job.no_taker.is_empty() {
            lines.push(job.no_taker.clone());
        }
        if job.state() == State::Queued && !job.awaits.is_empty() {
            lines.push(format!("waits for {}", job.awaits.join(", ")));
        }
        lines
    }

    fn schedule(&self) -> Vec<String> {
        let Some(schedule) = &self.job.schedule else {
            return Vec::new();
        };
        let mut parts = vec![format!("queue {}", schedule.queue)];
        if schedule.priority != 0 {
            parts.push(format!("priority {}", schedule.priority));
        }
        if let Some(time) = schedule.start_after {
            parts.push(format!("not before {}", date_of(milliseconds(time))));
        }
        if let Some(time) = schedule.deadline {
            parts.push(format!("deadline {}", date_of(milliseconds(time))));
        }
        if !schedule.after.is_empty() {
            parts.push(format!("after {}", schedule.after.join(", ")));
        }
        let needs = schedule.needs.clone().unwrap_or_default();
        for label in needs.labels {
            parts.push(format!("needs label {label}"));
        }
        if needs.memory_gib > 0 {
            parts.push(format!("needs {} GiB", needs.memory_gib));
        }
        vec![parts.join(", ")]
    }

    fn settings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for field in changed(self.job) {
            lines.push(format!("{} = {}", field.path, field.value));
        }
        if lines.is_empty() {
            lines.push("the defaults".to_owned());
        }
        lines
    }

    /// A line for each attempt: when, where, and how it ended.
    fn attempts(&self) -> Vec<String> {
        let mut attempts: BTreeMap<u32, Attempt<'_>> = BTreeMap::new();
        for event in &self.events {
            let Some(job) = &event.job else { continue };
            if job.attempts == 0 {
                continue;
            }
            let attempt = attempts.entry(job.attempts).or_default();
            let is_held =
                matches!(job.state(), State::Running | State::Cancelling);
            if is_held && attempt.worker.is_empty() {
                attempt.worker = &job.worker;
                attempt.start_ms = event.time.map(milliseconds);
            }
            if !is_held && attempt.end.is_none() {
                attempt.end = Some(&event.message);
            }
        }
        let mut lines = Vec::new();
        for (number, attempt) in attempts {
            lines.push(format!("{number}  {}", attempt.line()));
        }
        lines
    }

    /// How long it waited and took, and what the latest attempt's time went to.
    fn time(&self) -> Vec<String> {
        let job = self.job;
        let created_ms = job.create_time.map_or(0, milliseconds);
        let mut line = format!("submitted {}", date_of(created_ms));
        if let Some(start_ms) = self.start_ms() {
            let end_ms = if job.state().is_final() {
                job.update_time.map_or(self.now_ms, milliseconds)
            } else {
                self.now_ms
            };
            line.push_str(&format!(
                ", waited {}, {} {}",
                since(created_ms, start_ms),
                if job.state().is_final() {
                    "took"
                } else {
                    "runs for"
                },
                since(start_ms, end_ms)
            ));
        }
        let mut lines = vec![line];
        let parts = parts_by_length(job);
        if !parts.is_empty() {
            let mut shown = Vec::new();
            for (name, seconds) in parts {
                shown.push(format!("{name} {}", duration(seconds)));
            }
            lines.push(shown.join(", "));
        }
        lines
    }

    /// When the first attempt began.
    fn start_ms(&self) -> Option<i64> {
        let first = self.events.iter().find(|event| {
            event.job.as_ref().is_some_and(|job| job.attempts > 0)
        });
        first?.time.map(milliseconds)
    }

    fn stages(&self) -> Vec<String> {
        let progress = self.job.progress.clone().unwrap_or_default();
        let mut lines = Vec::new();
        for stage in &progress.stages {
            lines.push(format!(
                "{:<14} {:>3} epochs   loss {:.3} at first, {:.3} at last",
                stage.stage, stage.n_epochs, stage.first_loss, stage.last_loss
            ));
        }
        lines
    }
}

/// What the events say of one attempt.
#[derive(Debug, Default)]
struct Attempt<'a> {
    worker: &'a str,
    start_ms: Option<i64>,
    end: Option<&'a str>,
}

impl Attempt<'_> {
    fn line(&self) -> String {
        let mut line = self.start_ms.map(date_of).unwrap_or_default();
        if !self.worker.is_empty() {
            line.push_str(&format!(" on {}", self.worker));
        }
        line.push_str(": ");
        line.push_str(self.end.unwrap_or("goes on"));
        line
    }
}

/// The parts of a job that took longest first, with their seconds; those that
/// took nothing to speak of left out.
pub(super) fn parts_by_length(job: &pb::Job) -> Vec<(&'static str, f64)> {
    let mut parts = Vec::new();
    let Some(progress) = &job.progress else {
        return parts;
    };
    for part in Part::ALL {
        let spent = progress.parts.get(part.name());
        let seconds = spent.map_or(0.0, |spent| spent.seconds);
        if seconds >= 0.05 {
            parts.push((part.name(), seconds));
        }
    }
    parts.sort_by(|one, other| other.1.total_cmp(&one.1));
    parts
}

fn since(from_ms: i64, until_ms: i64) -> String {
    duration((until_ms - from_ms).max(0) as f64 / 1_000.0)
}

fn push(lines: &mut Vec<String>, name: &str, of_name: Vec<String>) {
    let mut name = name;
    for line in of_name {
        let line = one_line(&line);
        lines.push(format!("  {name:<MARGIN$}{line}"));
        name = "";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{DatasetId, TrainSpec};
    use proto::timestamp;

    fn event(number: u64, job: &pb::Job, message: &str) -> pb::JobEvent {
        pb::JobEvent {
            number,
            time: Some(timestamp(1_000 * number as i64)),
            message: message.to_owned(),
            job: Some(job.clone()),
        }
    }

    fn job() -> pb::Job {
        let mut spec = TrainSpec::new(DatasetId::new("d").unwrap());
        spec.seed = 5;
        let stage = pb::StageReport {
            stage: "finetuning".to_owned(),
            first_loss: 7.5,
            last_loss: 5.25,
            n_epochs: 3,
        };
        let spent = pb::Spent {
            seconds: 65.0,
            n_tokens: 0.0,
        };
        let progress = pb::Progress {
            stages: vec![stage],
            parts: [("finetuning".to_owned(), spent)].into(),
            ..pb::Progress::default()
        };
        pb::Job {
            name: "jobs/j".to_owned(),
            spec: Some((&spec).into()),
            state: State::Succeeded.into(),
            create_time: Some(timestamp(1_000)),
            update_time: Some(timestamp(91_000)),
            progress: Some(progress),
            attempts: 2,
            model_version: "modelVersions/v".to_owned(),
            metrics: [("ndcg@100".to_owned(), 0.1234)].into(),
            ..pb::Job::default()
        }
    }

    #[test]
    fn a_job_is_told_from_what_it_is_to_do_to_how_good_its_model_is() {
        let job = job();
        let at = |state: State, attempts, worker: &str| pb::Job {
            state: state.into(),
            attempts,
            worker: worker.to_owned(),
            ..pb::Job::default()
        };
        let events = vec![
            event(1, &at(State::Queued, 0, ""), "queued"),
            event(2, &at(State::Running, 1, "w1"), "leased"),
            event(3, &at(State::Queued, 1, ""), "attempt failed: \u{1b}[2J"),
            event(4, &at(State::Running, 2, "w2"), "leased"),
            event(5, &at(State::Succeeded, 2, ""), "published"),
        ];
        let page = JobPage {
            job: &job,
            dataset: Some("games".to_owned()),
            events,
            now_ms: 0,
        };
        let text = page.text();
        for line in [
            "  data set   games (datasets/d)",
            "  state      SUCCEEDED, modelVersions/v",
            "  settings   seed = 5",
            "  attempts   1  1970-01-01 00:00:02 UTC on w1: attempt failed: \\u{1b}[2J",
            "             2  1970-01-01 00:00:04 UTC on w2: published",
            "  time       submitted 1970-01-01 00:00:01 UTC, waited 1.0 s, took 1 min 29 s",
            "             finetuning 1 min 5 s",
            "  stages     finetuning       3 epochs   loss 7.500 at first, 5.250 at last",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(
            text.contains("0.1234") && !text.contains("schedule"),
            "{text}"
        );
    }

    #[test]
    fn a_job_that_nobody_can_take_says_so() {
        let job = pb::Job {
            state: State::Queued.into(),
            no_taker: "no worker has asked".to_owned(),
            ..job()
        };
        let page = JobPage {
            job: &job,
            dataset: None,
            events: Vec::new(),
            now_ms: 0,
        };
        let text = page.text();
        assert!(text.contains("             no worker has asked"), "{text}");
    }
}
