//! Whether services run, for commands that start their own where none do.

use proto::pb;
use service::client::Target;
use tonic::Code;

use crate::jobs::client::training_client;
use crate::settings::{DEFAULTS, Settings};

/// Where everything is kept when no services run: where `cllm4rec up` keeps it,
/// too.
pub(crate) const OWN_FOLDER: &str = "data";

/// Whether a coordinator runs. Where one was configured, its absence is an
/// error, not a reason to train somewhere else.
pub(crate) async fn somebody_answers(
    coordinator: &Target,
) -> anyhow::Result<bool> {
    let request = pb::ListJobsRequest::default();
    match training_client(coordinator)?.list_jobs(request).await {
        Ok(_) => Ok(true),
        Err(status)
            if status.code() == Code::Unavailable && is_usual(coordinator)? =>
        {
            Ok(false)
        }
        Err(status) => Err(status.into()),
    }
}

fn is_usual(coordinator: &Target) -> anyhow::Result<bool> {
    let usual: Settings = toml::from_str(DEFAULTS)?;
    Ok(usual.coordinator.url == coordinator.url)
}
