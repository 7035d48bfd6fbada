//! `score`: how well given items suit a user.

use proto::pb;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use proto::pb::score_items_request::Model;
use serde_json::{Value, json};
use service::client::connect;

use crate::lookup;
use crate::output::plain::one_line;
use crate::output::writer::Output;
use crate::settings::Settings;

/// How well given items suit a user.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The user's id.
    user: String,

    /// The ids of the items.
    #[arg(required = true)]
    items: Vec<String>,

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
    let mut client =
        RecommendationServiceClient::new(connect(&settings.scorer)?);
    let mut version = arguments.version;
    if let Some(typed) = &mut version {
        *typed = lookup::model_version(&settings.coordinator, typed).await?;
    }
    let label = arguments.label.map(Model::Label);
    let request = pb::ScoreItemsRequest {
        user_id: arguments.user,
        item_ids: arguments.items,
        model: version.map(Model::ModelVersion).or(label),
        ..pb::ScoreItemsRequest::default()
    };
    let answer = client.score_items(request).await?.into_inner();
    output.write(&as_json(&answer), || as_text(&answer));
    Ok(())
}

fn as_json(answer: &pb::ScoreItemsResponse) -> Value {
    let mut scores = Vec::new();
    for item in &answer.scores {
        scores.push(json!({ "item_id": item.item_id, "score": item.score }));
    }
    json!({ "scores": scores, "model_version": answer.model_version })
}

fn as_text(answer: &pb::ScoreItemsResponse) -> String {
    let mut lines = Vec::new();
    for item in &answer.scores {
        let score = match item.score {
            Some(score) => format!("{score:>8.3}"),
            None => "unknown item".to_owned(),
        };
        lines.push(format!("{score}  {}", one_line(&item.item_id)));
    }
    for missing in &answer.degradations {
        lines.push(format!("  note: {}", missing.message));
    }
    lines.join("\n")
}
