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
/// A queued job of which nothing is heard for so long is asked why.
const SILENCE: Duration = Duration::from_secs(3);

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
        remark: String::new(),
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
    /// What was said last of a job that stands still.
    remark: String,
}

impl Follower<'_> {
    /// Shows events while one stream lasts; the job, if it has ended.
    async fn until_broken(&mut self) -> Result<Option<pb::Job>, Status> {
        let request = pb::WatchJobRequest {
            name: self.job.to_owned(),
            from_number: self.next,
        };
        let mut events = self.client.watch_job(request).await?.into_inner();
        let mut is_queued = true;
        loop {
            let next = events.message();
            let event = if is_queued {
                let Ok(event) = tokio::time::timeout(SILENCE, next).await
                else {
                    self.remark_why_it_waits().await?;
                    continue;
                };
                event?
            } else {
                next.await?
            };
            let Some(event) = event else {
                return Ok(None);
            };
            self.reconnects.saw_event();
            let state = event.job.as_ref().map(pb::Job::state);
            is_queued = state == Some(State::Queued);
            let number = event.number;
            if let Some(ended) = self.show(event)
                && self.is_last(number).await?
            {
                return Ok(Some(ended));
            }
        }
    }

    /// Whether nothing came after an event that ended the job: one that was
    /// tried again goes on.
    async fn is_last(&mut self, number: u64) -> Result<bool, Status> {
        let request = pb::GetJobRequest {
            name: self.job.to_owned(),
        };
        let job = self.client.get_job(request).await?.into_inner();
        Ok(job.n_events <= number)
    }

    /// Says, once, why no worker takes the job.
    async fn remark_why_it_waits(&mut self) -> Result<(), Status> {
        let request = pb::GetJobRequest {
            name: self.job.to_owned(),
        };
        let job = self.client.get_job(request).await?.into_inner();
        if !job.no_taker.is_empty() && job.no_taker != self.remark {
            self.view.remark(&job, &job.no_taker);
            self.remark = job.no_taker;
        }
        Ok(())
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

        let has_ended = is_new && job.state().is_final();
        has_ended.then_some(job)
    }
}

/// The events of a job so far, oldest first.
pub(crate) async fn events_so_far(
    client: &mut TrainingClient,
    job: &pb::Job,
) -> anyhow::Result<Vec<pb::JobEvent>> {
    let request = pb::WatchJobRequest {
        name: job.name.clone(),
        from_number: 1,
    };
    let mut stream = client.watch_job(request).await?.into_inner();
    let mut events: Vec<pb::JobEvent> = Vec::new();
    while let Some(event) = stream.message().await? {
        let number = event.number;
        // The latest is repeated with fresher progress.
        if events.last().is_none_or(|last| last.number < number) {
            events.push(event);
        }
        if number >= job.n_events {
            break;
        }
    }
    Ok(events)
}
