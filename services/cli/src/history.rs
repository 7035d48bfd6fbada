//! `history`: record, show, delete.

use clap::Subcommand;
use proto::pb;
use proto::pb::history_service_client::HistoryServiceClient;
use serde_json::json;
use service::client::connect;

use crate::Settings;
use crate::output::{self, Output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Record that a user interacted with items, now.
    Record {
        /// The user's id.
        user: String,
        /// The items' ids.
        #[arg(required = true)]
        items: Vec<String>,
        /// Namespace of the item ids.
        #[arg(long, default_value = "")]
        catalog: String,
    },
    /// A user's history, oldest first.
    Show {
        /// The user's id.
        user: String,
        /// Namespace of the item ids.
        #[arg(long, default_value = "")]
        catalog: String,
    },
    /// Forget a user.
    Delete {
        /// The user's id.
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
            let of = |item_id| pb::Interaction {
                user_id: user.clone(),
                item_id,
                ..pb::Interaction::default()
            };
            let interactions = items.into_iter().map(of).collect();
            let request = pb::RecordInteractionsRequest {
                interactions,
                catalog,
            };
            let n_recorded = client
                .record_interactions(request)
                .await?
                .into_inner()
                .n_recorded;
            output.write(&json!({ "n_recorded": n_recorded }), || {
                format!("{n_recorded} recorded")
            });
        }
        Command::Show { user, catalog } => {
            let request = pb::GetHistoryRequest {
                user_id: user,
                catalog,
                limit: 0,
            };
            let history = client.get_history(request).await?.into_inner();
            let interactions: Vec<_> = history
                .interactions
                .iter()
                .map(output::interaction)
                .collect();
            let text = || {
                history
                    .interactions
                    .iter()
                    .map(|i| i.item_id.as_str())
                    .collect::<Vec<_>>()
                    .join("\n")
            };
            output.write(
                &json!({ "interactions": interactions, "deleted": history.deleted }),
                text,
            );
        }
        Command::Delete { user, catalog } => {
            client
                .delete_user(pb::DeleteUserRequest {
                    user_id: user.clone(),
                    catalog,
                })
                .await?;
            output.write(&json!({ "deleted": user }), || format!("deleted {user}"));
        }
    }
    Ok(())
}
