//! Which interactions are learned from, which choose among models and which
//! measure the chosen one.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::builder::Row;
use crate::dataset::Split;

/// How interactions are split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitRule {
    /// By the file's split column, or [`SplitRule::Random`] with seed 0 where
    /// there is none.
    Given,
    /// 80/10/10 per user, at least one valid and one test item for users of
    /// three or more.
    Random {
        /// Seed of the random choice: the same seed gives the same split.
        seed: u64,
    },
    /// Each user's last item is for the test and the one before for validation;
    /// users of fewer than three are learned from.
    LeaveLastOut,
}

/// Sets the split of every row; rows are ordered by user and then by time.
/// `user_ranks` are the users' ranks in the order of ids: the random split of a
/// user does not depend on where the user stands in the file.
pub(crate) fn assign(rows: &mut [Row], rule: SplitRule, user_ranks: &[u32]) {
    match rule {
        SplitRule::Given if rows.iter().any(|row| row.split.is_some()) => {
            fill_up(rows)
        }
        SplitRule::Given => assign_randomly(rows, 0, user_ranks),
        SplitRule::Random { seed } => assign_randomly(rows, seed, user_ranks),
        SplitRule::LeaveLastOut => leave_last_out(rows),
    }
}

/// True where chance decides: the rule says so, or no row says its split.
pub(crate) fn is_random(rows: &[Row], rule: SplitRule) -> bool {
    match rule {
        SplitRule::Given => rows.iter().all(|row| row.split.is_none()),
        SplitRule::Random { .. } => true,
        SplitRule::LeaveLastOut => false,
    }
}

/// Interactions whose line says nothing are learned from.
fn fill_up(rows: &mut [Row]) {
    for row in rows {
        row.split.get_or_insert(Split::Train);
    }
}

fn assign_randomly(rows: &mut [Row], seed: u64, user_ranks: &[u32]) {
    for of_user in rows.chunk_by_mut(|a, b| a.user == b.user) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(u64::from(user_ranks[of_user[0].user as usize]));
        hold_a_tenth_out_twice(of_user, &mut rng);
    }
}

fn hold_a_tenth_out_twice(of_user: &mut [Row], rng: &mut ChaCha8Rng) {
    let n = of_user.len();
    let n_held_out = if n < 3 { 0 } else { (n / 10).max(1) };
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(rng);
    for (place, &row) in order.iter().enumerate() {
        let split = if place < n_held_out {
            Split::Test
        } else if place < 2 * n_held_out {
            Split::Valid
        } else {
            Split::Train
        };
        of_user[row].split = Some(split);
    }
}

fn leave_last_out(rows: &mut [Row]) {
    for of_user in rows.chunk_by_mut(|a, b| a.user == b.user) {
        let n = of_user.len();
        for (place, row) in of_user.iter_mut().enumerate() {
            let split = match n - place {
                1 if n >= 3 => Split::Test,
                2 if n >= 3 => Split::Valid,
                _ => Split::Train,
            };
            row.split = Some(split);
        }
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
    fn a_random_split_holds_a_tenth_out_twice_and_repeats() {
        let mut first =
            rows(&(0..20).map(|item| (0, item)).collect::<Vec<_>>());
        let mut second = first.clone();
        assign(&mut first, SplitRule::Random { seed: 1 }, &[0]);
        assign(&mut second, SplitRule::Random { seed: 1 }, &[0]);
        let splits =
            |rows: &[Row]| rows.iter().map(|row| row.split).collect::<Vec<_>>();
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
        let splits: Vec<Split> =
            found.iter().filter_map(|row| row.split).collect();
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
