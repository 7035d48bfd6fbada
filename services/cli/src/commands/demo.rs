//! `demo`: the whole path on one data set, through the real services. Its lists
//! are made by the model that was measured, from what users did before the test
//! split; customers get those of a final fit on all interactions.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use dataset::{Dataset, Split};
use domain::{Metric, RankedBy, TrainSpec};
use ingestion::SeededSplits;
use proto::pb;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use serde_json::{Map, Value, json};
use service::client::{Connection, Target, connect};
use storage::now_ms;
use tonic::Code;

use crate::import::reading::{ReadData, read_as_usual};
use crate::import::store::store_in;
use crate::jobs::client::training_client;
use crate::jobs::exit::{exit_code, has_succeeded};
use crate::jobs::follow::follow;
use crate::jobs::preset::Preset;
use crate::jobs::spec;
use crate::local::services::LocalServices;
use crate::local::settings::LocalSettings;
use crate::output::text;
use crate::output::writer::{self, Output};

/// The whole path on a small data set: import, train through the services,
/// recommend.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A data set in any form that `dataset import` reads; absent: the video
    /// games that this program brings along.
    #[arg(long)]
    data: Option<PathBuf>,

    /// What the job starts from; the specification and single fields go over
    /// it.
    #[arg(long, default_value = "small")]
    preset: Preset,

    /// A training specification (TOML) over the preset.
    #[arg(long)]
    spec: Option<PathBuf>,

    /// One field over the specification, such as `backbone.random.n_layer=2`;
    /// may be repeated.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    fields: Vec<String>,

    /// Where everything is kept, backbones among it; when absent, a temporary
    /// folder that is removed at the end, and backbones are the worker's own
    /// (data/backbones).
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

/// Users that are shown.
const N_USERS: usize = 3;
/// Items that are shown of a history.
const N_PLAYED: usize = 5;
/// Items that are recommended.
const N_RECOMMENDED: u32 = 5;

pub(crate) async fn run(
    arguments: &Arguments,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let temporary = tempfile::tempdir()?;
    let settings = match &arguments.data_dir {
        Some(folder) => LocalSettings::below(folder)?,
        None => {
            LocalSettings::below(temporary.path())?.with_added_backbones()?
        }
    };
    LocalServices::during(settings, async |services| {
        walk(arguments, services, output).await
    })
    .await
}

/// Import, train, measure, recommend.
async fn walk(
    arguments: &Arguments,
    services: &LocalServices,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let read = match &arguments.data {
        Some(path) => read_as_usual(path).await?,
        None => games().await?,
    };
    let id =
        store_in(&services.storage, &read, SeededSplits::TrainValid).await?;
    let data = read.dataset;
    say(output, &text::dataset(&id, &data.manifest));

    let started = Instant::now();
    let spec = spec(arguments, &id)?;
    let job = train(&spec, &services.coordinator, output).await?;
    if !has_succeeded(&job) {
        return Ok(exit_code(&job));
    }

    let train_seconds = started.elapsed().as_secs_f64();
    say(output, &stages(&job));
    say(output, &text::metrics_table(&job));

    let mut scorer =
        RecommendationServiceClient::new(connect(&services.scorer)?);
    wait_until_live(&mut scorer, &job.model_version, &data).await?;
    for user in interesting_users(&data) {
        let shown = user_and_recommendations(&mut scorer, &data, user).await?;
        say(output, &shown);
    }

    writer::json_line(&summary(&job, &id, train_seconds));
    Ok(exit_code(&job))
}

/// The data set of `examples/games`, from inside the program.
async fn games() -> anyhow::Result<ReadData> {
    let temporary = tempfile::tempdir()?;
    // A data set is called as its folder.
    let folder = temporary.path().join("games");
    std::fs::create_dir(&folder)?;
    for (name, bytes) in GAMES {
        std::fs::write(folder.join(name), bytes)?;
    }
    read_as_usual(&folder).await
}

const GAMES: [(&str, &[u8]); 2] = [
    (
        "interactions.csv.gz",
        include_bytes!("../../../../examples/games/interactions.csv.gz"),
    ),
    (
        "items.jsonl.gz",
        include_bytes!("../../../../examples/games/items.jsonl.gz"),
    ),
];

/// A paragraph for people.
fn say(output: Output, text: &str) {
    if !output.json {
        writer::line(format_args!("{text}\n"));
    }
}

fn spec(arguments: &Arguments, dataset: &str) -> anyhow::Result<TrainSpec> {
    let mut table = arguments.preset.fields();
    if let Some(path) = &arguments.spec {
        spec::merge(&mut table, spec::read_spec(path)?);
    }
    table.insert("dataset".to_owned(), dataset.into());
    table.insert("labels".to_owned(), vec!["live"].into());
    // The lists are of the model that was measured.
    spec::set(&mut table, "finetuning.final_fit=false")?;
    for field in &arguments.fields {
        spec::set(&mut table, field)?;
    }

    spec::checked(table)
}

/// Queues a job and follows it to its end.
async fn train(
    spec: &TrainSpec,
    coordinator: &Target,
    output: Output,
) -> anyhow::Result<pb::Job> {
    let mut client = training_client(coordinator)?;
    let request = pb::TrainJobRequest {
        spec: Some(spec.into()),
        ..pb::TrainJobRequest::default()
    };
    let job = client.train_job(request).await?.into_inner();
    follow(&mut client, &job.name, 1, output).await
}

/// A line for each stage: how far its loss has come down.
fn stages(job: &pb::Job) -> String {
    let progress = job.progress.clone().unwrap_or_default();
    let mut lines = Vec::new();
    for stage in &progress.stages {
        lines.push(format!(
            "{:<14} {:>2} epochs   first loss {:>8.3}   last loss {:>8.3}",
            stage.stage, stage.n_epochs, stage.first_loss, stage.last_loss
        ));
    }
    lines.join("\n")
}

type ScorerClient = RecommendationServiceClient<Connection>;

/// Time for the scorer to follow the label, in milliseconds.
const PATIENCE_MS: i64 = 30_000;
/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Waits until the scorer answers with a version.
async fn wait_until_live(
    scorer: &mut ScorerClient,
    version: &str,
    data: &Dataset,
) -> anyhow::Result<()> {
    let until = now_ms() + PATIENCE_MS;
    let user = data.users.first().context("the data set has no users")?;
    loop {
        let request = pb::RecommendRequest {
            user_id: user.to_string(),
            ..pb::RecommendRequest::default()
        };
        match scorer.recommend(request).await {
            Ok(answer) if answer.get_ref().model_version == version => {
                return Ok(());
            }
            Err(status) if status.code() != Code::FailedPrecondition => {
                return Err(status.into());
            }
            Ok(_) | Err(_) => {}
        }

        if now_ms() > until {
            bail!("the scorer did not follow the label `live`");
        }

        tokio::time::sleep(PAUSE).await;
    }
}

/// The first users with a history worth showing and a test item; where there
/// are too few, any with a history.
fn interesting_users(data: &Dataset) -> Vec<usize> {
    let train = data.histories(Split::Train);
    let test = data.histories(Split::Test);
    let mut good = Vec::new();
    let mut others = Vec::new();
    for user in 0..data.users.len() {
        if train[user].len() >= N_PLAYED && !test[user].is_empty() {
            good.push(user);
        } else if !train[user].is_empty() {
            others.push(user);
        }
    }

    good.append(&mut others);
    good.truncate(N_USERS);
    good
}

/// What a user played, and what is recommended.
async fn user_and_recommendations(
    scorer: &mut ScorerClient,
    data: &Dataset,
    user: usize,
) -> anyhow::Result<String> {
    let history = &data.histories(Split::Train)[user];
    let first = history.len().saturating_sub(N_PLAYED);
    let mut played = Vec::new();
    for &item in &history[first..] {
        played.push(format!("       - {}", title(data, item)));
    }

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
        text::ranking(&answer.items)
    ))
}

/// What people call an item: its title, or its id where it has none.
fn title(data: &Dataset, row: u32) -> String {
    let item = &data.items[row as usize];
    if item.title.is_empty() {
        return item.id.to_string();
    }
    item.title.clone()
}

/// The last line: what a script reads.
fn summary(job: &pb::Job, dataset: &str, train_seconds: f64) -> Value {
    let mut summary = Map::new();
    for ranker in RankedBy::COMPARED {
        for metric in Metric::ALL {
            let key = ranker.key(metric);
            let value = job.metrics.get(&key);
            summary.insert(key.clone(), json!(value));
        }
    }

    let rounded = (train_seconds * 10.0).round() / 10.0;
    summary.insert("train_seconds".to_owned(), json!(rounded));
    summary.insert("dataset".to_owned(), json!(dataset));
    summary.insert("model_version".to_owned(), json!(job.model_version));
    Value::Object(summary)
}
