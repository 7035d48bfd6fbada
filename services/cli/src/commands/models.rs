//! `models`: list, show, compare, label, unlabel, delete.

use clap::Subcommand;
use proto::pb;
use proto::pb::model_service_client::ModelServiceClient;
use serde_json::json;
use service::client::{Connection, connect};

use crate::commands::compare;
use crate::lookup;
use crate::output::writer::{self, Output};
use crate::output::{json, text, version};
use crate::settings::Settings;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// All versions, newest first.
    List,

    /// One version, with its metrics and labels.
    Show {
        /// The version's id, the beginning of it, or a label of it.
        version: String,
    },

    /// Versions side by side: measured on the same interactions, which none of
    /// them has learned from.
    Compare(compare::Arguments),

    /// Point a label at a version, such as `live`.
    Label {
        /// The label that moves.
        label: String,

        /// The version's id, the beginning of it, or a label of it.
        version: String,
    },

    /// Remove a label; its version stays.
    Unlabel {
        /// The label that is removed.
        label: String,
    },

    /// Remove a version that no label points to.
    Delete {
        /// The version's id, the beginning of it, or a label of it.
        version: String,
    },
}

type ModelClient = ModelServiceClient<Connection>;

pub(crate) async fn run(
    command: Command,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<()> {
    let coordinator = &settings.coordinator;
    let mut client = ModelServiceClient::new(connect(coordinator)?);
    match command {
        Command::Compare(arguments) => {
            compare::run(arguments, settings, output).await?;
        }
        Command::List => list(&mut client, output).await?,
        Command::Show { version } => {
            let request = pb::GetModelVersionRequest {
                name: lookup::model_version(coordinator, &version).await?,
            };
            let model = client.get_model_version(request).await?.into_inner();
            output.write(&json::model(&model), || {
                let is_final = model.final_fit;
                let table = text::table_of(&model.metrics, is_final);
                version::page(&model, &table)
            });
        }
        Command::Label { label, version } => {
            let name = lookup::model_version(coordinator, &version).await?;
            let before = lookup::labelled(&mut client, &label).await?;
            let request = pb::SetLabelRequest {
                label: label.clone(),
                model_version: name.clone(),
            };
            show(client.set_label(request).await?.get_ref(), output);
            if let Some(before) = before.filter(|one| one.name != name) {
                let id = version::short_name(&before);
                writer::note(format_args!(
                    "`{label}` was {id} before: `cllm4rec models label {label} {id}` goes back"
                ));
            }
        }
        Command::Unlabel { label } => {
            let request = pb::RemoveLabelRequest {
                label: label.clone(),
            };
            client.remove_label(request).await?;
            output.write(&json!({ "removed": label }), || {
                format!("removed {label}")
            });
        }
        Command::Delete { version } => {
            let name = lookup::model_version(coordinator, &version).await?;
            let request = pb::DeleteModelVersionRequest { name: name.clone() };
            client.delete_model_version(request).await?;
            output.write(&json!({ "deleted": name }), || {
                format!("deleted {name}")
            });
        }
    }

    Ok(())
}

async fn list(client: &mut ModelClient, output: Output) -> anyhow::Result<()> {
    let mut page_token = String::new();
    loop {
        let request = pb::ListModelVersionsRequest {
            page_size: 0,
            page_token,
        };
        let page = client.list_model_versions(request).await?.into_inner();
        for model in &page.model_versions {
            show(model, output);
        }
        writer::unreadable("model version", &page.unreadable);

        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

fn show(model: &pb::ModelVersion, output: Output) {
    output.write(&json::model(model), || version::line(model));
}
