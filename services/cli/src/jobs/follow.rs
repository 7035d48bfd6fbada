//! Follows a job to its end, over as many connections as that takes.

use std::time::Duration;

use proto::pb;
use proto::pb::job::State;
use service::client::is_passing;
use tonic::Status;

use crate::jobs::client::TrainingClient;
use crate::jobs::reconnects::Reconnects;
use crate::jobs::view::JobView;
use crate::output::writer::Output;

/// Time between two connections.
const PAUSE: Duration = Duration::from_millis(500);

/// Shows a job's events until it ends, beginning with event number `from`; a
/// broken stream goes on after the last event seen.
pub(crate) async fn follow(
    client: &mut TrainingClient,
    job: &str,
    from: u64,
    output: Output,
) -> anyhow::Result<pb::Job> {
    let mut follower = Follower {
        client,
        job,
        next: from,
        reconnects: Reconnects::default(),
        view: JobView::new(output),
    };
    loop {
        match follower.until_broken().await {
            Ok(Some(job)) => {
                follower.view.end(&job);
                return Ok(job);
            }
            Ok(None) => {} // the coordinator is leaving; another one may be there
            Err(status) => {
                let may_go_on = follower.reconnects.may_follow_failure();
                if !is_passing(&status) || !may_go_on {
                    return Err(status.into());
                }
            }
        }

        tokio::time::sleep(PAUSE).await;
    }
}

struct Follower<'a> {
    client: &'a mut TrainingClient,
    job: &'a str,
    /// Number of the first event that has not been seen.
    next: u64,
    reconnects: Reconnects,
    view: JobView,
}

impl Follower<'_> {
    /// Shows events while one stream lasts; the job, if it has ended.
    async fn until_broken(&mut self) -> Result<Option<pb::Job>, Status> {
        let request = pb::WatchJobRequest {
            name: self.job.to_owned(),
            from_number: self.next,
        };
        let mut events = self.client.watch_job(request).await?.into_inner();
        while let Some(event) = events.message().await? {
            self.reconnects.saw_event();
            if let Some(ended) = self.show(event) {
                return Ok(Some(ended));
            }
        }

        Ok(None)
    }

    /// Shows one event; the job, if this is the event that ended it.
    fn show(&mut self, event: pb::JobEvent) -> Option<pb::Job> {
        let is_new = event.number >= self.next;
        self.next = self.next.max(event.number + 1);
        let job = event.job?;
        if is_new {
            self.view.event(&job, &event.message);
        } else {
            self.view.progress(&job);
        }

        let has_ended = is_new && is_terminal(job.state());
        has_ended.then_some(job)
    }
}

fn is_terminal(state: State) -> bool {
    match state {
        State::Succeeded | State::Failed | State::Cancelled => true,
        State::Unspecified
        | State::Queued
        | State::Running
        | State::Cancelling => false,
    }
}
