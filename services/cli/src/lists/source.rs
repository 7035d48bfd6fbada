//! The services and the artifacts that many lists are made from: those that
//! run, or own ones for as long as the lists take.

use std::path::Path;

use anyhow::bail;
use proto::pb;
use proto::pb::model_service_client::ModelServiceClient;
use service::client::{Target, connect};
use storage::Artifacts;

use crate::local::running::{OWN_FOLDER, somebody_answers};
use crate::local::services::LocalServices;
use crate::local::settings::LocalSettings;
use crate::output::writer;
use crate::settings::Settings;

/// Where lists come from.
pub(crate) struct Source {
    pub(crate) scorer: Target,
    pub(crate) coordinator: Target,
    pub(crate) artifacts: Artifacts,
}

impl Source {
    /// Works with the services that run; where none do, with own ones on what
    /// `train submit --data` left in this folder.
    pub(crate) async fn during<T>(
        settings: &Settings,
        work: impl AsyncFnOnce(&Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if somebody_answers(&settings.coordinator).await? {
            let source = Self {
                scorer: settings.scorer.clone(),
                coordinator: settings.coordinator.clone(),
                artifacts: Artifacts::open(&settings.storage)?,
            };
            return work(&source).await;
        }

        if !Path::new(OWN_FOLDER).is_dir() {
            bail!(
                "no services run, and there is no `{OWN_FOLDER}` here to start them on: go to the folder where `train submit --data` was run, or start `cllm4rec up`"
            );
        }
        writer::note(format_args!(
            "no services run: starting them on `{OWN_FOLDER}` for this command"
        ));
        let own = LocalSettings::below(Path::new(OWN_FOLDER))?;
        LocalServices::during(own, async |services| {
            let source = Self {
                scorer: services.scorer.clone(),
                coordinator: services.coordinator.clone(),
                artifacts: services.storage.artifacts.clone(),
            };
            work(&source).await
        })
        .await
    }

    /// The version that a label points to now, so that one version makes all
    /// lists, also when the label moves meanwhile.
    pub(crate) async fn version_of(
        &self,
        label: &str,
    ) -> anyhow::Result<String> {
        let mut models = ModelServiceClient::new(connect(&self.coordinator)?);
        let mut request = pb::ListModelVersionsRequest::default();
        loop {
            let page = models.list_model_versions(request).await?.into_inner();
            for model in page.model_versions {
                if model.labels.iter().any(|other| other == label) {
                    return Ok(model.name);
                }
            }
            if page.next_page_token.is_empty() {
                bail!(
                    "no version has the label `{label}`: `cllm4rec models list` shows them, `cllm4rec models label {label} VERSION` moves it, --version names one"
                );
            }
            request = pb::ListModelVersionsRequest {
                page_size: 0,
                page_token: page.next_page_token,
            };
        }
    }
}
