//! Does what requests have left to be done, one thing after the other.

use std::time::{Duration, Instant};

use crate::request::follow_up::{FollowUp, StaleHistory};
use crate::request::recommend::Recommender;
use crate::upkeep::shadow::{self, ShadowReports};
use crate::upkeep::states_ahead;

/// One of them may take this long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Does one of them; one whose version is no longer in memory is left undone.
pub(super) async fn run(
    follow_up: FollowUp,
    recommender: &Recommender,
    reports: &ShadowReports,
) {
    let by = Instant::now() + PATIENCE;
    match follow_up {
        FollowUp::Refresh(StaleHistory { key, model }) => {
            if let Some(model) = model.upgrade() {
                states_ahead::refresh(recommender, key, &model, by).await;
            }
        }
        FollowUp::Compare(comparison) => {
            shadow::compare(*comparison, recommender, reports, by).await;
        }
    }
}
