//! Who has a history, from the keys of a Redis.

use domain::{Catalog, UserId};

use crate::error::Error;
use crate::store::history::{Users, UsersPage};
use crate::store::redis::Redis;

/// Looks at the keys in one call: each takes a millisecond of a Redis, in
/// which it serves nobody else.
const MOST_LOOKS: usize = 20;
/// Keys that one look is at, about.
const KEYS_A_LOOK: usize = 1_000;

/// Some of the users who have events, in no order.
pub(crate) async fn users(
    store: &Redis,
    catalog: &Catalog,
    page: &UsersPage,
) -> Result<Users, Error> {
    let before = store.hash(&format!("history-events:{catalog}:"));
    let pattern = format!("{}{}*", literal(&before), literal(&page.prefix));
    // A token of another store says nothing: it is the first page's.
    let mut cursor: u64 = page.from.parse().unwrap_or_default();
    let mut found = Users::default();
    let mut connection = store.connection();
    for _ in 0..MOST_LOOKS {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(&pattern);
        scan.arg("COUNT").arg(KEYS_A_LOOK.min(page.most.max(10)));
        let looked = store.bounded(scan.query_async(&mut connection));
        let (next, keys): (u64, Vec<String>) = looked.await?;
        let users = keys.iter().filter_map(|key| key.strip_prefix(&before));
        found
            .users
            .extend(users.filter_map(|id| UserId::new(id).ok()));
        cursor = next;
        if cursor == 0 || found.users.len() >= page.most {
            break;
        }
    }
    if cursor != 0 {
        found.next = cursor.to_string();
    }
    Ok(found)
}

/// A text as a pattern that only it fits.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_that_means_something_to_redis_is_itself() {
        assert_eq!(literal("a*[b]\\"), "a\\*\\[b\\]\\\\");
    }
}
