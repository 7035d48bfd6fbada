//! One request from its sending to its answer.

use std::time::Duration;

use proto::pb;
use tokio::time::Instant;
use tonic::{Code, Request, Status};

use crate::client::Client;
use crate::stub::{Answer, Stub};

/// A request on its way.
pub(crate) struct Flight {
    pub(crate) request: pb::RecommendRequest,
    pub(crate) first: Client,
    /// Asked where the first scorer is not there.
    pub(crate) other: Stub,
    /// When it should have been sent: its latency counts from then.
    pub(crate) intended: Instant,
    /// When its answer is no longer wanted.
    pub(crate) deadline: Instant,
}

/// What became of a request.
pub(crate) struct Outcome {
    pub(crate) latency: Duration,
    /// The answer is the second scorer's.
    pub(crate) retried: bool,
    pub(crate) answer: Result<Answer, Status>,
}

type Call = Result<Answer, Status>;

impl Flight {
    /// Asks one scorer and, where it is not there, another: what a client with
    /// a gRPC retry policy does.
    pub(crate) async fn outcome(mut self) -> Outcome {
        let request = self.timed();
        let mut call = self.first.stub.recommend(request).await;
        let retried = self.was_not_taken(&call);
        if retried {
            let request = self.timed();
            call = self.other.recommend(request).await;
        }

        self.first.hear(&call);
        Outcome {
            latency: self.intended.elapsed(),
            retried,
            answer: call,
        }
    }

    /// The request with the time that is left for it.
    fn timed(&self) -> Request<pb::RecommendRequest> {
        let mut request = Request::new(self.request.clone());
        let left = self.deadline.saturating_duration_since(Instant::now());
        request.set_timeout(left);
        request
    }

    /// Whether the scorer was leaving. It has refused the call, or its
    /// connection was closed before the call was sent, which tonic calls
    /// `Cancelled`; it calls a passed deadline so too.
    fn was_not_taken(&self, call: &Call) -> bool {
        let Err(status) = call else {
            return false;
        };
        let code = status.code();
        let is_cut = code == Code::Cancelled && Instant::now() < self.deadline;
        code == Code::Unavailable || is_cut
    }
}
