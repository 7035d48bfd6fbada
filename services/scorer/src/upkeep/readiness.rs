//! Tells whether this scorer can answer. It has a loop of its own: a version
//! that is being loaded delays nothing here.

use std::time::Duration;

use service::Health;

use crate::versions::live_model::Models;

pub(super) async fn tell(models: &Models, health: &Health, every: Duration) {
    loop {
        health.set_ready(models.is_ready()).await;
        tokio::time::sleep(every).await;
    }
}
