//! What a data set holds, for the cost of a job on it.

use domain::Counts;

use crate::pb;

impl From<pb::DatasetCounts> for Counts {
    fn from(counts: pb::DatasetCounts) -> Self {
        let mut text_lengths = Vec::with_capacity(counts.text_lengths.len());
        for n in counts.text_lengths {
            text_lengths.push(whole(n));
        }
        Self {
            n_users: whole(counts.n_users),
            n_items: whole(counts.n_items),
            n_train: whole(counts.n_train),
            n_valid: whole(counts.n_valid),
            n_test: whole(counts.n_test),
            text_lengths,
        }
    }
}

/// More than there can be counts as much as there can be: a cost is an
/// estimate.
fn whole(n: u64) -> usize {
    const MOST: u64 = 1 << 31;
    usize::try_from(n.min(MOST)).unwrap_or(usize::MAX)
}
