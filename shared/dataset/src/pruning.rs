//! Which interactions are left out: repeats, and those of users and items that
//! have too few.

use crate::builder::Row;

/// Keeps the earliest of a user's repeats of an item; rows are ordered by user
/// and time.
pub(crate) fn drop_repeats(rows: &mut Vec<Row>, n_items: usize) {
    let mut last_user_of = vec![u32::MAX; n_items];
    rows.retain(|row| {
        let last_user = &mut last_user_of[row.item as usize];
        std::mem::replace(last_user, row.user) != row.user
    });
}

/// Drops users and items with fewer than `k` interactions until none is left.
pub(crate) fn k_core(rows: &mut Vec<Row>, k: usize) {
    loop {
        let n_before = rows.len();
        let users = counts(rows.iter().map(|row| row.user));
        rows.retain(|row| users[row.user as usize] as usize >= k);
        let items = counts(rows.iter().map(|row| row.item));
        rows.retain(|row| items[row.item as usize] as usize >= k);
        if rows.len() == n_before {
            return;
        }
    }
}

/// How often each number occurs.
fn counts(numbers: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut counts = Vec::new();
    for number in numbers {
        let number = number as usize;
        if number >= counts.len() {
            counts.resize(number + 1, 0);
        }
        counts[number] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(user: u32, item: u32) -> Row {
        Row {
            at_ms: 0,
            user,
            item,
            split: None,
        }
    }

    #[test]
    fn the_core_is_what_is_left_when_nobody_has_too_few() {
        // Item 2 has one user; without it user 1 has one item left, and then
        // item 1 has one user.
        let mut found = vec![
            row(0, 0),
            row(0, 1),
            row(1, 1),
            row(1, 2),
            row(2, 0),
            row(2, 3),
            row(3, 0),
            row(3, 3),
            row(0, 3),
        ];
        k_core(&mut found, 2);
        let left: Vec<(u32, u32)> =
            found.iter().map(|row| (row.user, row.item)).collect();
        assert_eq!(left, [(0, 0), (2, 0), (2, 3), (3, 0), (3, 3), (0, 3)]);
    }
}
