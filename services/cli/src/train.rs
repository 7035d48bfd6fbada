//! `train`: submit, watch, list, cancel.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Subcommand, ValueEnum};
use domain::TrainSpec;
use indicatif::{ProgressBar, ProgressStyle};
use proto::pb;
use proto::pb::job::State;
use proto::pb::training_service_client::TrainingServiceClient;
use service::client::{Connection, Target, connect};

use crate::output::{self, Output};
use crate::{NO_MODEL, Settings, dataset};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Queue a job; with `--watch`, follow it to its end.
    Submit(Box<Submit>),
    /// Follow a job to its end.
    Watch {
        /// jobs/{job}
        job: String,
        /// First event wanted.
        #[arg(long, default_value_t = 1)]
        from: u64,
    },
    /// All jobs, oldest first.
    List,
    /// One job.
    Show {
        /// jobs/{job}
        job: String,
    },
    /// Ask a job to stop.
    Cancel {
        /// jobs/{job}
        job: String,
    },
}

#[derive(clap::Args)]
pub(crate) struct Submit {
    /// Id of the data set; over the specification's.
    #[arg(long, conflicts_with = "data")]
    dataset: Option<String>,
    /// Import this first (any form that `dataset import` reads), follow the job and write a report.
    /// Without running services they are started for it, and the model gets the label `live`.
    #[arg(long, conflicts_with = "validate_only")]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: dataset::Reading,
    /// What the job starts from; the specification and single fields go over it.
    #[arg(long, default_value = "small")]
    preset: Preset,
    /// Where the report of a job with `--data` goes.
    #[arg(long, default_value = "report.html")]
    pub(crate) report: PathBuf,
    /// A specification (TOML); every field but the data set has a default.
    #[arg(long)]
    spec: Option<PathBuf>,
    /// One field over the specification, such as `finetuning.epochs=3`; may be repeated.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    fields: Vec<String>,
    /// A label that moves to the new version; may be repeated.
    #[arg(long)]
    label: Vec<String>,
    /// The same id gives the same job.
    #[arg(long, default_value = "")]
    pub(crate) request_id: String,
    /// Only check, and say what the baselines will cost.
    #[arg(long)]
    pub(crate) validate_only: bool,
    /// Follow the job to its end.
    #[arg(long)]
    watch: bool,
}

/// Sizes of a job.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Preset {
    /// The defaults: a random backbone 256 wide, minutes on two cores.
    Small,
    /// Three times as wide, all texts in every epoch.
    Base,
}

impl Preset {
    fn fields(self) -> toml::Table {
        let fields = match self {
            Self::Small => "",
            Self::Base => {
                "backbone.random = { n_embd = 768, n_head = 12 }
                 pretraining = { documents_per_epoch = 0 }"
            }
        };
        fields.parse().expect("the presets are TOML")
    }
}

pub(crate) type Client = TrainingServiceClient<Connection>;

pub(crate) fn client(target: &Target) -> anyhow::Result<Client> {
    Ok(TrainingServiceClient::new(connect(target)?))
}

pub(crate) async fn run(
    command: Command,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let mut client = client(&settings.coordinator)?;
    match command {
        Command::Submit(arguments) => {
            let (watch, validate_only) = (arguments.watch, arguments.validate_only);
            let request = pb::TrainJobRequest {
                request_id: arguments.request_id.clone(),
                validate_only,
                spec: Some((&spec(&arguments, None)?).into()),
            };
            let job = client.train_job(request).await?.into_inner();
            let text = if validate_only {
                output::valid(&job)
            } else {
                job.name.clone()
            };
            output.write(&output::job(&job), || text);
            if watch && !validate_only {
                return watched(&mut client, &job.name, 1, output).await;
            }
        }
        Command::Watch { job, from } => {
            return watched(&mut client, &named(&job), from, output).await;
        }
        Command::List => list(&mut client, output).await?,
        Command::Show { job } => {
            let job = client
                .get_job(pb::GetJobRequest { name: named(&job) })
                .await?
                .into_inner();
            output.write(&output::job(&job), || with_metrics(&job));
        }
        Command::Cancel { job } => {
            let job = client
                .cancel_job(pb::CancelJobRequest { name: named(&job) })
                .await?
                .into_inner();
            output.write(&output::job(&job), || describe(&job));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Follows a job to its end and shows its metrics.
async fn watched(
    client: &mut Client,
    name: &str,
    from: u64,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let job = follow(client, name, from, output).await?;
    if !output.json && !job.metrics.is_empty() {
        println!("{}", output::metrics_table(&job));
    }
    Ok(exit_code(&job))
}

/// `jobs/{job}` and `{job}` are the same.
fn named(job: &str) -> String {
    if job.starts_with("jobs/") {
        job.to_owned()
    } else {
        format!("jobs/{job}")
    }
}

fn exit_code(job: &pb::Job) -> ExitCode {
    if job.state() == State::Succeeded {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO_MODEL)
    }
}

/// `datasets/{id}` and `{id}` are the same.
pub(crate) fn dataset_id(id: &str) -> &str {
    id.strip_prefix("datasets/").unwrap_or(id)
}

/// The data set of `--data`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Imported<'a> {
    pub(crate) id: &'a str,
    /// The services are this command's own: nobody else's `live` is moved.
    pub(crate) is_private: bool,
}

/// The preset, the specification's fields over it, then the single ones.
pub(crate) fn spec(
    arguments: &Submit,
    imported: Option<Imported<'_>>,
) -> anyhow::Result<TrainSpec> {
    let mut spec = arguments.preset.fields();
    if let Some(path) = &arguments.spec {
        merge(&mut spec, read_spec(path)?);
    }
    if let Some(id) = arguments
        .dataset
        .as_deref()
        .or(imported.map(|imported| imported.id))
    {
        spec.insert("dataset".to_owned(), dataset_id(id).into());
    }
    if imported.is_some_and(|imported| imported.is_private) && !spec.contains_key("labels") {
        spec.insert("labels".to_owned(), vec!["live"].into());
    }
    if !arguments.label.is_empty() {
        spec.insert("labels".to_owned(), arguments.label.clone().into());
    }
    for field in &arguments.fields {
        set(&mut spec, field)?;
    }
    checked(spec)
}

/// Puts `over` over `under`, section by section.
fn merge(under: &mut toml::Table, over: toml::Table) {
    for (name, value) in over {
        match (under.get_mut(&name), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => merge(under, over),
            (_, value) => {
                under.insert(name, value);
            }
        }
    }
}

/// A specification file as a table.
pub(crate) fn read_spec(path: &Path) -> anyhow::Result<toml::Table> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse()
        .with_context(|| format!("{} is not TOML", path.display()))
}

/// A table as a specification, defaults filled in and checked.
pub(crate) fn checked(spec: toml::Table) -> anyhow::Result<TrainSpec> {
    if !spec.contains_key("dataset") {
        bail!(
            "the specification names no data set: give `--dataset ID` (`cllm4rec dataset list` shows them)"
        );
    }
    let spec: TrainSpec =
        domain::read_strictly(spec).context("the specification cannot be used")?;
    spec.validate()
        .context("the specification cannot be used")?;
    Ok(spec)
}

/// Sets one field: `a.b=value`, the value as in TOML, a bare word as text.
pub(crate) fn set(spec: &mut toml::Table, field: &str) -> anyhow::Result<()> {
    let (path, value) = field
        .split_once('=')
        .with_context(|| format!("`{field}` is not FIELD=VALUE"))?;
    let parsed: Result<toml::Table, _> = format!("value = {value}").parse();
    let value = parsed
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| value.into());
    let mut parts: Vec<&str> = path.split('.').collect();
    let last = parts.pop().unwrap_or(path);
    let mut table = spec;
    for part in parts {
        let inner = table
            .entry(part)
            .or_insert_with(|| toml::Table::new().into());
        table = inner
            .as_table_mut()
            .with_context(|| format!("`{part}` in `{path}` is no section"))?;
    }
    table.insert(last.to_owned(), value);
    Ok(())
}

async fn list(client: &mut Client, output: Output) -> anyhow::Result<()> {
    let mut page_token = String::new();
    loop {
        let request = pb::ListJobsRequest {
            page_size: 0,
            page_token,
        };
        let page = client.list_jobs(request).await?.into_inner();
        page.jobs
            .iter()
            .for_each(|job| output.write(&output::job(job), || describe(job)));
        output::unreadable("job", &page.unreadable);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

/// A job, and how good its model is when there is one.
fn with_metrics(job: &pb::Job) -> String {
    if job.metrics.is_empty() {
        describe(job)
    } else {
        format!("{}\n{}", describe(job), output::metrics_table(job))
    }
}

/// A job in one line.
fn describe(job: &pb::Job) -> String {
    let progress = job.progress.clone().unwrap_or_default();
    let mut line = format!(
        "{}  {:<10} {:>3.0} %",
        job.name,
        job.state().as_str_name(),
        100.0 * progress.done
    );
    if !job.model_version.is_empty() {
        line.push_str(&format!("  {}", job.model_version));
    }
    if let Some(cause) = &job.cause {
        line.push_str(&format!(
            "  {}: {}",
            cause.kind().as_str_name(),
            cause.message
        ));
    }
    line
}

/// Tries to get the stream back after a failure.
const N_TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(500);

/// Shows a job's events until it ends; a broken stream goes on after the last event seen.
pub(crate) async fn follow(
    client: &mut Client,
    name: &str,
    from: u64,
    output: Output,
) -> anyhow::Result<pb::Job> {
    let mut view = View::new(output);
    let (mut next, mut n_failures) = (from, 0);
    loop {
        match follow_stream(client, name, &mut next, &mut view).await {
            Ok(Some(job)) => {
                view.end(&job);
                return Ok(job);
            }
            Ok(None) => {} // the coordinator is leaving; another one may be there
            Err(status) if is_passing(&status) && n_failures < N_TRIES => n_failures += 1,
            Err(status) => return Err(status.into()),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn is_passing(status: &tonic::Status) -> bool {
    matches!(
        status.code(),
        tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::Cancelled
    )
}

async fn follow_stream(
    client: &mut Client,
    name: &str,
    next: &mut u64,
    view: &mut View,
) -> Result<Option<pb::Job>, tonic::Status> {
    let request = pb::WatchJobRequest {
        name: name.to_owned(),
        from_number: *next,
    };
    let mut events = client.watch_job(request).await?.into_inner();
    while let Some(event) = events.message().await? {
        let is_new = event.number >= *next;
        *next = (*next).max(event.number + 1);
        let Some(job) = event.job else { continue };
        view.show(&job, is_new.then_some(event.message.as_str()));
        if matches!(
            job.state(),
            State::Succeeded | State::Failed | State::Cancelled
        ) && is_new
        {
            return Ok(Some(job));
        }
    }
    Ok(None)
}

/// A bar on a terminal, lines elsewhere, JSON lines when asked for.
struct View {
    output: Output,
    bar: Option<ProgressBar>,
}

/// Steps of the bar.
const BAR_LENGTH: u64 = 1_000;

impl View {
    fn new(output: Output) -> Self {
        let on_terminal = std::io::stderr().is_terminal() && !output.json;
        let bar = on_terminal.then(|| {
            let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}");
            ProgressBar::new(BAR_LENGTH)
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { output, bar }
    }

    fn show(&self, job: &pb::Job, event: Option<&str>) {
        let progress = job.progress.clone().unwrap_or_default();
        if let Some(bar) = &self.bar {
            bar.set_position((progress.done * BAR_LENGTH as f64) as u64);
            bar.set_message(format!(
                "{} {}/{}  loss {:.3}  {:.0} tokens/s  {:.0} s left",
                progress.stage,
                progress.epoch,
                progress.n_epochs,
                progress.loss,
                progress.tokens_per_second,
                progress.eta_seconds
            ));
            if let Some(event) = event {
                bar.println(event);
            }
        } else if let Some(event) = event {
            let text = || format!("{:>3.0} %  {event}", 100.0 * progress.done);
            if self.output.json {
                println!(
                    "{}",
                    serde_json::json!({ "event": event, "job": output::job(job) })
                );
            } else {
                eprintln!("{}", text());
            }
        }
    }

    fn end(&self, job: &pb::Job) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if !self.output.json {
            eprintln!("{}", describe(job));
        }
    }
}
