//! What a scorer does beside the requests, from its start until `shutdown`.

use std::time::Duration;

use service::Health;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::compute::states::UnwrittenState;
use crate::request::follow_up::FollowUp;
use crate::request::recommend::Recommender;
use crate::upkeep::shadow::ShadowReports;

/// Moves the labels, each as soon as its version is loaded and warmed.
mod labels;

/// Tells the health service whether this scorer can answer.
mod readiness;

/// Computes user states before anybody waits for them.
mod states_ahead;

/// Does what requests have left to be done.
mod follow_ups;

/// Compares the lists of the label `shadow` with the live ones, and reports how
/// alike they are.
pub(crate) mod shadow;

#[derive(Debug)]
pub(crate) struct Upkeep {
    pub(crate) recommender: Recommender,
    pub(crate) follow_ups: mpsc::Receiver<FollowUp>,
    /// What requests have computed and replicas can use.
    pub(crate) unwritten: mpsc::Receiver<UnwrittenState>,
    pub(crate) shadow_reports: ShadowReports,
    /// Time between two looks at the labels, and at whether the live model
    /// moves.
    pub(crate) every: Duration,
}

impl Upkeep {
    pub(crate) async fn run(self, health: Health, shutdown: CancellationToken) {
        let recommender = &self.recommender;
        let models = &recommender.models;
        let follow_ups = async {
            let mut waiting = self.follow_ups;
            // One that has begun is ended before the scorer leaves.
            while let Some(Some(follow_up)) =
                shutdown.run_until_cancelled(waiting.recv()).await
            {
                follow_ups::run(follow_up, recommender, &self.shadow_reports)
                    .await;
            }
        };
        tokio::join!(
            shutdown
                .run_until_cancelled(labels::follow(recommender, self.every)),
            shutdown.run_until_cancelled(readiness::tell(
                models, &health, self.every
            )),
            follow_ups,
            recommender
                .states
                .write_until(self.unwritten, shutdown.clone()),
        );
    }
}
