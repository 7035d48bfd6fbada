//! `models`: list, show, label, unlabel, delete.

use clap::Subcommand;
use proto::pb;
use proto::pb::model_service_client::ModelServiceClient;
use serde_json::json;
use service::client::connect;

use crate::Settings;
use crate::output::{self, Output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// All versions, newest first.
    List,
    /// One version.
    Show {
        /// modelVersions/{version}
        version: String,
    },
    /// Point a label at a version, such as `live`.
    Label {
        /// The label.
        label: String,
        /// modelVersions/{version}
        version: String,
    },
    /// Remove a label.
    Unlabel {
        /// The label.
        label: String,
    },
    /// Remove a version that no label points to.
    Delete {
        /// modelVersions/{version}
        version: String,
    },
}

pub(crate) async fn run(
    command: Command,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<()> {
    let mut client = ModelServiceClient::new(connect(&settings.coordinator)?);
    let show = |model: &pb::ModelVersion| output.write(&output::model(model), || describe(model));
    match command {
        Command::List => {
            let mut page_token = String::new();
            loop {
                let request = pb::ListModelVersionsRequest {
                    page_size: 0,
                    page_token,
                };
                let page = client.list_model_versions(request).await?.into_inner();
                page.model_versions.iter().for_each(show);
                output::unreadable("model version", &page.unreadable);
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
        }
        Command::Show { version } => {
            let request = pb::GetModelVersionRequest {
                name: named(&version),
            };
            show(client.get_model_version(request).await?.get_ref());
        }
        Command::Label { label, version } => {
            let request = pb::SetLabelRequest {
                label,
                model_version: named(&version),
            };
            show(client.set_label(request).await?.get_ref());
        }
        Command::Unlabel { label } => {
            client
                .remove_label(pb::RemoveLabelRequest {
                    label: label.clone(),
                })
                .await?;
            output.write(&json!({ "removed": label }), || format!("removed {label}"));
        }
        Command::Delete { version } => {
            client
                .delete_model_version(pb::DeleteModelVersionRequest {
                    name: named(&version),
                })
                .await?;
            output.write(&json!({ "deleted": named(&version) }), || {
                format!("deleted {}", named(&version))
            });
        }
    }
    Ok(())
}

/// `modelVersions/{version}` and `{version}` are the same.
pub(crate) fn named(version: &str) -> String {
    if version.starts_with("modelVersions/") {
        version.to_owned()
    } else {
        format!("modelVersions/{version}")
    }
}

/// A version in one line.
fn describe(model: &pb::ModelVersion) -> String {
    let metric = |name: &str| model.metrics.get(name).copied().unwrap_or_default();
    format!(
        "{}  recall@20 {:.4}  recall@40 {:.4}  ndcg@100 {:.4}  {}",
        model.name,
        metric("recall@20"),
        metric("recall@40"),
        metric("ndcg@100"),
        model.labels.join(", ")
    )
}
