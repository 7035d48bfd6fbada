//! Memory of matrices that nobody holds any longer, for the next ones. Pages
//! that are new to a process are cleared by the system first, which was a
//! quarter of the processor time of a training step.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The allocator has smaller buffers at hand.
const LEAST: usize = 16 * 1024;

/// The most values that wait, 192 MiB. With four times as many a job on the
/// shipped games held 1.1 GB instead of .35, and a scorer's replica would.
const MOST: usize = 48 << 20;

/// Buffers that wait, by their size class.
static WAITING: Mutex<Waiting> = Mutex::new(Waiting {
    by_class: BTreeMap::new(),
    n_values: 0,
});

struct Waiting {
    /// No list is empty.
    by_class: BTreeMap<usize, Vec<Vec<f32>>>,
    /// The sum of all capacities.
    n_values: usize,
}

/// A part of each backbone: when a backbone ends, what waits goes back to the
/// system.
#[derive(Debug)]
pub(crate) struct MatrixMemory;

impl Drop for MatrixMemory {
    fn drop(&mut self) {
        waiting().clear();
    }
}

/// Memory for `n` values, which are what they were before: each has to be
/// written.
pub(super) fn buffer(n: usize) -> Vec<f32> {
    if n < LEAST {
        return vec![0.0; n];
    }
    let class = class(n);
    let found = waiting().take(class);
    // Zeros of the system are made when they are first written to.
    let mut buffer = found.unwrap_or_else(|| vec![0.0; class]);
    buffer.resize(n, 0.0);
    buffer
}

/// Memory for `n` zeros.
pub(super) fn zeros(n: usize) -> Vec<f32> {
    let mut buffer = buffer(n);
    buffer.fill(0.0);
    buffer
}

/// Takes the memory of a matrix that is no longer needed.
pub(super) fn recycle(buffer: Vec<f32>) {
    if buffer.capacity() < LEAST {
        return;
    }
    waiting().put(buffer);
}

fn waiting() -> MutexGuard<'static, Waiting> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How far the classes around a size are apart, a sixteenth to an eighth of it:
/// parts of a batch with a few more tokens fit the same buffers.
fn step(n: usize) -> usize {
    n.next_power_of_two() / 16
}

/// The size, rounded up to that of its class.
fn class(n: usize) -> usize {
    n.next_multiple_of(step(n))
}

impl Waiting {
    /// The smallest buffer of this class or up to twice as much, where one
    /// waits.
    fn take(&mut self, class: usize) -> Option<Vec<f32>> {
        let (&fitting, _) = self.by_class.range(class..=2 * class).next()?;
        self.pop(fitting)
    }

    /// Keeps a buffer; the largest go back to the system when too much waits.
    fn put(&mut self, buffer: Vec<f32>) {
        let step = step(buffer.capacity());
        let class = buffer.capacity() / step * step;
        self.n_values += buffer.capacity();
        self.by_class.entry(class).or_default().push(buffer);
        while self.n_values > MOST
            && let Some((&largest, _)) = self.by_class.last_key_value()
        {
            self.pop(largest);
        }
    }

    fn clear(&mut self) {
        self.by_class.clear();
        self.n_values = 0;
    }

    fn pop(&mut self, class: usize) -> Option<Vec<f32>> {
        let buffers = self.by_class.get_mut(&class)?;
        let buffer = buffers.pop()?;
        if buffers.is_empty() {
            self.by_class.remove(&class);
        }
        self.n_values -= buffer.capacity();
        Some(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(sizes: &[usize]) -> Waiting {
        let mut waiting = Waiting {
            by_class: BTreeMap::new(),
            n_values: 0,
        };
        for &size in sizes {
            waiting.put(Vec::with_capacity(size));
        }
        waiting
    }

    #[test]
    fn a_class_holds_its_size_and_little_more() {
        for n in [LEAST, LEAST + 1, 589_824, 1_000_003, 1 << 24] {
            let class = class(n);
            assert!(class >= n && class <= n + n / 8, "{n} {class}");
            assert_eq!(super::class(class), class);
        }
    }

    #[test]
    fn the_smallest_buffer_that_fits_is_taken_and_none_that_is_much_larger() {
        let mut waiting = with(&[1 << 20, 1 << 17, 3 << 15]);
        let taken = waiting.take(1 << 16).unwrap();
        assert!(taken.capacity() < 1 << 17);
        assert!(waiting.take(1 << 16).is_some());
        assert!(waiting.take(1 << 16).is_none());
        assert_eq!(waiting.n_values, 1 << 20);
    }

    #[test]
    fn when_too_much_waits_the_largest_go() {
        let mut waiting = with(&[MOST / 2, MOST / 4, MOST / 4]);
        assert_eq!(waiting.by_class.len(), 2);
        waiting.put(Vec::with_capacity(1 << 20));
        let left: Vec<usize> = waiting.by_class.keys().copied().collect();
        assert_eq!(left, [1 << 20, MOST / 4]);
    }
}
