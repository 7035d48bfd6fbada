//! Which interactions are learned from, which choose and which measure; and who is left out for
//! having too few.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::builder::Row;
use crate::dataset::Split;

/// How interactions are split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitRule {
    /// By the file's split column, or [`SplitRule::Random`] with seed 0 where there is none.
    Given,
    /// 80/10/10 per user, at least one valid and one test item for users of three or more.
    Random {
        /// The same seed gives the same split.
        seed: u64,
    },
    /// Per user the last item is for the test, the one before for validation.
    LeaveLastOut,
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

fn counts(numbers: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut counts = Vec::new();
    for number in numbers {
        let place = number as usize;
        if place >= counts.len() {
            counts.resize(place + 1, 0);
        }
        counts[place] += 1;
    }
    counts
}

/// Sets the split of every row; rows are ordered by user and then by time. `user_ranks` are the
/// users' places in the order of ids: the random split of a user does not depend on where the user
/// stands in the file.
pub(crate) fn assign(rows: &mut [Row], rule: SplitRule, user_ranks: &[u32]) {
    match rule {
        SplitRule::Given if rows.iter().any(|row| row.split.is_some()) => {
            rows.iter_mut()
                .for_each(|row| row.split = Some(row.split.unwrap_or(Split::Train)));
        }
        SplitRule::Given => assign(rows, SplitRule::Random { seed: 0 }, user_ranks),
        SplitRule::Random { seed } => {
            for of_user in rows.chunk_by_mut(|a, b| a.user == b.user) {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream(u64::from(user_ranks[of_user[0].user as usize]));
                randomly(of_user, &mut rng);
            }
        }
        SplitRule::LeaveLastOut => rows
            .chunk_by_mut(|a, b| a.user == b.user)
            .for_each(last_out),
    }
}

fn randomly(of_user: &mut [Row], rng: &mut ChaCha8Rng) {
    let n = of_user.len();
    let n_held_out = if n < 3 { 0 } else { (n / 10).max(1) };
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(rng);
    for (place, &row) in order.iter().enumerate() {
        of_user[row].split = Some(if place < n_held_out {
            Split::Test
        } else if place < 2 * n_held_out {
            Split::Valid
        } else {
            Split::Train
        });
    }
}

fn last_out(of_user: &mut [Row]) {
    let n = of_user.len();
    for (place, row) in of_user.iter_mut().enumerate() {
        row.split = Some(match n - place {
            1 if n >= 3 => Split::Test,
            2 if n >= 3 => Split::Valid,
            _ => Split::Train,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(pairs: &[(u32, u32)]) -> Vec<Row> {
        pairs
            .iter()
            .map(|&(user, item)| Row {
                at_ms: 0,
                user,
                item,
                split: None,
            })
            .collect()
    }

    #[test]
    fn the_core_is_what_is_left_when_nobody_has_too_few() {
        // Item 2 has one user; without it user 1 has one item left, and then item 1 has one user.
        let mut found = rows(&[
            (0, 0),
            (0, 1),
            (1, 1),
            (1, 2),
            (2, 0),
            (2, 3),
            (3, 0),
            (3, 3),
            (0, 3),
        ]);
        k_core(&mut found, 2);
        let left: Vec<(u32, u32)> = found.iter().map(|row| (row.user, row.item)).collect();
        assert_eq!(left, [(0, 0), (2, 0), (2, 3), (3, 0), (3, 3), (0, 3)]);
    }

    #[test]
    fn a_random_split_holds_a_tenth_out_twice_and_repeats() {
        let mut first = rows(&(0..20).map(|item| (0, item)).collect::<Vec<_>>());
        let mut second = first.clone();
        assign(&mut first, SplitRule::Random { seed: 1 }, &[0]);
        assign(&mut second, SplitRule::Random { seed: 1 }, &[0]);
        let splits = |rows: &[Row]| rows.iter().map(|row| row.split).collect::<Vec<_>>();
        assert_eq!(splits(&first), splits(&second));
        assert_eq!(
            first
                .iter()
                .filter(|row| row.split == Some(Split::Test))
                .count(),
            2
        );
        assert_eq!(
            first
                .iter()
                .filter(|row| row.split == Some(Split::Valid))
                .count(),
            2
        );
    }

    #[test]
    fn the_last_item_is_for_the_test_and_a_short_history_is_kept_whole() {
        let mut found = rows(&[(0, 5), (0, 6), (0, 7), (1, 5), (1, 6)]);
        assign(&mut found, SplitRule::LeaveLastOut, &[]);
        let splits: Vec<Split> = found.iter().filter_map(|row| row.split).collect();
        assert_eq!(
            splits,
            [
                Split::Train,
                Split::Valid,
                Split::Test,
                Split::Train,
                Split::Train
            ]
        );
    }
}
