//! What is shown of a job while it is followed: a bar on a terminal, lines
//! elsewhere, JSON lines when asked for.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use proto::pb;
use serde_json::json;

use crate::output::writer::Output;
use crate::output::{json, text};

/// How a job that is followed is shown.
pub(crate) struct JobView {
    output: Output,
    /// Only on a terminal.
    bar: Option<ProgressBar>,
}

/// Steps of the bar.
const BAR_LENGTH: u64 = 1_000;

impl JobView {
    pub(crate) fn new(output: Output) -> Self {
        let on_terminal = std::io::stderr().is_terminal() && !output.json;
        Self {
            output,
            bar: on_terminal.then(new_bar),
        }
    }

    /// Shows an event that has not been shown before, and how far the job is.
    pub(crate) fn event(&self, job: &pb::Job, message: &str) {
        if let Some(bar) = &self.bar {
            move_bar(bar, job);
            bar.println(message);
        } else if self.output.json {
            let line = json!({ "event": message, "job": json::job(job) });
            println!("{line}");
        } else {
            let done =
                job.progress.as_ref().map_or(0.0, |progress| progress.done);
            eprintln!("{:>3.0} %  {message}", 100.0 * done);
        }
    }

    /// Shows how far the job is.
    pub(crate) fn progress(&self, job: &pb::Job) {
        if let Some(bar) = &self.bar {
            move_bar(bar, job);
        }
    }

    /// Shows how the job has ended.
    pub(crate) fn end(&self, job: &pb::Job) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if !self.output.json {
            eprintln!("{}", text::job(job));
        }
    }
}

fn new_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(BAR_LENGTH).with_style(style)
}

fn move_bar(bar: &ProgressBar, job: &pb::Job) {
    let progress = job.progress.clone().unwrap_or_default();
    bar.set_position((progress.done * BAR_LENGTH as f64) as u64);
    bar.set_message(format!(
        "{} {}/{}  loss {:.3}  {:.0} tokens/s  {:.0} s left",
        progress.stage,
        progress.epoch,
        progress.n_epochs,
        progress.loss,
        progress.tokens_per_second,
        progress.eta_seconds
    ));
}
