//! Work that waits for a thread: interactive before batch, each in the order it came, taken several
//! at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::Priority;

/// A queue between tasks and threads.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    lanes: Mutex<Lanes<T>>,
    ready: Condvar,
}

/// The side that adds work: the queue is closed when it is dropped, and the threads that take from
/// it end.
#[derive(Debug)]
pub(crate) struct Owner<T>(pub(crate) Arc<Queue<T>>);

impl<T> Drop for Owner<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[derive(Debug)]
struct Lanes<T> {
    interactive: VecDeque<(usize, T)>,
    batch: VecDeque<(usize, T)>,
    /// Sums of what waits.
    interactive_cost: usize,
    batch_cost: usize,
    is_closed: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let lanes = Lanes {
            interactive: VecDeque::new(),
            batch: VecDeque::new(),
            interactive_cost: 0,
            batch_cost: 0,
            is_closed: false,
        };
        Self {
            lanes: Mutex::new(lanes),
            ready: Condvar::new(),
        }
    }
}

impl<T> Queue<T> {
    /// Adds work of some cost; gives it back when the queue is closed.
    pub(crate) fn push(&self, priority: Priority, cost: usize, work: T) -> Result<(), T> {
        let mut lanes = self.lock();
        if lanes.is_closed {
            return Err(work);
        }
        match priority {
            Priority::Interactive => {
                lanes.interactive.push_back((cost, work));
                lanes.interactive_cost += cost;
            }
            Priority::Batch => {
                lanes.batch.push_back((cost, work));
                lanes.batch_cost += cost;
            }
        }
        drop(lanes);
        self.ready.notify_one();
        Ok(())
    }

    /// Cost of all that waits, and of what comes before new work of this priority.
    pub(crate) fn cost(&self, priority: Priority) -> (usize, usize) {
        let lanes = self.lock();
        let all = lanes.interactive_cost + lanes.batch_cost;
        match priority {
            Priority::Interactive => (all, lanes.interactive_cost),
            Priority::Batch => (all, all),
        }
    }

    /// Waits for work and takes what costs at most `most` together and `fits`, which is asked with
    /// each piece's cost and that of all before it; one piece at least. Waits up to `linger` for
    /// more to come. `None` once the queue is closed and empty.
    pub(crate) fn take(
        &self,
        most: usize,
        linger: Duration,
        fits: impl FnMut(usize, &T) -> bool,
    ) -> Option<Vec<T>> {
        let mut lanes = self.lock();
        while lanes.interactive.is_empty() && lanes.batch.is_empty() {
            if lanes.is_closed {
                return None;
            }
            lanes = self
                .ready
                .wait(lanes)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + linger;
        while !lanes.is_closed && lanes.interactive_cost + lanes.batch_cost < most {
            let Some(left) = until
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero())
            else {
                break;
            };
            lanes = self
                .ready
                .wait_timeout(lanes, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Some(lanes.pop(most, fits))
    }

    /// Nothing is added from now on; what waits is still taken.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.ready.notify_all();
    }

    /// Drops what waits, and takes nothing more.
    pub(crate) fn abandon(&self) {
        let mut lanes = self.lock();
        lanes.is_closed = true;
        lanes.pop(usize::MAX, |_, _| true);
        drop(lanes);
        self.ready.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    fn lock(&self) -> MutexGuard<'_, Lanes<T>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Lanes<T> {
    fn pop(&mut self, most: usize, mut fits: impl FnMut(usize, &T) -> bool) -> Vec<T> {
        let (mut taken, mut cost) = (Vec::new(), 0_usize);
        for (lane, sum) in [
            (&mut self.interactive, &mut self.interactive_cost),
            (&mut self.batch, &mut self.batch_cost),
        ] {
            while let Some((next, work)) = lane.pop_front() {
                let after = cost.saturating_add(next);
                let has_room = fits(after, &work) && after <= most; // also of the first: it may bound the others
                if !has_room && !taken.is_empty() {
                    lane.push_front((next, work));
                    return taken; // a batch's work does not overtake it
                }
                (cost, *sum) = (after, *sum - next);
                taken.push(work);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interactive_work_goes_first_and_a_batch_costs_at_most_what_is_allowed() {
        let queue = Queue::default();
        for (priority, cost, name) in [
            (Priority::Batch, 2, "b1"),
            (Priority::Interactive, 3, "i1"),
            (Priority::Interactive, 3, "i2"),
            (Priority::Batch, 2, "b2"),
        ] {
            queue.push(priority, cost, name).unwrap();
        }
        assert_eq!(queue.cost(Priority::Interactive), (10, 6));
        assert_eq!(
            queue.take(8, Duration::ZERO, |cost, _| cost < 6),
            Some(vec!["i1"])
        );
        queue.push(Priority::Interactive, 3, "i3").unwrap();
        assert_eq!(
            queue.take(8, Duration::ZERO, |_, _| true),
            Some(vec!["i2", "i3", "b1"])
        );
        queue.close();
        assert_eq!(queue.push(Priority::Batch, 1, "late"), Err("late"));
        assert_eq!(
            queue.take(1, Duration::ZERO, |_, _| false),
            Some(vec!["b2"]),
            "one piece at least"
        );
        assert_eq!(queue.take(1, Duration::ZERO, |_, _| true), None);
    }
}
