//! `HistoryService`: records, reads, takes back and deletes histories.

use std::collections::BTreeSet;

use domain::{Catalog, Interaction, Invalid, Priority, UserId, Violations};
use proto::pb::history_service_server::HistoryService;
use proto::{UsersAsked, catalog, pb, recorded};
use storage::UsersPage;
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::request::recommend::Recommender;
use crate::rpc::way_in::WayIn;

/// Unknown items that an answer names.
const MOST_UNKNOWN: usize = 20;

#[derive(Debug)]
pub(crate) struct HistoryRpc {
    pub(crate) recommender: Recommender,
    /// A way in beside the requests': what is recorded does not wait for what
    /// is recommended.
    pub(crate) way_in: WayIn,
}

impl HistoryRpc {
    async fn record(
        &self,
        request: pb::RecordInteractionsRequest,
    ) -> Result<pb::RecordInteractionsResponse, Error> {
        let mut wrong = Violations::default();
        let catalog = wrong.or_default(catalog("catalog", &request.catalog));
        let batch = recorded(request.interactions, storage::now_ms());
        let batch = wrong.or_default(batch);
        wrong.check()?;
        let histories = &self.recommender.histories;
        let n_recorded = histories.record(&catalog, &batch).await?;
        Ok(pb::RecordInteractionsResponse {
            n_recorded: u32::try_from(n_recorded).unwrap_or(u32::MAX),
            unknown_item_ids: self.unknown_items(&catalog, &batch),
        })
    }

    /// Items that no version of their catalogue knows, the first ones; none
    /// where no version of it is in memory.
    fn unknown_items(
        &self,
        catalog: &Catalog,
        batch: &[(UserId, Vec<Interaction>)],
    ) -> Vec<String> {
        let mut models = self.recommender.models.in_memory();
        models.retain(|model| model.catalog == *catalog);
        let mut unknown = BTreeSet::new();
        if models.is_empty() {
            return Vec::new();
        }
        for (_, interactions) in batch {
            for Interaction { item, .. } in interactions {
                if unknown.len() == MOST_UNKNOWN {
                    return unknown.into_iter().collect();
                }
                let is_known =
                    models.iter().any(|model| model.item_row(item).is_some());
                if !is_known {
                    unknown.insert(item.to_string());
                }
            }
        }
        unknown.into_iter().collect()
    }

    async fn forget(
        &self,
        request: pb::ForgetInteractionsRequest,
    ) -> Result<usize, Error> {
        let mut wrong = Violations::default();
        let catalog = wrong.or_default(catalog("catalog", &request.catalog));
        let batch = recorded(request.interactions, storage::now_ms());
        let batch = wrong.or_default(batch);
        wrong.check()?;
        self.recommender.histories.forget(&catalog, &batch).await
    }

    async fn history(
        &self,
        request: pb::GetHistoryRequest,
    ) -> Result<pb::GetHistoryResponse, Error> {
        let (catalog, user) = whose(&request.catalog, request.user_id)?;
        let history =
            self.recommender.histories.stored(&catalog, &user).await?;
        let all = history.interactions();
        let limit = match request.limit {
            0 => all.len(),
            limit => limit as usize,
        };
        let latest = &all[all.len().saturating_sub(limit)..];
        let mut interactions = Vec::with_capacity(latest.len());
        for interaction in latest {
            interactions.push(pb::Interaction::of(&user, interaction));
        }
        Ok(pb::GetHistoryResponse {
            interactions,
            deleted: history.is_deleted(),
        })
    }

    async fn users(
        &self,
        request: pb::ListUsersRequest,
    ) -> Result<pb::ListUsersResponse, Error> {
        let UsersAsked {
            catalog,
            prefix,
            page_size,
            page_token,
        } = UsersAsked::try_from(request)?;
        let page = UsersPage {
            prefix,
            most: page_size,
            from: page_token,
        };
        let histories = &self.recommender.histories;
        let found = histories.users(&catalog, &page).await?;
        Ok(pb::ListUsersResponse {
            user_ids: found.users.into_iter().map(String::from).collect(),
            next_page_token: found.next,
        })
    }

    async fn delete(
        &self,
        request: pb::DeleteUserRequest,
    ) -> Result<(), Error> {
        let (catalog, user) = whose(&request.catalog, request.user_id)?;
        self.recommender.delete(&catalog, &user).await
    }
}

/// Whose history is meant, in which namespace.
fn whose(named: &str, id: String) -> Result<(Catalog, UserId), Invalid> {
    let mut wrong = Violations::default();
    let catalog = wrong.or_default(catalog("catalog", named));
    let user = UserId::new(id).map_err(|invalid| invalid.under("user_id"));
    let Some(user) = wrong.take(user) else {
        return Err(wrong.into_invalid());
    };
    wrong.check()?;
    Ok((catalog, user))
}

#[tonic::async_trait]
impl HistoryService for HistoryRpc {
    async fn record_interactions(
        &self,
        request: Request<pb::RecordInteractionsRequest>,
    ) -> Result<Response<pb::RecordInteractionsResponse>, Status> {
        let call = self.way_in.admit(&request, Priority::Interactive)?;
        let recorded = call.in_time(self.record(request.into_inner())).await;
        Ok(Response::new(self.way_in.counted(recorded)?))
    }

    async fn forget_interactions(
        &self,
        request: Request<pb::ForgetInteractionsRequest>,
    ) -> Result<Response<pb::ForgetInteractionsResponse>, Status> {
        let call = self.way_in.admit(&request, Priority::Interactive)?;
        let n_forgotten = call.in_time(self.forget(request.into_inner())).await;
        let n_forgotten = self.way_in.counted(n_forgotten)?;
        let n_forgotten = u32::try_from(n_forgotten).unwrap_or(u32::MAX);
        Ok(Response::new(pb::ForgetInteractionsResponse {
            n_forgotten,
        }))
    }

    async fn get_history(
        &self,
        request: Request<pb::GetHistoryRequest>,
    ) -> Result<Response<pb::GetHistoryResponse>, Status> {
        let call = self.way_in.admit(&request, Priority::Interactive)?;
        let history = call.in_time(self.history(request.into_inner())).await;
        Ok(Response::new(self.way_in.counted(history)?))
    }

    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        let call = self.way_in.admit(&request, Priority::Interactive)?;
        let users = call.in_time(self.users(request.into_inner())).await;
        Ok(Response::new(self.way_in.counted(users)?))
    }

    async fn delete_user(
        &self,
        request: Request<pb::DeleteUserRequest>,
    ) -> Result<Response<pb::DeleteUserResponse>, Status> {
        let call = self.way_in.admit(&request, Priority::Interactive)?;
        let deleted = call.in_time(self.delete(request.into_inner())).await;
        self.way_in.counted(deleted)?;
        Ok(Response::new(pb::DeleteUserResponse {}))
    }
}
