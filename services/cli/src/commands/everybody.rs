//! `recommend --all`: lists for everybody, into one file. Uses the services that
//! run, or its own.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use indicatif::ProgressBar;
use proto::pb;
use proto::pb::recommend_request::Model;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use serde_json::json;
use service::client::{Target, connect};
use tonic::Code;

use crate::lists::batch::{Batch, Refused};
use crate::lists::part::{Finished, Part, beside};
use crate::lists::source::Source;
use crate::lists::table::{Format, Row};
use crate::lists::users;
use crate::lookup;
use crate::output::writer::{self, Output};
use crate::settings::Settings;

/// What everybody is asked for, and where the lists go.
pub(crate) struct Everybody {
    /// The same for all; the user is filled in.
    pub(crate) request: pb::RecommendRequest,
    /// The table's file.
    pub(crate) output: PathBuf,
    /// A file of user ids; everybody that the version knows when absent.
    pub(crate) users: Option<PathBuf>,
}

/// How long own services may take to load the version.
const LOADING: Duration = Duration::from_secs(60);
/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// Refused users that are named.
const N_NAMED: usize = 5;

impl Everybody {
    pub(crate) async fn run(
        self,
        settings: &Settings,
        output: Output,
    ) -> anyhow::Result<()> {
        Format::of(&self.output)?;
        Source::during(settings, async |source| {
            self.make_lists(source, output).await
        })
        .await
    }

    async fn make_lists(
        &self,
        source: &Source,
        output: Output,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        let version = match &self.request.model {
            Some(Model::ModelVersion(version)) => {
                lookup::model_version(&source.coordinator, version).await?
            }
            Some(Model::Label(label)) => source.version_of(label).await?,
            None => source.version_of("live").await?,
        };
        let all = match &self.users {
            Some(path) => users::from_file(path)?,
            None => users::of_version(&source.artifacts, &version).await?,
        };
        let request = pb::RecommendRequest {
            model: Some(Model::ModelVersion(version.clone())),
            ..self.request.clone()
        };
        let mut part = Part::open(&self.output, asked(&request))?;
        let n_before = part.n_lists();
        if n_before > 0 {
            writer::note(format_args!("{n_before} lists are there already"));
        }

        let missing: VecDeque<String> =
            all.iter().filter(|user| !part.has(user)).cloned().collect();
        let refused = ask(&source.scorer, request, missing, &mut part).await;
        part.save()?;
        let refused = match refused {
            Err(error) if part.n_lists() > 0 => {
                return Err(error.context(format!(
                    "{} of {} lists are kept in {}; the same command goes on",
                    part.n_lists(),
                    all.len(),
                    beside(&self.output).display()
                )));
            }
            refused => refused?,
        };
        report_refused(&refused);
        let finished = part.finish(&self.output, &all, "user_id")?;
        let made = Made {
            n_lists: all.len() - refused.len() - finished.n_empty,
            n_refused: refused.len(),
            seconds: started.elapsed().as_secs_f64(),
            finished,
            version,
        };
        self.tell(&made, output);
        if refused.is_empty() {
            return Ok(());
        }
        bail!("{} users have no list", refused.len())
    }

    fn tell(&self, made: &Made, output: Output) {
        let Made {
            finished: Finished { n_rows, n_empty },
            n_lists,
            n_refused,
            version,
            seconds,
        } = made;
        let place = self.output.display();
        let summary = json!({
            "output": place.to_string(),
            "model_version": version,
            "n_users": n_lists,
            "n_rows": n_rows,
            "n_empty": n_empty,
            "n_refused": n_refused,
            "seconds": seconds,
        });
        output.write(&summary, || {
            format!(
                "{place}: {n_rows} rows for {n_lists} users in {seconds:.1} s ({version})"
            )
        });
        if *n_empty > 0 {
            writer::note(format_args!(
                "for {n_empty} users no item is left: the filter, the candidates and what they have already leave none"
            ));
        }
    }
}

/// What a run has made.
struct Made {
    finished: Finished,
    /// Users who got an item.
    n_lists: usize,
    n_refused: usize,
    version: String,
    seconds: f64,
}

/// What must be the same for a run to go on where another one stopped.
fn asked(request: &pb::RecommendRequest) -> serde_json::Value {
    json!(format!("{request:?}"))
}

/// Asks for the lists of some users; they are kept in `part` as they come.
async fn ask(
    scorer: &Target,
    request: pb::RecommendRequest,
    users: VecDeque<String>,
    part: &mut Part,
) -> anyhow::Result<Vec<Refused>> {
    let Some(first) = users.front() else {
        return Ok(Vec::new());
    };
    let mut client = RecommendationServiceClient::new(connect(scorer)?);
    let request_of_first = pb::RecommendRequest {
        user_id: first.clone(),
        ..request.clone()
    };
    wait_until_loaded(&mut client, request_of_first).await?;

    let bar = bar(users.len());
    let batch = Batch::new(request, users);
    let refused = batch.run(&mut client, |user, list| {
        bar.inc(1);
        part.push(user, &rows(user, list.items))
    });
    let refused = refused.await;
    bar.finish_and_clear();
    refused
}

/// Asks until the version is loaded; whatever else is wrong is said by the
/// lists themselves.
async fn wait_until_loaded(
    client: &mut RecommendationServiceClient<service::client::Connection>,
    request: pb::RecommendRequest,
) -> anyhow::Result<()> {
    let until = Instant::now() + LOADING;
    loop {
        let answer = client.recommend(request.clone()).await;
        let Err(why) = answer else {
            return Ok(());
        };
        let may_pass =
            matches!(why.code(), Code::FailedPrecondition | Code::Unavailable);
        let is_about_all = why.code() == Code::InvalidArgument
            && !why.message().contains("user_id");
        if is_about_all {
            return Err(why.into());
        }
        if !may_pass {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(why.into());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A bar on a terminal.
pub(crate) fn bar(n: usize) -> ProgressBar {
    if std::io::stderr().is_terminal() {
        ProgressBar::new(n as u64)
    } else {
        ProgressBar::hidden()
    }
}

/// A list as rows of a table.
pub(crate) fn rows(of: &str, items: Vec<pb::RecommendedItem>) -> Vec<Row> {
    let mut rows = Vec::with_capacity(items.len());
    for item in items {
        let source = item.source().as_str_name().to_owned();
        rows.push(Row {
            of: of.to_owned(),
            rank: item.rank,
            item_id: item.item_id,
            score: item.score,
            title: item.title,
            source,
        });
    }
    rows
}

fn report_refused(refused: &[Refused]) {
    for Refused { user, why } in refused.iter().take(N_NAMED) {
        writer::note(format_args!("no list for {user}: {}", why.message()));
    }
    if refused.len() > N_NAMED {
        writer::note(format_args!("and {} more", refused.len() - N_NAMED));
    }
}
