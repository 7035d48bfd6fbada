//! The scorer's RPC methods: decode, call, encode.

use domain::{Query, UserId};
use proto::{catalog, pb, recorded};
use tonic::{Request, Response, Status};

use crate::Error;
use crate::recommend::Recommender;

/// `RecommendationService`.
pub(crate) struct Recommendations {
    pub(crate) recommender: Recommender,
}

#[tonic::async_trait]
impl pb::recommendation_service_server::RecommendationService for Recommendations {
    async fn recommend(
        &self,
        request: Request<pb::RecommendRequest>,
    ) -> Result<Response<pb::RecommendResponse>, Status> {
        let query = Query::try_from(request.into_inner()).map_err(Error::from)?;
        let recommendation = self.recommender.recommend(query).await?;
        Ok(Response::new(recommendation.into()))
    }
}

/// `HistoryService`.
pub(crate) struct Histories {
    pub(crate) recommender: Recommender,
}

fn user_id(id: String) -> Result<UserId, Error> {
    UserId::new(id).map_err(|invalid| invalid.under("user_id").into())
}

#[tonic::async_trait]
impl pb::history_service_server::HistoryService for Histories {
    async fn record_interactions(
        &self,
        request: Request<pb::RecordInteractionsRequest>,
    ) -> Result<Response<pb::RecordInteractionsResponse>, Status> {
        let request = request.into_inner();
        let catalog = catalog("catalog", &request.catalog).map_err(Error::from)?;
        let batch = recorded(request.interactions, storage::now_ms()).map_err(Error::from)?;
        let n_recorded = self.recommender.record(&catalog, &batch).await?;
        let n_recorded = u32::try_from(n_recorded).unwrap_or(u32::MAX);
        Ok(Response::new(pb::RecordInteractionsResponse { n_recorded }))
    }

    async fn get_history(
        &self,
        request: Request<pb::GetHistoryRequest>,
    ) -> Result<Response<pb::GetHistoryResponse>, Status> {
        let request = request.into_inner();
        let catalog = catalog("catalog", &request.catalog).map_err(Error::from)?;
        let user = user_id(request.user_id)?;
        let history = self.recommender.stored(&catalog, &user).await?;
        let all = history.interactions();
        let limit = if request.limit == 0 { all.len() } else { request.limit as usize };
        let latest = &all[all.len().saturating_sub(limit)..];
        Ok(Response::new(pb::GetHistoryResponse {
            interactions: latest.iter().map(|interaction| pb::Interaction::of(&user, interaction)).collect(),
            deleted: history.is_deleted(),
        }))
    }

    async fn delete_user(
        &self,
        request: Request<pb::DeleteUserRequest>,
    ) -> Result<Response<pb::DeleteUserResponse>, Status> {
        let request = request.into_inner();
        let catalog = catalog("catalog", &request.catalog).map_err(Error::from)?;
        self.recommender.delete(&catalog, &user_id(request.user_id)?).await?;
        Ok(Response::new(pb::DeleteUserResponse {}))
    }
}
