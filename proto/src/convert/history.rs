//! Interactions, as they are recorded and shown.

use domain::{
    Catalog, EventId, Invalid, ItemId, MAX_CLOCK_SKEW_MS, UserId, Violations,
};

use crate::convert::name::{catalog, millis, timestamp};
use crate::pb;

/// Most interactions in one call: bounds what a client can make the server
/// hold.
const MAX_INTERACTIONS: usize = 10_000;

/// Groups a batch by user, in the order of first appearance; events without a
/// time happen at `now_ms`.
pub fn recorded(
    interactions: Vec<pb::Interaction>,
    now_ms: i64,
) -> Result<Vec<(UserId, Vec<domain::Interaction>)>, Invalid> {
    if interactions.is_empty() || interactions.len() > MAX_INTERACTIONS {
        let reason = format!(
            "must hold 1 to {MAX_INTERACTIONS}, holds {}",
            interactions.len()
        );
        return Err(Invalid::one("interactions", reason));
    }

    let mut by_user: Vec<(UserId, Vec<domain::Interaction>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    let mut wrong = Violations::default();
    for (number, interaction) in interactions.into_iter().enumerate() {
        let checked = checked(interaction, now_ms).map_err(|invalid| {
            invalid.under(&format!("interactions[{number}]"))
        });
        let Some((user, event)) = wrong.take(checked) else {
            continue;
        };
        let place = *places.entry(user.clone()).or_insert_with(|| {
            by_user.push((user, Vec::new()));
            by_user.len() - 1
        });
        let (_, events) = &mut by_user[place];
        events.push(event);
    }

    wrong.check()?;
    Ok(by_user)
}

/// Whose histories a page is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsersAsked {
    /// Their namespace.
    pub catalog: Catalog,
    /// What their ids begin with.
    pub prefix: String,
    /// How many are wanted, about.
    pub page_size: usize,
    /// Where the page before ended; empty for the first one.
    pub page_token: String,
}

/// Users of a page where the request does not say.
const USERS_A_PAGE: usize = 100;
/// Most users of a page.
const MOST_USERS: usize = 1_000;
/// Longest beginning of an id, and longest token, in bytes.
const LONGEST_ID: usize = 300;

impl TryFrom<pb::ListUsersRequest> for UsersAsked {
    type Error = Invalid;

    fn try_from(request: pb::ListUsersRequest) -> Result<Self, Invalid> {
        let mut wrong = Violations::default();
        let catalog = wrong.or_default(catalog("catalog", &request.catalog));
        let page_size = match request.page_size as usize {
            0 => USERS_A_PAGE,
            n => n,
        };
        if page_size > MOST_USERS {
            let reason = format!("must be 1 to {MOST_USERS}, is {page_size}");
            wrong.add("page_size", reason);
        }
        for (field, text) in [
            ("prefix", &request.prefix),
            ("page_token", &request.page_token),
        ] {
            if text.len() > LONGEST_ID {
                let n = text.len();
                let reason =
                    format!("must be at most {LONGEST_ID} bytes, has {n}");
                wrong.add(field, reason);
            }
        }
        wrong.check()?;
        Ok(Self {
            catalog,
            prefix: request.prefix,
            page_size,
            page_token: request.page_token,
        })
    }
}

/// The beginning of the year 1: no earlier time can be sent back.
const EARLIEST_MS: i64 = -62_135_596_800_000;

/// Checks one entry of a batch; the error names its fields.
fn checked(
    interaction: pb::Interaction,
    now_ms: i64,
) -> Result<(UserId, domain::Interaction), Invalid> {
    let mut wrong = Violations::default();
    let user = wrong.take(
        UserId::new(interaction.user_id)
            .map_err(|invalid| invalid.under("user_id")),
    );
    let item = wrong.take(
        ItemId::new(interaction.item_id)
            .map_err(|invalid| invalid.under("item_id")),
    );
    let at_ms = match interaction.time {
        Some(time) => wrong.or_default(millis("time", time)),
        None => now_ms,
    };

    if at_ms > now_ms.saturating_add(MAX_CLOCK_SKEW_MS) {
        wrong.add("time", "is more than five minutes in the future");
    }

    if at_ms < EARLIEST_MS {
        wrong.add("time", "is before the year 1: seconds since 1970 are meant");
    }

    let mut event = None;
    if !interaction.event_id.is_empty() {
        let id = EventId::new(interaction.event_id);
        event = wrong.take(id.map_err(|invalid| invalid.under("event_id")));
    }

    let (Some(user), Some(item)) = (user, item) else {
        return Err(wrong.into_invalid());
    };

    wrong.check()?;
    Ok((user, domain::Interaction { item, at_ms, event }))
}

impl pb::Interaction {
    /// Encodes a user's interaction as it is shown.
    pub fn of(user: &UserId, interaction: &domain::Interaction) -> Self {
        Self {
            user_id: user.to_string(),
            item_id: interaction.item.to_string(),
            time: Some(timestamp(interaction.at_ms)),
            event_id: interaction
                .event
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interaction(user: &str, item: &str) -> pb::Interaction {
        pb::Interaction {
            user_id: user.into(),
            item_id: item.into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_batch_is_grouped_by_user_and_a_bad_entry_is_named() {
        let batch = vec![
            interaction("a", "1"),
            interaction("b", "2"),
            interaction("a", "3"),
        ];
        let grouped = recorded(batch, 5).unwrap();
        assert_eq!(
            grouped
                .iter()
                .map(|(user, events)| (user.as_str(), events.len()))
                .collect::<Vec<_>>(),
            [("a", 2), ("b", 1)]
        );
        assert_eq!(grouped[0].1[0].at_ms, 5);

        let invalid =
            recorded(vec![interaction("a", "1"), interaction("a", "")], 5)
                .unwrap_err();
        assert_eq!(invalid.0[0].field, "interactions[1].item_id");
        let wrong = vec![interaction("", ""), interaction("b", "")];
        let fields: Vec<String> = recorded(wrong, 5)
            .unwrap_err()
            .0
            .into_iter()
            .map(|violation| violation.field)
            .collect();
        assert_eq!(
            fields,
            [
                "interactions[0].user_id",
                "interactions[0].item_id",
                "interactions[1].item_id"
            ],
            "all at once"
        );
        let future = pb::Interaction {
            time: Some(timestamp(400_000)),
            ..interaction("a", "1")
        };
        assert_eq!(
            recorded(vec![future], 5).unwrap_err().0[0].field,
            "interactions[0].time"
        );
        let ancient = pb::Interaction {
            time: Some(timestamp(EARLIEST_MS - 1)),
            ..interaction("a", "1")
        };
        assert_eq!(
            recorded(vec![ancient], 5).unwrap_err().0[0].field,
            "interactions[0].time"
        );
        assert_eq!(
            recorded(Vec::new(), 5).unwrap_err().0[0].field,
            "interactions"
        );
    }
}
