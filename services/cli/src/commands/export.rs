//! `train export`: jobs for TensorBoard and MLflow.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use proto::pb;
use serde_json::json;

use crate::jobs::client::TrainingClient;
use crate::jobs::follow::events_so_far;
use crate::lookup;
use crate::output::writer::Output;
use crate::tracking::mlflow::Mlflow;
use crate::tracking::{Run, tensorboard};

/// Jobs for TensorBoard and MLflow: settings, losses, validation, metrics.
/// Doing it again adds what is new.
#[derive(clap::Args)]
pub(crate) struct Export {
    /// Ids of jobs, or the beginnings of them; all jobs when absent.
    jobs: Vec<String>,

    /// Write an event file for each job into a folder of its own below this
    /// one.
    #[arg(long, value_name = "FOLDER")]
    tensorboard: Option<PathBuf>,

    /// Send each job to an MLflow server, as a run.
    #[arg(long, value_name = "URL", env = "MLFLOW_TRACKING_URI")]
    mlflow: Option<String>,

    /// The experiment of MLflow that the runs are put into.
    #[arg(long, default_value = "cllm4rec", env = "MLFLOW_EXPERIMENT_NAME")]
    experiment: String,

    /// The bearer token that the MLflow server wants.
    #[arg(
        long,
        default_value = "",
        env = "MLFLOW_TRACKING_TOKEN",
        hide_env_values = true
    )]
    mlflow_token: String,

    /// Go on until all of them have ended.
    #[arg(long)]
    follow: bool,
}

/// Time between two looks at jobs that go on.
const PAUSE: Duration = Duration::from_secs(2);
/// Jobs of a page.
const PAGE: i32 = 200;

pub(crate) async fn run(
    client: &mut TrainingClient,
    arguments: &Export,
    output: Output,
) -> anyhow::Result<()> {
    if arguments.tensorboard.is_none() && arguments.mlflow.is_none() {
        bail!("say where to: --tensorboard FOLDER, --mlflow URL, or both");
    }
    let mut names = Vec::new();
    for job in &arguments.jobs {
        names.push(lookup::job(client, job).await?);
    }
    if names.is_empty() {
        names = all(client).await?;
    }
    let n_jobs = names.len();
    loop {
        let mut going_on = Vec::new();
        for name in names {
            let run = exported(client, arguments, &name).await?;
            if run.ended_ms.is_none() {
                going_on.push(name);
            }
        }
        if going_on.is_empty() || !arguments.follow {
            break;
        }
        names = going_on;
        tokio::time::sleep(PAUSE).await;
    }
    let value = json!({"n_jobs": n_jobs});
    output.write(&value, || format!("{n_jobs} jobs exported"));
    Ok(())
}

async fn all(client: &mut TrainingClient) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListJobsRequest {
            page_size: PAGE,
            page_token,
            ..Default::default()
        };
        let page = client.list_jobs(request).await?.into_inner();
        names.extend(page.jobs.into_iter().map(|job| job.name));
        if page.next_page_token.is_empty() {
            return Ok(names);
        }
        page_token = page.next_page_token;
    }
}

/// Exports a job as it is now.
async fn exported(
    client: &mut TrainingClient,
    arguments: &Export,
    name: &str,
) -> anyhow::Result<Run> {
    let request = pb::GetJobRequest {
        name: name.to_owned(),
    };
    let job = client.get_job(request).await?.into_inner();
    let events = events_so_far(client, &job).await?;
    let run = Run::of(&job, &events);
    if let Some(folder) = &arguments.tensorboard {
        tensorboard::write(folder, &run)?;
    }
    let Some(url) = arguments.mlflow.clone() else {
        return Ok(run);
    };
    let token = arguments.mlflow_token.clone();
    let experiment = arguments.experiment.clone();
    // It waits for the network.
    tokio::task::spawn_blocking(move || {
        Mlflow::open(&url, &token, &experiment)?.log(&run)?;
        Ok(run)
    })
    .await?
}
