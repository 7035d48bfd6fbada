//! `recommend`: items for a user.

use proto::pb;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use service::client::connect;

use crate::output::{self, Output};
use crate::{Settings, models};

/// Items for a user.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The user's id; may be left out with `--history`.
    user: Option<String>,
    /// How many items.
    #[arg(short, default_value_t = 10)]
    k: u32,
    /// Item ids in the place of the stored history, oldest first; commas between them.
    #[arg(long, value_delimiter = ',', value_name = "ITEM,ITEM,…")]
    history: Vec<String>,
    /// Item ids to leave out; commas between them.
    #[arg(long, value_delimiter = ',', value_name = "ITEM,ITEM,…")]
    exclude: Vec<String>,
    /// Item ids to rank, instead of the whole catalogue; commas between them.
    #[arg(long, value_delimiter = ',', value_name = "ITEM,ITEM,…")]
    candidates: Vec<String>,
    /// Only items for which this holds, such as 'category in ["RPG"] && year >= 2015'
    /// (docs/api.md).
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
    use pb::recommend_request::Model;
    let mut client = RecommendationServiceClient::new(connect(&settings.scorer)?);
    let version = arguments
        .version
        .map(|version| Model::ModelVersion(models::named(&version)));
    let request = pb::RecommendRequest {
        user_id: arguments.user.unwrap_or_default(),
        history: arguments
            .history
            .into_iter()
            .map(|item_id| pb::InlineInteraction {
                item_id,
                time: None,
            })
            .collect(),
        k: Some(arguments.k),
        exclude_seen: Some(!arguments.include_seen),
        excluded_item_ids: arguments.exclude,
        model: version.or_else(|| arguments.label.map(Model::Label)),
        candidate_item_ids: arguments.candidates,
        filter: arguments.filter,
        relax_filter: arguments.relax,
        explain: arguments.explain,
        ..pb::RecommendRequest::default()
    };
    let answer = client.recommend(request).await?.into_inner();
    output.write(&output::recommendation(&answer), || {
        let mut text = output::ranking(&answer.items);
        answer
            .degradations
            .iter()
            .for_each(|degradation| text.push_str(&format!("\n  note: {}", degradation.message)));
        text
    });
    Ok(())
}
