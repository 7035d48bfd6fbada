//! `recommend`: items for a user, or for everybody.

use std::path::PathBuf;

use proto::pb;
use proto::pb::recommend_request::Model;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use service::client::connect;

use crate::commands::everybody::Everybody;
use crate::lookup;
use crate::names;
use crate::output::writer::Output;
use crate::output::{json, text};
use crate::settings::Settings;

/// Items for a user, or for everybody.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The user's id; may be left out with `--history` or `--query`.
    #[arg(conflicts_with = "all")]
    user: Option<String>,

    /// Lists for everybody that the version was trained on, into the file
    /// `--output`. A run that was stopped goes on where it was.
    #[arg(long, requires = "output", conflicts_with_all = ["history", "explain"])]
    all: bool,

    /// A file of user ids, one a line, in the place of everybody.
    #[arg(long, value_name = "FILE", requires = "all")]
    users: Option<PathBuf>,

    /// Where the lists go: a row for each item, as the ending says: .parquet,
    /// .csv or .jsonl.
    #[arg(long, value_name = "FILE", requires = "all")]
    output: Option<PathBuf>,

    /// How many items are wanted.
    #[arg(short, default_value_t = 10)]
    k: u32,

    /// Item ids in the place of the stored history, oldest first; commas
    /// between them.
    #[arg(long, value_delimiter = ',', value_name = "ITEM,ITEM,…")]
    history: Vec<String>,

    /// What the user looks for, in their own words.
    #[arg(long, default_value = "")]
    query: String,

    /// How much the query counts beside the user, 0 to 1; .6 when left out.
    #[arg(long, requires = "query")]
    query_weight: Option<f64>,

    /// Item ids to leave out; commas between them.
    #[arg(long, value_delimiter = ',', value_name = "ITEM,ITEM,…")]
    exclude: Vec<String>,

    /// Item ids to rank, instead of the whole catalogue; commas between them.
    #[arg(long, value_delimiter = ',', value_name = "ITEM,ITEM,…")]
    candidates: Vec<String>,

    /// Only items for which this holds, such as 'category in ["RPG"] && year >=
    /// 2015' (docs/api.md).
    #[arg(long, default_value = "")]
    filter: String,

    /// Go on with other items when too few pass the filter.
    #[arg(long, requires = "filter")]
    relax: bool,

    /// Say which items of the history moved each score.
    #[arg(long)]
    explain: bool,

    /// Also recommend what the history holds.
    #[arg(long)]
    include_seen: bool,

    /// A model version instead of the one that is live.
    #[arg(long, conflicts_with = "label")]
    version: Option<String>,

    /// A label instead of `live`.
    #[arg(long)]
    label: Option<String>,
}

pub(crate) async fn run(
    arguments: Arguments,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<()> {
    let mut arguments = arguments;
    if let Some(version) = &mut arguments.version {
        *version =
            lookup::model_version(&settings.coordinator, version).await?;
    }
    let users = arguments.users.clone();
    if let Some(file) = arguments.output.clone() {
        let everybody = Everybody {
            request: request(arguments),
            output: file,
            users,
        };
        return everybody.run(settings, output).await;
    }

    let mut client =
        RecommendationServiceClient::new(connect(&settings.scorer)?);
    let answer = client.recommend(request(arguments)).await?.into_inner();
    output.write(&json::recommendation(&answer), || {
        text::recommendation(&answer)
    });
    Ok(())
}

fn request(arguments: Arguments) -> pb::RecommendRequest {
    pb::RecommendRequest {
        model: model(&arguments),
        user_id: arguments.user.unwrap_or_default(),
        history: inline_history(arguments.history),
        k: Some(arguments.k),
        exclude_seen: Some(!arguments.include_seen),
        excluded_item_ids: arguments.exclude,
        candidate_item_ids: arguments.candidates,
        filter: arguments.filter,
        query: arguments.query,
        query_weight: arguments.query_weight,
        relax_filter: arguments.relax,
        explain: arguments.explain,
        ..pb::RecommendRequest::default()
    }
}

/// Which model answers, where it is not the one that is live.
fn model(arguments: &Arguments) -> Option<Model> {
    if let Some(version) = &arguments.version {
        return Some(Model::ModelVersion(names::model_version(version)));
    }
    arguments.label.clone().map(Model::Label)
}

fn inline_history(items: Vec<String>) -> Vec<pb::InlineInteraction> {
    let mut history = Vec::new();
    for item_id in items {
        history.push(pb::InlineInteraction {
            item_id,
            time: None,
        });
    }
    history
}
