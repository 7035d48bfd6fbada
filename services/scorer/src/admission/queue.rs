//! Work that waits for a thread: interactive before batch, each in the order it
//! came, taken several at a time.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::Priority;

#[derive(Debug)]
pub(crate) struct Queue<T> {
    lanes: Mutex<Lanes<T>>,
    /// Tells the threads that work came or that the queue was closed.
    changed: Condvar,
}

/// The side that adds work: when it is dropped, the queue is closed, and the
/// threads that take from it end.
#[derive(Debug)]
pub(crate) struct QueueOwner<T> {
    queue: Arc<Queue<T>>,
}

/// What the work that waits costs, in the units of whoever adds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Costs {
    pub(crate) all: usize,
    /// The cost of what new work would have to wait for.
    pub(crate) ahead: usize,
}

#[derive(Debug)]
struct Lanes<T> {
    interactive: Lane<T>,
    batch: Lane<T>,
    is_closed: bool,
}

#[derive(Debug)]
struct Lane<T> {
    waiting: VecDeque<Waiting<T>>,
    /// The sum of their costs.
    cost: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    work: T,
    cost: usize,
}

impl<T> QueueOwner<T> {
    pub(crate) fn new(queue: Arc<Queue<T>>) -> Self {
        Self { queue }
    }
}

impl<T> Deref for QueueOwner<T> {
    type Target = Queue<T>;

    fn deref(&self) -> &Queue<T> {
        &self.queue
    }
}

impl<T> Drop for QueueOwner<T> {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let lanes = Lanes {
            interactive: Lane::default(),
            batch: Lane::default(),
            is_closed: false,
        };
        Self {
            lanes: Mutex::new(lanes),
            changed: Condvar::new(),
        }
    }
}

impl<T> Queue<T> {
    /// Adds work of some cost; gives it back when the queue is closed.
    pub(crate) fn push(
        &self,
        priority: Priority,
        cost: usize,
        work: T,
    ) -> Result<(), T> {
        let mut lanes = self.lock();
        if lanes.is_closed {
            return Err(work);
        }
        let lane = match priority {
            Priority::Interactive => &mut lanes.interactive,
            Priority::Batch => &mut lanes.batch,
        };
        lane.push(Waiting { work, cost });
        drop(lanes);
        self.changed.notify_one();
        Ok(())
    }

    /// What new work of this priority would find in the queue.
    pub(crate) fn costs(&self, priority: Priority) -> Costs {
        let lanes = self.lock();
        let all = lanes.cost();
        let ahead = match priority {
            Priority::Interactive => lanes.interactive.cost,
            Priority::Batch => all,
        };
        Costs { all, ahead }
    }

    /// Waits for work, and up to `linger` for more to come. Then takes what
    /// costs at most `most` together and `fits`, which is asked with the cost
    /// of all up to and with a piece; one piece at least. `None` once the queue
    /// is closed and empty.
    pub(crate) fn take(
        &self,
        most: usize,
        linger: Duration,
        fits: impl FnMut(usize, &T) -> bool,
    ) -> Option<Vec<T>> {
        let mut lanes = self.lock();
        while lanes.are_empty() {
            if lanes.is_closed {
                return None;
            }
            let woken = self.changed.wait(lanes);
            lanes = woken.unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + linger;
        while !lanes.is_closed && lanes.cost() < most {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.changed.wait_timeout(lanes, left);
            lanes = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(lanes.pop(most, fits))
    }

    /// Lets nothing more in; what waits is still taken.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Drops what waits, and lets nothing more in.
    pub(crate) fn abandon(&self) {
        let mut lanes = self.lock();
        lanes.is_closed = true;
        lanes.pop(usize::MAX, |_, _| true);
        drop(lanes);
        self.changed.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    fn lock(&self) -> MutexGuard<'_, Lanes<T>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Lanes<T> {
    fn are_empty(&self) -> bool {
        self.interactive.waiting.is_empty() && self.batch.waiting.is_empty()
    }

    fn cost(&self) -> usize {
        self.interactive.cost + self.batch.cost
    }

    fn pop(
        &mut self,
        most: usize,
        mut fits: impl FnMut(usize, &T) -> bool,
    ) -> Vec<T> {
        let mut taken = Vec::new();
        let mut cost = 0_usize;
        for lane in [&mut self.interactive, &mut self.batch] {
            while let Some(next) = lane.waiting.front() {
                let after = cost.saturating_add(next.cost);
                // The first piece is asked about too: it may bound the others.
                let has_room = fits(after, &next.work) && after <= most;
                if !has_room && !taken.is_empty() {
                    // What is in the batch lane does not overtake it.
                    return taken;
                }
                cost = after;
                taken.extend(lane.pop());
            }
        }
        taken
    }
}

impl<T> Lane<T> {
    fn push(&mut self, waiting: Waiting<T>) {
        self.cost += waiting.cost;
        self.waiting.push_back(waiting);
    }

    fn pop(&mut self) -> Option<T> {
        let Waiting { work, cost } = self.waiting.pop_front()?;
        self.cost -= cost;
        Some(work)
    }
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            cost: 0,
        }
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
        let costs = queue.costs(Priority::Interactive);
        assert_eq!((costs.all, costs.ahead), (10, 6));
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
