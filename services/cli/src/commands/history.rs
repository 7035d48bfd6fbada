//! `history`: record, show, delete.

use clap::Subcommand;
use proto::pb;
use proto::pb::history_service_client::HistoryServiceClient;
use serde_json::json;
use service::client::connect;

use crate::output::writer::{self, Output};
use crate::output::{json, text};
use crate::settings::Settings;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Record that a user interacted with items, now.
    Record {
        /// The id of the user.
        user: String,

        /// The ids of the items.
        #[arg(required = true)]
        items: Vec<String>,

        /// Namespace of the item ids.
        #[arg(long, default_value = "")]
        catalog: String,
    },

    /// A user's history, oldest first.
    Show {
        /// The id of the user.
        user: String,

        /// Namespace of the item ids.
        #[arg(long, default_value = "")]
        catalog: String,
    },

    /// Forget a user and everything recorded of them.
    Delete {
        /// The id of the user.
        user: String,

        /// Namespace of the item ids.
        #[arg(long, default_value = "")]
        catalog: String,
    },
}

pub(crate) async fn run(
    command: Command,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<()> {
    let mut client = HistoryServiceClient::new(connect(&settings.scorer)?);
    match command {
        Command::Record {
            user,
            items,
            catalog,
        } => {
            let request = pb::RecordInteractionsRequest {
                interactions: interactions(&user, items),
                catalog,
            };
            let answer =
                client.record_interactions(request).await?.into_inner();
            let n_recorded = answer.n_recorded;
            let unknown = answer.unknown_item_ids;
            let value = json!({
                "n_recorded": n_recorded,
                "unknown_item_ids": unknown,
            });
            output.write(&value, || format!("{n_recorded} recorded"));
            if !unknown.is_empty() && !output.json {
                writer::note(format_args!(
                    "no version that is served knows {}: recorded all the same, and counts once a version is trained on it",
                    unknown.join(", ")
                ));
            }
        }
        Command::Show { user, catalog } => {
            let request = pb::GetHistoryRequest {
                user_id: user,
                catalog,
                limit: 0,
            };
            let history = client.get_history(request).await?.into_inner();
            output.write(&json::history(&history), || text::history(&history));
        }
        Command::Delete { user, catalog } => {
            let request = pb::DeleteUserRequest {
                user_id: user.clone(),
                catalog,
            };
            client.delete_user(request).await?;
            output.write(&json!({ "deleted": user }), || {
                format!("deleted {user}")
            });
        }
    }

    Ok(())
}

/// Interactions of one user without a time: the scorer takes the time of their
/// arrival.
fn interactions(user: &str, items: Vec<String>) -> Vec<pb::Interaction> {
    let mut interactions = Vec::new();
    for item_id in items {
        interactions.push(pb::Interaction {
            user_id: user.to_owned(),
            item_id,
            ..pb::Interaction::default()
        });
    }
    interactions
}
