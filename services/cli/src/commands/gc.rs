//! `gc`: remove what nothing needs, or show it.

use clap::Args;
use proto::pb;
use proto::pb::upkeep_service_client::UpkeepServiceClient;
use serde_json::json;
use service::client::connect;

use crate::output::writer::{self, Output};
use crate::settings::Settings;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Only show what would be removed.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(
    arguments: &Arguments,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<()> {
    let mut client = UpkeepServiceClient::new(connect(&settings.coordinator)?);
    let dry_run = arguments.dry_run;
    let request = pb::CollectGarbageRequest { dry_run };
    let found = client.collect_garbage(request).await?.into_inner();
    for one in &found.garbage {
        let value = json!({ "name": one.name, "n_bytes": one.n_bytes });
        output.write(&value, || format!("{}  {} bytes", one.name, one.n_bytes));
    }
    for record in &found.unreadable {
        writer::note(format_args!(
            "{record} cannot be read, so whatever it may need stays; the coordinator's log says why"
        ));
    }

    let (n, n_bytes) = (found.n_garbage, found.n_bytes);
    let value =
        json!({ "n_garbage": n, "n_bytes": n_bytes, "dry_run": dry_run });
    output.write(&value, || {
        let done = if dry_run {
            "would be removed"
        } else {
            "removed"
        };
        format!("{n} {done}, {n_bytes} bytes of artifacts")
    });
    Ok(())
}
