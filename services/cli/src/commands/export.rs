//! `train export`: jobs for TensorBoard and MLflow.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use proto::pb;
use serde_json::json;

use crate::jobs::client::TrainingClient;
use crate::jobs::follow::events_so_far;
use crate::lookup;
use crate::output::writer::{self, Output};
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
    let mlflow = mlflow(arguments).await?;
    let n_jobs = names.len();
    loop {
        let mut going_on = Vec::new();
        for name in names {
            let run = run_of(client, &name).await?;
            if let Some(folder) = &arguments.tensorboard {
                tensorboard::write(folder, &run)?;
            }
            let run = match &mlflow {
                Some(mlflow) => sent(run, Arc::clone(mlflow)).await?,
                None => run,
            };
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
        writer::unreadable("job", &page.unreadable);
        names.extend(page.jobs.into_iter().map(|job| job.name));
        if page.next_page_token.is_empty() {
            return Ok(names);
        }
        page_token = page.next_page_token;
    }
}

/// A job as it is now.
async fn run_of(
    client: &mut TrainingClient,
    name: &str,
) -> anyhow::Result<Run> {
    let request = pb::GetJobRequest {
        name: name.to_owned(),
    };
    let job = client.get_job(request).await?.into_inner();
    let events = events_so_far(client, &job).await?;
    Ok(Run::of(&job, &events))
}

/// The server of MLflow, where one is named.
async fn mlflow(arguments: &Export) -> anyhow::Result<Option<Arc<Mlflow>>> {
    let Some(url) = arguments.mlflow.clone() else {
        return Ok(None);
    };
    let token = arguments.mlflow_token.clone();
    let experiment = arguments.experiment.clone();
    // It waits for the network, and so below.
    let mlflow = tokio::task::spawn_blocking(move || {
        Mlflow::open(&url, &token, &experiment)
    });
    Ok(Some(Arc::new(mlflow.await??)))
}

/// The run, once MLflow knows it.
async fn sent(run: Run, mlflow: Arc<Mlflow>) -> anyhow::Result<Run> {
    tokio::task::spawn_blocking(move || {
        mlflow.log(&run)?;
        Ok(run)
    })
    .await?
}
