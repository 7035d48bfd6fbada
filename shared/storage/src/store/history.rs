//! What both backends agree on about histories.
//!
//! A user's events are stored one by one, in the order of a prompt, with what is
//! known about the user beside them: the ids of events and when the user was
//! deleted. Earlier versions kept one record a user, in the space
//! `histories:{catalog}`; it is read beside the events until the user's next
//! event arrives, which takes its events over.

use domain::{Catalog, History, Interaction, Retention, UserId};

use crate::error::Error;
use crate::record::decode;

/// Interactions that are about to be recorded.
#[derive(Debug, Clone)]
pub(crate) struct Additions {
    pub(crate) catalog: Catalog,
    /// A user may be there more than once.
    pub(crate) batch: Vec<(UserId, Vec<Interaction>)>,
    pub(crate) kept: Kept,
}

/// Which users are wanted.
#[derive(Debug, Clone, Default)]
pub struct UsersPage {
    /// What their ids begin with.
    pub prefix: String,
    /// How many, about.
    pub most: usize,
    /// Where the page before ended, as [`Users::next`] says it; empty for the
    /// first one.
    pub from: String,
}

/// Some users who have a history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users {
    /// In the order of the store. One may come on two pages while histories
    /// are written.
    pub users: Vec<UserId>,
    /// Where the next page begins; empty after the last one.
    pub next: String,
}

/// Which events of a user stay when new ones arrive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// The latest so many.
    pub(crate) max_events: usize,
    /// None from before this time, in milliseconds since 1970-01-01 UTC.
    pub(crate) oldest_ms: Option<i64>,
}

impl Kept {
    pub(crate) fn new(retention: Retention, now_ms: i64) -> Self {
        Self {
            max_events: retention.max_events,
            oldest_ms: retention.oldest_ms(now_ms),
        }
    }
}

/// The space with one record a user that earlier versions wrote.
pub(crate) fn old_space(catalog: &Catalog) -> String {
    format!("histories:{catalog}")
}

/// Reads a record that an earlier version wrote.
pub(crate) fn old_record(
    user: &UserId,
    bytes: &[u8],
) -> Result<History, Error> {
    decode(&name(user), bytes)
}

/// How errors call a user's history.
pub(crate) fn name(user: &UserId) -> String {
    format!("the history of user `{user}`")
}
