//! Finds model versions by what people call them.

use anyhow::bail;
use proto::pb;
use proto::pb::model_service_client::ModelServiceClient;
use service::client::{Target, connect};

use crate::names::model_version;

/// The version with a name, or the one that a label of this name points to.
pub(crate) async fn find(
    typed: &str,
    coordinator: &Target,
) -> anyhow::Result<pb::ModelVersion> {
    let name = model_version(typed);
    for model in all(coordinator).await? {
        if model.name == name || has_label(&model, typed) {
            return Ok(model);
        }
    }
    bail!(
        "no version has the name or label `{typed}`: `cllm4rec models list` shows them"
    );
}

/// The version that a label points to.
pub(crate) async fn labelled(
    label: &str,
    coordinator: &Target,
) -> anyhow::Result<Option<pb::ModelVersion>> {
    let mut all = all(coordinator).await?.into_iter();
    Ok(all.find(|model| has_label(model, label)))
}

fn has_label(model: &pb::ModelVersion, label: &str) -> bool {
    model.labels.iter().any(|other| other == label)
}

async fn all(coordinator: &Target) -> anyhow::Result<Vec<pb::ModelVersion>> {
    let mut models = ModelServiceClient::new(connect(coordinator)?);
    let mut versions = Vec::new();
    let mut request = pb::ListModelVersionsRequest::default();
    loop {
        let page = models.list_model_versions(request).await?.into_inner();
        versions.extend(page.model_versions);
        if page.next_page_token.is_empty() {
            return Ok(versions);
        }
        request = pb::ListModelVersionsRequest {
            page_size: 0,
            page_token: page.next_page_token,
        };
    }
}
