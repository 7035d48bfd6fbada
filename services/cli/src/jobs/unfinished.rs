//! Jobs that a command before this one submitted, and that have not ended: a
//! command that is killed leaves its job in the queue.

use domain::{ArtifactId, TrainSpec};
use proto::pb;
use proto::pb::job::State;
use tonic::Code;

use crate::jobs::client::TrainingClient;
use crate::names;
use crate::output::writer;

/// The states of jobs that go on.
const UNFINISHED: [State; 2] = [State::Queued, State::Running];
/// Most jobs of a state on one data set that are looked at.
const MOST_JOBS: i32 = 1_000;

/// The latest unfinished job of the same specification that begins as soon as a
/// worker is free.
pub(crate) async fn same(
    client: &mut TrainingClient,
    spec: &TrainSpec,
) -> anyhow::Result<Option<pb::Job>> {
    let wanted = pb::TrainSpec::from(spec);
    let mut jobs = on_dataset(client, &wanted.dataset).await?;
    jobs.retain(|job| {
        let schedule = job.schedule.clone().map(domain::Schedule::try_from);
        let is_usual = match schedule {
            None => true,
            Some(schedule) => schedule.is_ok_and(|one| one.is_default()),
        };
        is_usual && job.spec.as_ref() == Some(&wanted)
    });
    Ok(jobs.into_iter().max_by(|a, b| a.name.cmp(&b.name)))
}

/// Cancels unfinished jobs on data sets whose place a new one takes, where they
/// would move a label of the new job to a model of the older export.
pub(crate) async fn cancel_replaced(
    client: &mut TrainingClient,
    spec: &TrainSpec,
    replaced: &[ArtifactId],
) -> anyhow::Result<()> {
    let labels = pb::TrainSpec::from(spec).labels;
    for id in replaced {
        for job in on_dataset(client, &names::dataset(id.as_str())).await? {
            let of_job = job.spec.unwrap_or_default().labels;
            if !of_job.iter().any(|label| labels.contains(label)) {
                continue;
            }
            let name = job.name;
            let request = pb::CancelJobRequest { name: name.clone() };
            match client.cancel_job(request).await {
                Ok(_) => {}
                // It has ended meanwhile.
                Err(status) if status.code() == Code::FailedPrecondition => {
                    continue;
                }
                Err(status) => return Err(status.into()),
            }
            writer::note(format_args!(
                "{name}, of an earlier export, had not ended and is cancelled: this one takes its place"
            ));
        }
    }
    Ok(())
}

async fn on_dataset(
    client: &mut TrainingClient,
    dataset: &str,
) -> anyhow::Result<Vec<pb::Job>> {
    let mut jobs = Vec::new();
    for state in UNFINISHED {
        let request = pb::ListJobsRequest {
            page_size: MOST_JOBS,
            state: state.into(),
            dataset: dataset.to_owned(),
            newest_first: true,
            ..pb::ListJobsRequest::default()
        };
        jobs.extend(client.list_jobs(request).await?.into_inner().jobs);
    }
    Ok(jobs)
}
