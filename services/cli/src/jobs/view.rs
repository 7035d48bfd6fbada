//! What is shown of a job while it is followed: a bar on a terminal, lines
//! elsewhere, JSON lines when asked for.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use proto::pb;
use serde_json::json;

use crate::output::plain;
use crate::output::progress::{epoch_line, now_line};
use crate::output::writer::{self, Output};
use crate::output::{json, text};

/// How a job that is followed is shown.
pub(crate) struct JobView {
    output: Output,
    /// Only on a terminal.
    bar: Option<ProgressBar>,
    /// How many epochs' ends have been shown; `None` before the first event,
    /// which may come in the middle of a job.
    n_epochs: Option<usize>,
}

/// Steps of the bar.
const BAR_LENGTH: u64 = 1_000;

impl JobView {
    pub(crate) fn new(output: Output) -> Self {
        let on_terminal = std::io::stderr().is_terminal() && !output.json;
        Self {
            output,
            bar: on_terminal.then(new_bar),
            n_epochs: None,
        }
    }

    /// Shows an event that has not been shown before, and how far the job is.
    pub(crate) fn event(&mut self, job: &pb::Job, message: &str) {
        let n_shown = self.n_epochs;
        self.progress(job);
        if self.output.json {
            let line = json!({ "event": message, "job": json::job(job) });
            writer::json_line(&line);
        } else if n_shown == self.n_epochs || !begins_epoch(job, message) {
            self.say(job, message);
        }
    }

    /// Shows how far the job is: the bar, and a line for each epoch that has
    /// ended since.
    pub(crate) fn progress(&mut self, job: &pb::Job) {
        let progress = job.progress.clone().unwrap_or_default();
        if let Some(bar) = &self.bar {
            bar.set_position((progress.done * BAR_LENGTH as f64) as u64);
            bar.set_message(plain::one_line(&now_line(&progress)));
        }

        let n_ended = progress.epochs.len();
        // An attempt that begins again goes on from a checkpoint.
        let n_shown = self.n_epochs.unwrap_or(n_ended).min(n_ended);
        if !self.output.json {
            for epoch in &progress.epochs[n_shown..] {
                self.say(job, &epoch_line(epoch, &progress));
            }
        }
        self.n_epochs = Some(n_ended);
    }

    /// Says something of a job that stands still.
    pub(crate) fn remark(&self, job: &pb::Job, message: &str) {
        if !self.output.json {
            self.say(job, message);
        }
    }

    fn say(&self, job: &pb::Job, message: &str) {
        if let Some(bar) = &self.bar {
            bar.println(plain::lines(message));
            return;
        }

        let done = job.progress.as_ref().map_or(0.0, |progress| progress.done);
        writer::note(format_args!("{:>3.0} %  {message}", 100.0 * done));
    }

    /// Shows how the job has ended.
    pub(crate) fn end(&self, job: &pb::Job) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if !self.output.json {
            writer::note(text::job(job));
        }
    }
}

/// Whether the event says no more than which epoch the job is in.
fn begins_epoch(job: &pb::Job, message: &str) -> bool {
    let progress = job.progress.clone().unwrap_or_default();
    let pb::Progress {
        stage,
        epoch,
        n_epochs,
        ..
    } = progress;
    message == format!("{stage} epoch {epoch} of {n_epochs}")
}

fn new_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(BAR_LENGTH).with_style(style)
}
