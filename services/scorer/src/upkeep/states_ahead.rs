//! Computes user states before anybody waits for them: for the users of the
//! last hour before a version goes live, and for a user whose history was used
//! although it is old.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Inline, ModelChoice, Reader};
use futures::StreamExt;

use crate::admission::gate::Call;
use crate::histories::HistoryKey;
use crate::request::recommend::Recommender;
use crate::versions::loaded::LoadedModel;

/// A version is warmed for at most this long before the label moves.
const WARM_FOR: Duration = Duration::from_secs(10);
/// How old the histories may be that a version is warmed with.
const LATELY: Duration = Duration::from_secs(60 * 60);
/// Users whose states are computed at once then: requests wait for a batch that
/// has begun.
const WARM_AT_ONCE: usize = 16;

/// Computes the states of the users of the last hour, as far as there is time.
pub(super) async fn warm(recommender: &Recommender, model: &Arc<LoadedModel>) {
    let until = Instant::now() + WARM_FOR;
    let users: Vec<HistoryKey> = recommender.histories.lately_seen().collect();
    let n_users = futures::stream::iter(users)
        .map(|user| async move {
            let reader = stored_reader(user, LATELY);
            Instant::now() < until
                && compute(recommender, &reader, model, until).await
        })
        .buffer_unordered(WARM_AT_ONCE)
        .filter(|is_computed| std::future::ready(*is_computed))
        .count()
        .await;
    tracing::info!(version = %model.version, n_users, "version warmed");
}

/// Reads a user's history again, and has the state of it at hand.
pub(super) async fn refresh(
    recommender: &Recommender,
    user: HistoryKey,
    model: &LoadedModel,
    by: Instant,
) {
    let reader = stored_reader(user, Duration::ZERO);
    compute(recommender, &reader, model, by).await;
}

/// Has a reader's state at hand; false when that was not possible.
async fn compute(
    recommender: &Recommender,
    reader: &Reader,
    model: &LoadedModel,
    by: Instant,
) -> bool {
    let call = Call::in_background(by);
    let computed = call.in_time(async {
        let reader = recommender.reader(reader, model, &call).await?;
        recommender.user_state(&reader, model, &call).await
    });
    let Err(error) = computed.await else {
        return true;
    };
    recommender.counters.add("behind.failed");
    let error = service::chain(&error);
    tracing::debug!(error, "a state was not computed ahead");
    false
}

/// A user by the stored history, or by one that is remembered and not older
/// than this.
fn stored_reader(user: HistoryKey, max_staleness: Duration) -> Reader {
    Reader {
        user: Some(user.user),
        catalog: Some(user.catalog),
        inline: Inline::Absent,
        at_ms: None,
        max_staleness,
        model: ModelChoice::live(),
    }
}
