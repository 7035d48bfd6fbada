//! Where an answer goes: one JSON line for programs, or text for people.

use serde_json::Value;

/// Whether answers are text or JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

/// Names the records that a list leaves out; on stderr, since they are no part
/// of the answer.
pub(crate) fn unreadable(kind: &str, keys: &[String]) {
    for key in keys {
        eprintln!(
            "{kind} {key} cannot be read and is left out; the coordinator's log says why"
        );
    }
}

/// Names what a list leaves out and says why; on stderr, too.
pub(crate) fn left_out(what: &str, why: &anyhow::Error) {
    eprintln!("{what} is left out: {why:#}");
}

impl Output {
    /// Prints one answer; the text is made only where it is wanted.
    pub(crate) fn write(self, value: &Value, text: impl FnOnce() -> String) {
        if self.json {
            println!("{value}");
        } else {
            println!("{}", text());
        }
    }
}
