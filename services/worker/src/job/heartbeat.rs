//! What the coordinator's answer to a heartbeat means for an attempt; decided
//! on plain data.

use proto::pb;
use tonic::{Code, Response, Status};

/// What a heartbeat's call returns.
pub(super) type Reply = Result<Response<pb::HeartbeatResponse>, Status>;

/// What the coordinator said to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The lease goes on.
    Alive,
    /// The lease goes on, and somebody wants the job to stop.
    Cancel,
    /// The lease is not, or no longer, this attempt's.
    NotLeased,
    /// Nothing: the call failed.
    Nothing,
}

/// What an attempt does then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on, with further heartbeats. If the lease ends meanwhile, the
    /// coordinator says so at the next call.
    GoOn,
    /// It stops, because somebody wants that.
    Stop,
    /// It stops: its lease is lost.
    Lost,
    /// It waits for the answer to its commit, which says whether it has
    /// succeeded or lost.
    AwaitCommit,
}

/// What an answer means for an attempt whose model's commit is under way, or is
/// not yet.
///
/// A job that has succeeded is not leased any more, so a heartbeat that
/// overtakes the answer to the commit is refused like one of a lost lease.
pub(super) fn verdict(answer: Answer, is_committing: bool) -> Verdict {
    match (answer, is_committing) {
        (Answer::Alive | Answer::Nothing, _) => Verdict::GoOn,
        (Answer::Cancel, _) => Verdict::Stop,
        (Answer::NotLeased, false) => Verdict::Lost,
        (Answer::NotLeased, true) => Verdict::AwaitCommit,
    }
}

impl From<&Reply> for Answer {
    fn from(reply: &Reply) -> Self {
        match reply {
            Ok(answer) if answer.get_ref().cancel => Self::Cancel,
            Ok(_) => Self::Alive,
            Err(status) if status.code() == Code::FailedPrecondition => {
                Self::NotLeased
            }
            Err(_) => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_that_overtakes_the_commits_answer_is_no_lost_lease() {
        assert_eq!(verdict(Answer::NotLeased, true), Verdict::AwaitCommit);
        assert_eq!(verdict(Answer::NotLeased, false), Verdict::Lost);
    }

    #[test]
    fn an_attempt_goes_on_while_the_coordinator_is_away() {
        let away = Err(Status::unavailable("away"));
        for is_committing in [false, true] {
            let verdict = verdict(Answer::from(&away), is_committing);
            assert_eq!(verdict, Verdict::GoOn);
        }
    }

    #[test]
    fn somebody_who_wants_the_job_to_stop_is_heard() {
        let answer = Ok(Response::new(pb::HeartbeatResponse { cancel: true }));
        assert_eq!(verdict(Answer::from(&answer), false), Verdict::Stop);
        let refused = Err(Status::failed_precondition("the lease is over"));
        assert_eq!(Answer::from(&refused), Answer::NotLeased);
    }
}
