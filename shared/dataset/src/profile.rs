//! What the interactions of a data set look like: how they are spread over
//! users, items and time, and some of them to look at.

use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, Split};

/// What the interactions of a data set look like.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// The earliest and the latest time, in milliseconds since 1970-01-01 UTC;
    /// absent where there are no times.
    pub times_ms: Option<(i64, i64)>,
    /// Users by how many interactions they have.
    pub users_by_interactions: Vec<Band>,
    /// Items by how many interactions they have.
    pub items_by_interactions: Vec<Band>,
    /// Which share of all interactions the most popular items have.
    pub popular_items: Vec<ShareOfItems>,
    /// Some interactions, evenly spread over the users.
    pub interactions: Vec<SampleInteraction>,
    /// Some items, evenly spread over the catalogue.
    pub items: Vec<SampleItem>,
}

/// How many have between `from` and `to` interactions, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Band {
    /// The fewest.
    pub from: u64,
    /// The most.
    pub to: u64,
    /// How many users or items these are.
    pub n: u64,
}

/// Which share of all interactions a share of the items has.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ShareOfItems {
    /// Share of the items, the most popular ones, 0 to 1.
    pub of_items: f64,
    /// Share of the interactions, 0 to 1.
    pub of_interactions: f64,
}

/// An interaction to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleInteraction {
    /// The user's id.
    pub user: String,
    /// The item's id.
    pub item: String,
    /// The item's title; empty when it has none.
    pub title: String,
    /// When, in milliseconds since 1970-01-01 UTC; absent where there are no
    /// times.
    pub at_ms: Option<i64>,
    /// Which part of the data it belongs to.
    pub split: Split,
}

/// An item to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleItem {
    /// The item's id.
    pub item: String,
    /// Empty when it has none.
    pub title: String,
    /// From broad to narrow.
    pub categories: Vec<String>,
    /// How many interactions it has.
    pub n_interactions: u64,
}

/// Interactions and items to look at, of each.
const N_SAMPLES: usize = 10;
/// Shares of the items of which [`Profile::popular_items`] tells.
const SHARES: [f64; 6] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
/// Letters of a title or a category of a sample.
const LONGEST_TITLE: usize = 200;

impl Profile {
    /// Counts and samples a data set whose interactions happened between two
    /// times, where they have any.
    pub fn of(dataset: &Dataset, times_ms: Option<(i64, i64)>) -> Self {
        let rows = &dataset.interactions;
        let of_users = counts(&rows.users, dataset.users.len());
        let of_items = counts(&rows.items, dataset.items.len());
        Self {
            times_ms,
            users_by_interactions: bands(&of_users),
            items_by_interactions: bands(&of_items),
            popular_items: popular(&of_items),
            interactions: interactions(dataset, times_ms.is_some()),
            items: items(dataset, &of_items),
        }
    }
}

/// How often each of some rows is there.
fn counts(rows: &[u32], n: usize) -> Vec<u64> {
    let mut counts = vec![0; n];
    for &row in rows {
        counts[row as usize] += 1;
    }
    counts
}

/// Counts by bands that double: 0, 1, 2, 3 to 4, 5 to 8, … Bands between the
/// first and the last that hold somebody are told, also empty ones.
fn bands(counts: &[u64]) -> Vec<Band> {
    let mut bands: Vec<Band> = Vec::new();
    for &count in counts {
        let place = match count {
            0 => 0,
            // 1 → 1, 2 → 2, 3 and 4 → 3.
            _ => count.next_power_of_two().trailing_zeros() as usize + 1,
        };
        while bands.len() <= place {
            bands.push(band(bands.len()));
        }
        bands[place].n += 1;
    }
    let first = bands.iter().position(|band| band.n > 0);
    bands.drain(..first.unwrap_or(0));
    bands
}

/// The band with a number, nobody in it.
fn band(number: usize) -> Band {
    match number {
        0 => Band {
            from: 0,
            to: 0,
            n: 0,
        },
        1 => Band {
            from: 1,
            to: 1,
            n: 0,
        },
        _ => Band {
            from: (1 << (number - 2)) + 1,
            to: 1 << (number - 1),
            n: 0,
        },
    }
}

fn popular(of_items: &[u64]) -> Vec<ShareOfItems> {
    let mut counts = of_items.to_vec();
    counts.sort_unstable_by_key(|&n| std::cmp::Reverse(n));
    let all: u64 = counts.iter().sum();
    if all == 0 {
        return Vec::new();
    }
    let shares = SHARES.into_iter().map(|of_items| {
        let n = (of_items * counts.len() as f64).round().max(1.0) as usize;
        let theirs: u64 = counts.iter().take(n).sum();
        ShareOfItems {
            of_items,
            of_interactions: theirs as f64 / all as f64,
        }
    });
    shares.collect()
}

/// Places that are evenly spread over `n`.
fn spread(n: usize) -> impl Iterator<Item = usize> {
    let n_samples = N_SAMPLES.min(n);
    (0..n_samples).map(move |number| number * n / n_samples)
}

fn interactions(dataset: &Dataset, has_times: bool) -> Vec<SampleInteraction> {
    let rows = &dataset.interactions;
    let samples = spread(rows.users.len()).map(|place| {
        let item = &dataset.items[rows.items[place] as usize];
        SampleInteraction {
            user: dataset.users[rows.users[place] as usize].to_string(),
            item: item.id.to_string(),
            title: cut(&item.title),
            at_ms: has_times.then_some(rows.at_ms[place]),
            split: rows.splits[place],
        }
    });
    samples.collect()
}

fn items(dataset: &Dataset, counts: &[u64]) -> Vec<SampleItem> {
    let samples = spread(dataset.items.len()).map(|row| {
        let item = &dataset.items[row];
        let categories = item.categories.iter().take(N_SAMPLES);
        SampleItem {
            item: item.id.to_string(),
            title: cut(&item.title),
            categories: categories.map(|it| cut(it)).collect(),
            n_interactions: counts[row],
        }
    });
    samples.collect()
}

fn cut(text: &str) -> String {
    domain::shortened(text.to_owned(), LONGEST_TITLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_double_and_leave_nobody_out() {
        let told = |counts: &[u64]| -> Vec<(u64, u64, u64)> {
            let bands = bands(counts).into_iter();
            bands.map(|band| (band.from, band.to, band.n)).collect()
        };
        assert_eq!(told(&[]), []);
        assert_eq!(told(&[0, 0, 1]), [(0, 0, 2), (1, 1, 1)]);
        assert_eq!(
            told(&[2, 3, 4, 5, 8, 9, 33]),
            [
                (2, 2, 1),
                (3, 4, 2),
                (5, 8, 2),
                (9, 16, 1),
                (17, 32, 0),
                (33, 64, 1)
            ]
        );
    }

    #[test]
    fn the_most_popular_items_have_their_share() {
        let mut counts = vec![1; 98];
        counts.extend([51, 51]);
        let shares = popular(&counts);
        assert_eq!(shares[0].of_interactions, 51.0 / 200.0);
        assert_eq!(shares[1].of_interactions, 102.0 / 200.0);
        assert_eq!(shares[5].of_interactions, 150.0 / 200.0);
        assert_eq!(popular(&[0, 0]), []);
    }

    #[test]
    fn samples_are_spread_and_all_of_few_are_shown() {
        assert_eq!(spread(3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(spread(0).count(), 0);
        let spread: Vec<usize> = spread(1_000).collect();
        assert_eq!(spread.len(), N_SAMPLES);
        assert_eq!((spread[0], spread[9]), (0, 900));
    }
}
