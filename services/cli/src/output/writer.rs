//! Where an answer goes: one JSON line for programs, or text for people.
//!
//! Text that other people wrote never reaches the terminal as it is
//! ([`plain`]); JSON does. Where nobody reads any more the program ends, as
//! others do.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::exit;

use serde_json::Value;

use crate::output::plain;

/// Whether answers are text or JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

/// What a shell says of a program that a closed pipe has ended: 128 and the
/// number of the signal SIGPIPE.
const PIPE_CLOSED: i32 = 128 + 13;

/// Prints text for people, and a line end.
pub(crate) fn line(text: impl Display) {
    print(&plain::lines(&text.to_string()));
}

/// Prints an answer for a program.
pub(crate) fn json_line(value: &Value) {
    print(&value.to_string());
}

/// Says something that is no part of the answer, on stderr; whether anybody
/// reads it does not matter.
pub(crate) fn note(text: impl Display) {
    let text = plain::lines(&text.to_string());
    drop(writeln!(io::stderr().lock(), "{text}"));
}

fn print(text: &str) {
    raw(format!("{text}\n").as_bytes());
}

/// Prints what was made for a program, as it is.
pub(crate) fn raw(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    let Err(error) = written else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        exit(PIPE_CLOSED);
    }

    note(format_args!("error: the answer cannot be written: {error}"));
    exit(1);
}

/// Names the records that a list leaves out; on stderr, since they are no part
/// of the answer.
pub(crate) fn unreadable(kind: &str, keys: &[String]) {
    for key in keys {
        note(format_args!(
            "{kind} {key} cannot be read and is left out; the coordinator's log says why"
        ));
    }
}

/// Names what a list leaves out and says why; on stderr, too.
pub(crate) fn left_out(what: &str, why: &anyhow::Error) {
    note(format_args!("{what} is left out: {why:#}"));
}

impl Output {
    /// Prints one answer; the text is made only where it is wanted.
    pub(crate) fn write(self, value: &Value, text: impl FnOnce() -> String) {
        if self.json {
            json_line(value);
        } else {
            line(text());
        }
    }
}
