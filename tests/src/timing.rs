//! Sums up how long several tries took.

use std::time::Duration;

/// The time that half of the tries did not exceed. A busy machine may slow one
/// try down; a service that is slow slows down most.
pub fn median(times: &[Duration]) -> Duration {
    assert!(times.len() % 2 == 1, "an odd number of tries has a middle");
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}
