//! What clients ask about model versions and labels.

use domain::{Invalid, Label, ModelVersion, Violations};
use proto::{pb, version_id};
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::models::{LabelledVersion, Models};
use crate::rpc::page::{ListPage, Wanted};

/// Serves `ModelService` to clients.
pub(crate) struct Registry {
    pub(crate) models: Models,
}

#[tonic::async_trait]
impl pb::model_service_server::ModelService for Registry {
    async fn get_model_version(
        &self,
        request: Request<pb::GetModelVersionRequest>,
    ) -> Result<Response<pb::ModelVersion>, Status> {
        let version =
            version_id("name", &request.get_ref().name).map_err(Error::from)?;
        let version = self.models.get(&version).await?;
        Ok(Response::new(encoded(&version)))
    }

    async fn list_model_versions(
        &self,
        request: Request<pb::ListModelVersionsRequest>,
    ) -> Result<Response<pb::ListModelVersionsResponse>, Status> {
        let request = request.into_inner();
        let wanted = Wanted {
            size: request.page_size,
            token: &request.page_token,
        };

        let versions = self.models.list().await?;
        let page = ListPage::of(versions, key, wanted).map_err(Error::from)?;
        Ok(Response::new(pb::ListModelVersionsResponse {
            model_versions: page.entries.iter().map(encoded).collect(),
            next_page_token: page.next_token,
            unreadable: page.unreadable,
        }))
    }

    async fn delete_model_version(
        &self,
        request: Request<pb::DeleteModelVersionRequest>,
    ) -> Result<Response<pb::DeleteModelVersionResponse>, Status> {
        let version =
            version_id("name", &request.get_ref().name).map_err(Error::from)?;
        self.models.delete(&version).await?;
        Ok(Response::new(pb::DeleteModelVersionResponse {}))
    }

    async fn set_label(
        &self,
        request: Request<pb::SetLabelRequest>,
    ) -> Result<Response<pb::ModelVersion>, Status> {
        let request = request.into_inner();
        let (label, version) = labelling(request).map_err(Error::from)?;
        let version = self.models.set_label(&label, &version).await?;
        Ok(Response::new(encoded(&version)))
    }

    async fn remove_label(
        &self,
        request: Request<pb::RemoveLabelRequest>,
    ) -> Result<Response<pb::RemoveLabelResponse>, Status> {
        let label = Label::new(request.into_inner().label)
            .map_err(|invalid| Error::from(invalid.under("label")))?;
        self.models.remove_label(&label).await?;
        Ok(Response::new(pb::RemoveLabelResponse {}))
    }
}

/// Which label is to move, and where to.
fn labelling(
    request: pb::SetLabelRequest,
) -> Result<(Label, ModelVersion), Invalid> {
    let mut wrong = Violations::default();
    let label = Label::new(request.label);
    let label = wrong.take(label.map_err(|invalid| invalid.under("label")));
    let version = version_id("model_version", &request.model_version);
    let version = wrong.take(version);
    match (label, version) {
        (Some(label), Some(version)) => Ok((label, version)),
        (None, _) | (_, None) => Err(wrong.into_invalid()),
    }
}

fn key(version: &LabelledVersion) -> String {
    version.info.version.to_string()
}

fn encoded(version: &LabelledVersion) -> pb::ModelVersion {
    pb::ModelVersion::of(&version.info, &version.labels)
}
