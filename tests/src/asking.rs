//! Requests and what comes back, in few words.

use std::time::Duration;

use proto::pb;
use proto::pb::degradation::Kind;
use tonic::Request;
use tonic_types::StatusExt;

/// A request for the best `k` items of a user.
pub fn request(user: &str, k: u32) -> pb::RecommendRequest {
    pb::RecommendRequest {
        user_id: user.to_owned(),
        k: Some(k),
        ..Default::default()
    }
}

/// A history that comes with a request, oldest first.
pub fn inline(items: &[&str]) -> Vec<pb::InlineInteraction> {
    items.iter().map(|item| at_no_time(item)).collect()
}

fn at_no_time(item: &str) -> pb::InlineInteraction {
    pb::InlineInteraction {
        item_id: item.to_owned(),
        time: None,
    }
}

/// A history of three items of the two groups that no other number up to 8,000
/// has.
pub fn new_history(number: usize) -> Vec<pb::InlineInteraction> {
    let mut history = Vec::new();
    for power in [1, 20, 400] {
        history.push(at_no_time(&format!("i{:02}", number / power % 20)));
    }
    history
}

/// An interaction of a user that happens now.
pub fn interaction(user: &str, item: &str, event: &str) -> pb::Interaction {
    pb::Interaction {
        user_id: user.into(),
        item_id: item.into(),
        time: None,
        event_id: event.into(),
    }
}

/// A message as a call with a deadline.
pub fn within<T>(time: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(time);
    request
}

/// A deadline for requests that all have to be answered, however many are sent
/// at once to however slow a machine.
pub const PATIENT: Duration = Duration::from_secs(30);

/// The ids of a list, in its order.
pub fn ids(items: &[pb::RecommendedItem]) -> Vec<&str> {
    items.iter().map(|item| item.item_id.as_str()).collect()
}

/// What an answer says it had to do without.
pub fn kinds(answer: &pb::RecommendResponse) -> Vec<Kind> {
    answer
        .degradations
        .iter()
        .map(pb::Degradation::kind)
        .collect()
}

/// The fields that a refused call named as wrong.
pub fn bad_fields(status: &tonic::Status) -> Vec<String> {
    let violations = status
        .get_details_bad_request()
        .map(|request| request.field_violations)
        .unwrap_or_default();
    violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}
