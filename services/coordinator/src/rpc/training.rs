//! What clients ask about jobs.

use std::pin::Pin;

use domain::{
    Counts, Invalid, Job, JobId, Label, Schedule, TrainSpec, Violations,
};
use futures::{Stream, StreamExt};
use prost::Message;
use proto::{PUBLISH, dataset_id, job_id, pb, state, timestamp};
use service::Holder;
use storage::{JobFilter, JobQuery, Order};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::rpc::page::page_size;
use crate::submission::Submission;
use crate::train_job::TrainJobs;

/// Serves `TrainingService` to clients.
pub(crate) struct Training {
    pub(crate) jobs: TrainJobs,
    pub(crate) shutdown: CancellationToken,
}

impl Training {
    /// A job, and why no worker takes it where that is so.
    async fn with_taker(&self, job: &Job) -> pb::Job {
        // The job is stored: not knowing its workers is no reason to say
        // otherwise.
        let no_taker = match self.jobs.no_taker(job).await {
            Ok(no_taker) => no_taker,
            Err(error) => {
                let error = service::chain(&error);
                tracing::warn!(job = %job.id, error, "cannot tell who could take a job");
                None
            }
        };
        pb::Job {
            no_taker: no_taker.unwrap_or_default(),
            ..pb::Job::from(job)
        }
    }
}

#[tonic::async_trait]
impl pb::training_service_server::TrainingService for Training {
    async fn train_job(
        &self,
        request: Request<pb::TrainJobRequest>,
    ) -> Result<Response<pb::Job>, Status> {
        let holder = request.extensions().get().cloned();
        let mut request = request.into_inner();
        let submission = submission(&mut request).map_err(Error::from)?;
        may_move(holder.as_ref(), &submission.spec)?;
        let id = Some(&*request.request_id).filter(|id| !id.is_empty());
        if request.validate_only {
            let notes = match request.counts.take() {
                Some(counts) => {
                    let counts = Counts::from(counts);
                    self.jobs.notes_on(&submission, &counts).await?
                }
                None => self.jobs.notes(&submission).await?,
            };
            return Ok(Response::new(pb::Job {
                spec: Some((&submission.spec).into()),
                schedule: Some((&submission.schedule).into()),
                notes,
                ..pb::Job::default()
            }));
        }

        let job = self.jobs.submit(submission, id).await?;
        // The request id may belong to an earlier job that moves labels.
        may_move(holder.as_ref(), &job.spec)?;
        Ok(Response::new(self.with_taker(&job).await))
    }

    async fn get_job(
        &self,
        request: Request<pb::GetJobRequest>,
    ) -> Result<Response<pb::Job>, Status> {
        let id =
            job_id("name", &request.get_ref().name).map_err(Error::from)?;
        let job = self.jobs.get(&id).await?;
        Ok(Response::new(self.with_taker(&job).await))
    }

    async fn list_jobs(
        &self,
        request: Request<pb::ListJobsRequest>,
    ) -> Result<Response<pb::ListJobsResponse>, Status> {
        let query = job_query(request.into_inner()).map_err(Error::from)?;
        let page = self.jobs.page(&query).await?;
        Ok(Response::new(pb::ListJobsResponse {
            jobs: page.jobs.iter().map(Into::into).collect(),
            next_page_token: page.next.unwrap_or_default(),
            unreadable: page.unreadable,
        }))
    }

    async fn cancel_job(
        &self,
        request: Request<pb::CancelJobRequest>,
    ) -> Result<Response<pb::Job>, Status> {
        let id =
            job_id("name", &request.get_ref().name).map_err(Error::from)?;
        let holder = request.extensions().get();
        may_move(holder, &self.jobs.get(&id).await?.spec)?;
        Ok(Response::new((&self.jobs.cancel(&id).await?).into()))
    }

    async fn retry_job(
        &self,
        request: Request<pb::RetryJobRequest>,
    ) -> Result<Response<pb::Job>, Status> {
        let id =
            job_id("name", &request.get_ref().name).map_err(Error::from)?;
        let holder = request.extensions().get();
        may_move(holder, &self.jobs.get(&id).await?.spec)?;
        Ok(Response::new((&self.jobs.retry(&id).await?).into()))
    }

    type WatchJobStream =
        Pin<Box<dyn Stream<Item = Result<pb::JobEvent, Status>> + Send>>;

    async fn watch_job(
        &self,
        request: Request<pb::WatchJobRequest>,
    ) -> Result<Response<Self::WatchJobStream>, Status> {
        let request = request.into_inner();
        let id = job_id("name", &request.name).map_err(Error::from)?;
        self.jobs.get(&id).await?;
        let events = self
            .jobs
            .watch(id, request.from_number, self.shutdown.clone())
            .map(|event| {
                let event = event?;
                Ok(pb::JobEvent {
                    number: event.number,
                    time: Some(timestamp(event.at_ms)),
                    message: event.message,
                    job: Some((&event.job).into()),
                })
            });
        Ok(Response::new(Box::pin(events)))
    }
}

/// Reads which jobs are wanted. A page's token is the id of the job before it.
fn job_query(request: pb::ListJobsRequest) -> Result<JobQuery, Invalid> {
    let mut wrong = Violations::default();
    let size = wrong.or_default(page_size(request.page_size));
    let mut after = None;
    if !request.page_token.is_empty() {
        let id = JobId::new(request.page_token).map_err(|_| {
            let reason = "is not a token of this list; start again";
            Invalid::one("page_token", reason)
        });
        after = wrong.take(id).map(String::from);
    }

    let mut filter = JobFilter {
        state: wrong.or_default(state("state", request.state)),
        ..JobFilter::default()
    };
    if !request.dataset.is_empty() {
        filter.dataset = wrong.take(dataset_id("dataset", &request.dataset));
    }

    if !request.label.is_empty() {
        let label = Label::new(request.label);
        filter.label =
            wrong.take(label.map_err(|invalid| invalid.under("label")));
    }

    wrong.check()?;

    let order = if request.newest_first {
        Order::Descending
    } else {
        Order::Ascending
    };
    Ok(JobQuery {
        filter,
        order,
        after,
        size,
    })
}

/// Longest request id, in bytes.
const LONGEST_REQUEST_ID: usize = 256;

/// Reads what is to be done, when and where; all that is wrong with the request
/// is told at once.
fn submission(
    request: &mut pb::TrainJobRequest,
) -> Result<Submission, Invalid> {
    let mut wrong = Violations::default();
    let spec = match request.spec.take() {
        Some(spec) => bounded(spec).and_then(TrainSpec::try_from),
        None => Err(Invalid::one("", "must be given")),
    };
    let spec = wrong.take(spec.map_err(|invalid| invalid.under("spec")));
    let schedule = request.schedule.take().unwrap_or_default();
    let schedule = Schedule::try_from(schedule);
    let schedule =
        wrong.or_default(schedule.map_err(|no| no.under("schedule")));
    let n = request.request_id.len();
    if n > LONGEST_REQUEST_ID {
        let reason =
            format!("must be at most {LONGEST_REQUEST_ID} bytes, has {n}");
        wrong.add("request_id", reason);
    }

    if request.counts.is_some() && !request.validate_only {
        wrong.add("counts", "is for `validate_only` alone");
    }

    let Some(spec) = spec else {
        return Err(wrong.into_invalid());
    };

    wrong.check()?;
    Ok(Submission { spec, schedule })
}

/// Refuses to submit, cancel or retry a job that moves labels where the caller
/// may only train: that is what customers get.
fn may_move(holder: Option<&Holder>, spec: &TrainSpec) -> Result<(), Status> {
    let may_publish = holder.is_none_or(|holder| holder.has(PUBLISH));
    if may_publish || spec.labels.is_empty() {
        return Ok(());
    }
    Err(Status::permission_denied(format!(
        "`spec.labels`: a job that moves a label takes the role {PUBLISH}, too"
    )))
}

/// Most labels that a job moves.
const MOST_LABELS: usize = 16;
/// Most bytes of a specification: it is kept with the job and with its model.
const MOST_SPEC_BYTES: usize = 64 << 10;

/// Refuses a specification that is larger than any that is meant. Jobs that are
/// stored already are not held to it.
fn bounded(spec: pb::TrainSpec) -> Result<pb::TrainSpec, Invalid> {
    let n_bytes = spec.encoded_len();
    if n_bytes > MOST_SPEC_BYTES {
        let reason =
            format!("must be at most {MOST_SPEC_BYTES} bytes, has {n_bytes}");
        return Err(Invalid::one("", reason));
    }
    let n_labels = spec.labels.len();
    if n_labels > MOST_LABELS {
        let reason =
            format!("must be at most {MOST_LABELS} labels, has {n_labels}");
        return Err(Invalid::one("labels", reason));
    }
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_is_no_place_to_keep_things() {
        let refusal = |labels: Vec<String>| {
            let mut request = pb::TrainJobRequest {
                spec: Some(pb::TrainSpec {
                    dataset: "d".repeat(8),
                    labels,
                    ..pb::TrainSpec::default()
                }),
                ..pb::TrainJobRequest::default()
            };
            submission(&mut request).unwrap_err().to_string()
        };
        let labels = (0..17).map(|n| format!("label-{n}")).collect();
        let refused = refusal(labels);
        assert!(refused.contains("at most 16 labels"), "{refused}");
        let refused = refusal(vec!["l".repeat(70_000)]);
        assert!(refused.contains("at most 65536 bytes"), "{refused}");
    }

    #[test]
    fn all_that_is_wrong_with_a_request_is_told_at_once() {
        let spec = pb::TrainSpec {
            max_attempts: Some(0),
            ..pb::TrainSpec::default()
        };
        let schedule = pb::Schedule {
            priority: 101,
            ..pb::Schedule::default()
        };
        let mut request = pb::TrainJobRequest {
            spec: Some(spec),
            schedule: Some(schedule),
            request_id: "x".repeat(257),
            counts: Some(pb::DatasetCounts::default()),
            validate_only: false,
        };
        let invalid = submission(&mut request).unwrap_err();
        let fields: Vec<&str> =
            invalid.0.iter().map(|one| one.field.as_str()).collect();
        let expected = [
            "spec.dataset",
            "spec.max_attempts",
            "schedule.priority",
            "request_id",
            "counts",
        ];
        assert_eq!(fields, expected);

        let list = pb::ListJobsRequest {
            page_size: -1,
            page_token: "?".to_owned(),
            state: 99,
            dataset: "d".to_owned(),
            label: "A!".to_owned(),
            ..pb::ListJobsRequest::default()
        };
        assert_eq!(job_query(list).unwrap_err().0.len(), 5);
    }
}
