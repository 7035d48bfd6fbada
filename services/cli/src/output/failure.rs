//! Why a command failed, in one line.

use tonic::{Code, Status};

/// An error with its causes; for a refused call, what the service said and
/// which fields it named. What caused a refusal is in its message already.
pub(crate) fn explain(error: &anyhow::Error) -> String {
    let mut causes = Vec::new();
    for one in error.chain() {
        causes.push(cause(one));
        if one.is::<Status>() {
            break;
        }
    }
    causes.join(": ")
}

fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<Status>() {
        Some(status) => refusal(status),
        None => error.to_string(),
    }
}

/// Code and message of a refused call; the message names the fields already.
fn refusal(status: &Status) -> String {
    let code = status.code();
    format!("{code:?}: {}{}", status.message(), hint(status))
}

/// What to try next, for the failures that newcomers meet.
fn hint(status: &Status) -> &'static str {
    if status.code() == Code::Unavailable
        && status.message().contains("connect")
    {
        return " (is the service running? `cllm4rec up` starts all of them)";
    }
    if status.code() == Code::Unauthenticated {
        return " (set the token: CLLM4REC__SCORER__TOKEN, CLLM4REC__COORDINATOR__TOKEN)";
    }
    ""
}
