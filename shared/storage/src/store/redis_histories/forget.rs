//! Takes single events back. Removing a member needs no script: what is not
//! there stays away, and nothing else is kept of an event without an id.

use domain::{Catalog, Interaction, UserId};

use crate::error::Error;
use crate::store::redis::Redis;
use crate::store::redis_histories::{keys, member};

/// Takes events back in one round trip; returns how many were there.
pub(crate) async fn forget(
    store: &Redis,
    catalog: &Catalog,
    batch: &[(UserId, Vec<Interaction>)],
) -> Result<usize, Error> {
    let mut pipeline = redis::pipe();
    for (user, events) in batch.iter().filter(|(_, all)| !all.is_empty()) {
        let [members, about] = keys(store, catalog, user);
        let mut command = redis::cmd("ZREM");
        command.arg(members);
        for event in events {
            command.arg(member(event));
        }
        pipeline.add_command(command);
        for id in events.iter().filter_map(|event| event.event.as_ref()) {
            let mut command = redis::cmd("HDEL");
            command.arg(&about).arg(format!("e{id}"));
            pipeline.add_command(command).ignore();
        }
    }
    if pipeline.is_empty() {
        return Ok(0);
    }
    let mut connection = store.connection();
    let removed: Vec<usize> =
        store.bounded(pipeline.query_async(&mut connection)).await?;
    Ok(removed.into_iter().sum())
}
