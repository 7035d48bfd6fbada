//! What a job's end means to the shell.

use std::process::ExitCode;

use proto::pb;
use proto::pb::job::State;

/// The job ended, but without a model.
pub(crate) const NO_MODEL: u8 = 3;

/// Success, or the code that tells a job without a model from a command that
/// failed.
pub(crate) fn exit_code(job: &pb::Job) -> ExitCode {
    if has_succeeded(job) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO_MODEL)
    }
}

/// Whether the job has left a model.
pub(crate) fn has_succeeded(job: &pb::Job) -> bool {
    job.state() == State::Succeeded
}
