//! Records interactions while faults happen, and remembers which of them were
//! acknowledged.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use proto::pb;
use proto::pb::history_service_client::HistoryServiceClient;
use service::client::Connection;
use tokio::time::{MissedTickBehavior, interval};

use crate::asking::{interaction, within};

/// Every interaction that was acknowledged, by its user.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    acknowledged: BTreeMap<String, Vec<String>>,
    n_tried: usize,
}

const N_USERS: usize = 7;
const CALL_TIME: Duration = Duration::from_secs(2);

impl Ledger {
    /// Records one interaction after another until `is_over`.
    pub(super) async fn record(
        &mut self,
        mut histories: HistoryServiceClient<Connection>,
        is_over: &Cell<bool>,
    ) {
        let mut turns = interval(Duration::from_millis(25));
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !is_over.get() {
            turns.tick().await;
            self.n_tried += 1;
            let number = self.n_tried;
            let user = format!("chaos-{}", number % N_USERS);
            let item = format!("item-{number}");
            let event = format!("event-{number}");
            let message = pb::RecordInteractionsRequest {
                interactions: vec![interaction(&user, &item, &event)],
                catalog: String::new(),
            };
            let call = within(CALL_TIME, message);
            if histories.record_interactions(call).await.is_ok() {
                self.acknowledged.entry(user).or_default().push(item);
            }
        }
    }

    /// Says what is missing in the histories, or cannot be read.
    pub(super) async fn missing(
        &self,
        mut histories: HistoryServiceClient<Connection>,
    ) -> Result<(), String> {
        for (user, items) in &self.acknowledged {
            let request = pb::GetHistoryRequest {
                user_id: user.clone(),
                ..Default::default()
            };
            let call = within(CALL_TIME, request);
            let answer = histories.get_history(call).await;
            let history = answer.map_err(|status| format!("{user}: {status}"));
            let found: Vec<String> = history?
                .into_inner()
                .interactions
                .into_iter()
                .map(|found| found.item_id)
                .collect();
            for item in items {
                if !found.contains(item) {
                    return Err(format!("{user} has lost {item}"));
                }
            }
        }
        Ok(())
    }
}
