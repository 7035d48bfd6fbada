//! `demo`: the whole path on one data set, through the real services.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::dataset::{Dataset, Split};
use anyhow::{Context, bail};
use proto::pb;
use proto::pb::job::State;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use serde_json::{Map, Value, json};
use service::client::{Connection, connect};
use storage::now_ms;

use crate::output::{self, Output};
use crate::up::Up;
use crate::{NO_MODEL, dataset, train};

/// The whole path on a small data set: import, train through the services, recommend.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A data set in any form that `dataset import` reads.
    #[arg(long, default_value = "examples/games")]
    data: PathBuf,
    /// A training specification (TOML) over the defaults.
    #[arg(long)]
    spec: Option<PathBuf>,
    /// One field over the specification, such as `backbone.random.n_layer=2`; may be repeated.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    fields: Vec<String>,
    /// Where everything is kept; a temporary folder that is removed at the end when absent.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

/// Users that are shown.
const N_USERS: usize = 3;
/// Items that are shown of a history.
const N_PLAYED: usize = 5;
/// Items that are recommended.
const N_RECOMMENDED: u32 = 5;

pub(crate) async fn run(arguments: &Arguments, output: Output) -> anyhow::Result<ExitCode> {
    let temporary = tempfile::tempdir()?;
    let folder = arguments
        .data_dir
        .clone()
        .unwrap_or_else(|| temporary.path().to_owned());
    Up::during(&folder, async |up| walk(arguments, up, output).await).await
}

/// Import, train, measure, recommend.
async fn walk(arguments: &Arguments, up: &Up, output: Output) -> anyhow::Result<ExitCode> {
    let say = |text: String| {
        if !output.json {
            println!("{text}\n");
        }
    };
    let (data, id) = import(&arguments.data, up).await?;
    say(dataset::describe(&id, &data.manifest));

    let started = Instant::now();
    let mut client = train::client(&up.coordinator)?;
    let spec = spec(arguments, &id)?;
    let request = pb::TrainJobRequest {
        spec: Some((&spec).into()),
        ..pb::TrainJobRequest::default()
    };
    let job = client.train_job(request).await?.into_inner();
    let job = train::follow(&mut client, &job.name, 1, output).await?;
    if job.state() != State::Succeeded {
        return Ok(ExitCode::from(NO_MODEL));
    }
    let train_seconds = started.elapsed().as_secs_f64();
    say(format!(
        "{}\n\n{}",
        stages(&job),
        output::metrics_table(&job)
    ));

    let mut scorer = RecommendationServiceClient::new(connect(&up.scorer)?);
    wait_until_live(&mut scorer, &job.model_version, &data).await?;
    for user in interesting_users(&data) {
        say(user_and_recommendations(&mut scorer, &data, user).await?);
    }
    println!("{}", summary(&job, &id, train_seconds));
    Ok(ExitCode::SUCCESS)
}

async fn import(path: &Path, up: &Up) -> anyhow::Result<(Dataset, String)> {
    let (data, _) = dataset::read_path(path).await?;
    let id = dataset::store_in(&up.storage, &data).await?;
    Ok((data, id))
}

fn spec(arguments: &Arguments, dataset: &str) -> anyhow::Result<domain::TrainSpec> {
    let mut spec = arguments
        .spec
        .as_deref()
        .map_or_else(|| Ok(toml::Table::new()), train::read_spec)?;
    spec.insert("dataset".to_owned(), dataset.into());
    spec.insert("labels".to_owned(), vec!["live"].into());
    for field in &arguments.fields {
        train::set(&mut spec, field)?;
    }
    train::checked(spec)
}

fn stages(job: &pb::Job) -> String {
    let progress = job.progress.clone().unwrap_or_default();
    let line = |stage: &pb::StageReport| {
        let (first, last) = (stage.first_loss, stage.last_loss);
        format!(
            "{:<14} {:>2} epochs   first loss {first:>8.3}   last loss {last:>8.3}",
            stage.stage, stage.n_epochs
        )
    };
    progress
        .stages
        .iter()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

type Scorer = RecommendationServiceClient<Connection>;

/// Time for the scorer to follow the label.
const PATIENCE_MS: i64 = 30_000;

async fn wait_until_live(scorer: &mut Scorer, version: &str, data: &Dataset) -> anyhow::Result<()> {
    let until = now_ms() + PATIENCE_MS;
    let user_id = data
        .users
        .first()
        .context("the data set has no users")?
        .to_string();
    loop {
        let request = pb::RecommendRequest {
            user_id: user_id.clone(),
            ..pb::RecommendRequest::default()
        };
        match scorer.recommend(request).await {
            Ok(answer) if answer.get_ref().model_version == version => return Ok(()),
            Err(status) if status.code() != tonic::Code::FailedPrecondition => {
                return Err(status.into());
            }
            Ok(_) | Err(_) if now_ms() > until => {
                bail!("the scorer did not follow the label `live`")
            }
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// The first users with a history worth showing and a test item; where there are too few, any with
/// a history.
fn interesting_users(data: &Dataset) -> Vec<usize> {
    let (train, test) = (data.histories(Split::Train), data.histories(Split::Test));
    let is_good = |user: &usize| train[*user].len() >= N_PLAYED && !test[*user].is_empty();
    let others = (0..data.users.len()).filter(|user| !is_good(user) && !train[*user].is_empty());
    (0..data.users.len())
        .filter(is_good)
        .chain(others)
        .take(N_USERS)
        .collect()
}

/// What a user played, and what is recommended.
async fn user_and_recommendations(
    scorer: &mut Scorer,
    data: &Dataset,
    user: usize,
) -> anyhow::Result<String> {
    let title = |row: u32| {
        let item = &data.items[row as usize];
        if item.title.is_empty() {
            item.id.to_string()
        } else {
            item.title.clone()
        }
    };
    let history = &data.histories(Split::Train)[user];
    let latest = &history[history.len().saturating_sub(N_PLAYED)..];
    let played: Vec<String> = latest
        .iter()
        .map(|&row| format!("       - {}", title(row)))
        .collect();
    let request = pb::RecommendRequest {
        user_id: data.users[user].to_string(),
        k: Some(N_RECOMMENDED),
        ..pb::RecommendRequest::default()
    };
    let answer = scorer.recommend(request).await?.into_inner();
    Ok(format!(
        "user {}\n  history ({} items), latest:\n{}\n  recommended:\n{}",
        data.users[user],
        history.len(),
        played.join("\n"),
        output::ranking(&answer.items)
    ))
}

/// The last line: what a script reads.
fn summary(job: &pb::Job, dataset: &str, train_seconds: f64) -> Value {
    let mut summary = Map::new();
    for (_, prefix) in output::RANKERS {
        for metric in output::METRICS {
            let name = format!("{prefix}{metric}");
            summary.insert(name.clone(), json!(job.metrics.get(&name)));
        }
    }
    summary.insert(
        "train_seconds".to_owned(),
        json!((train_seconds * 10.0).round() / 10.0),
    );
    summary.insert("dataset".to_owned(), json!(dataset));
    summary.insert("model_version".to_owned(), json!(job.model_version));
    Value::Object(summary)
}
