//! What a version recommends to three users, for a report: asked of the scorer
//! once it serves the version.

use std::time::{Duration, Instant};

use dataset::Dataset;
use proto::pb;
use proto::pb::recommend_request::Model;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use service::client::{Connection, Target, connect};
use tonic::{Code, Status};

use crate::output::report_parts::{SampleList, SampleLists};

/// Users that are shown.
const N_USERS: usize = 3;
/// Items that are shown of a history, and recommended.
const N_ITEMS: usize = 5;
/// Time for the scorer to load a version.
const LOADING: Duration = Duration::from_secs(20);
/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Lists for a user with a short history, one with a usual and one with a long
/// one.
pub(crate) async fn sample_lists(
    job: &pb::Job,
    data: &Dataset,
    scorer: &Target,
) -> SampleLists {
    let labels = job.spec.as_ref().map(|spec| spec.labels.len());
    if labels.unwrap_or_default() == 0 {
        return SampleLists::LeftOut(format!(
            "No lists: the version has no label, so nobody serves it. `cllm4rec recommend USER --version {}` asks for one.",
            job.model_version.trim_start_matches("modelVersions/")
        ));
    }

    match made(job, data, scorer).await {
        Ok(lists) => SampleLists::Made(lists),
        Err(error) => SampleLists::LeftOut(format!(
            "No lists: the scorer does not serve the version ({error:#})."
        )),
    }
}

async fn made(
    job: &pb::Job,
    data: &Dataset,
    scorer: &Target,
) -> anyhow::Result<Vec<SampleList>> {
    let mut scorer = RecommendationServiceClient::new(connect(scorer)?);
    let until = Instant::now() + LOADING;
    let histories = histories(data);
    let mut lists = Vec::new();
    for user in typical_users(&histories) {
        let request = pb::RecommendRequest {
            user_id: data.users[user].to_string(),
            k: Some(N_ITEMS as u32),
            model: Some(Model::ModelVersion(job.model_version.clone())),
            ..pb::RecommendRequest::default()
        };
        let answer = answered(&mut scorer, request, until).await?;
        let history = &histories[user];
        let mut latest = Vec::new();
        for &item in history.iter().rev().take(N_ITEMS) {
            let item = &data.items[item as usize];
            latest.push(titled(item.id.as_str(), &item.title));
        }
        let mut recommended = Vec::new();
        for item in &answer.items {
            recommended.push(titled(&item.item_id, &item.title));
        }
        lists.push(SampleList {
            user: data.users[user].to_string(),
            n_history: history.len(),
            latest,
            recommended,
        });
    }
    Ok(lists)
}

/// Asks until the version is loaded, or too late.
async fn answered(
    scorer: &mut RecommendationServiceClient<Connection>,
    request: pb::RecommendRequest,
    until: Instant,
) -> Result<pb::RecommendResponse, Status> {
    loop {
        match scorer.recommend(request.clone()).await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) if Instant::now() > until || !may_pass(&status) => {
                return Err(status);
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Whether a refusal may be for the time being: the version is on its way.
fn may_pass(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Cancelled
            | Code::NotFound
    )
}

fn titled(id: &str, title: &str) -> String {
    if title.is_empty() {
        return id.to_owned();
    }
    title.to_owned()
}

/// The items of each user, in the order of their times.
fn histories(data: &Dataset) -> Vec<Vec<u32>> {
    let mut histories = vec![Vec::new(); data.users.len()];
    let interactions = &data.interactions;
    for (&user, &item) in interactions.users.iter().zip(&interactions.items) {
        histories[user as usize].push(item);
    }
    histories
}

/// The users at a quarter, a half and three quarters of the lengths of
/// histories; fewer where there are fewer.
fn typical_users(histories: &[Vec<u32>]) -> Vec<usize> {
    let mut users: Vec<usize> = (0..histories.len()).collect();
    users.retain(|&user| !histories[user].is_empty());
    users.sort_by_key(|&user| (histories[user].len(), user));
    let n = users.len();
    if n <= N_USERS {
        return users;
    }
    let mut typical = Vec::new();
    for quarter in 1..=N_USERS {
        typical.push(users[quarter * n / (N_USERS + 1)]);
    }
    typical
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_have_short_usual_and_long_histories() {
        let mut histories: Vec<Vec<u32>> = Vec::new();
        for n in 0..=100 {
            histories.push(vec![0; n]);
        }
        assert_eq!(typical_users(&histories), [26, 51, 76]);
        assert_eq!(typical_users(&histories[..3]), [1, 2], "all with one");
        assert!(typical_users(&[]).is_empty());
    }
}
