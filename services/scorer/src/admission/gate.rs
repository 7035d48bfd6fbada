//! The way in: a bound on memory and on waiting. A request is let in or refused
//! at once.
//!
//! Two rooms bound what is inside: all requests, and those among them that keep
//! the cores busy. A request that waits for the model thread steps aside, so
//! that another may run meanwhile.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::admission::caller::Caller;
use crate::admission::room::Room;
use crate::error::Error;

/// How much the latest request counts in the running mean of the time that
/// requests stay.
const LATEST: f64 = 0.01;

/// Lets requests in; clones share the same rooms.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    rooms: Arc<Mutex<Rooms>>,
}

#[derive(Debug)]
struct Rooms {
    inside: Room,
    /// Those among them that do not wait for the model thread.
    running: Room,
    /// How long a request stays inside, in seconds: a running mean.
    mean_stay: f64,
}

/// Who is inside a gate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occupancy {
    /// Requests.
    pub(crate) inside: usize,
    /// Those among them that do not wait for the model thread.
    pub(crate) running: usize,
}

/// A request that is inside; it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) caller: Caller,
    gate: Gate,
    since: Instant,
}

/// A request that waits for the model thread; it runs again when this is
/// dropped.
#[derive(Debug)]
pub(crate) struct Aside<'a> {
    call: &'a Call,
}

impl Gate {
    /// A gate for `inside` requests of which `running` run, and more of these
    /// for a moment.
    pub(crate) fn new(inside: usize, running: usize) -> Self {
        let rooms = Rooms {
            inside: Room::strict(inside),
            running: Room::with_bursts(running),
            mean_stay: 0.0,
        };
        Self {
            rooms: Arc::new(Mutex::new(rooms)),
        }
    }

    /// How many are inside.
    pub(crate) fn occupancy(&self) -> Occupancy {
        let rooms = self.lock();
        Occupancy {
            inside: rooms.inside.n_inside(),
            running: rooms.running.n_inside(),
        }
    }

    pub(crate) fn enter(&self, caller: Caller) -> Result<Call, Error> {
        let mut rooms = self.lock();
        if rooms.have_place(&caller) {
            return Ok(self.let_in(&mut rooms, caller));
        }
        // Half of what is inside has to leave before it is worth coming back.
        let retry_after = Duration::from_secs_f64(rooms.mean_stay / 2.0);
        Err(Error::overloaded(retry_after))
    }

    fn let_in(&self, rooms: &mut Rooms, caller: Caller) -> Call {
        rooms.inside.enter(&caller.client);
        rooms.running.enter(&caller.client);
        Call {
            caller,
            gate: self.clone(),
            since: Instant::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rooms {
    fn have_place(&self, caller: &Caller) -> bool {
        self.inside.has_place(caller) && self.running.has_place(caller)
    }
}

impl Call {
    /// Background work. It is bounded elsewhere and has a gate of its own, so
    /// that it takes no room from requests.
    pub(crate) fn in_background(by: Instant) -> Self {
        let gate = Gate::new(1, 1);
        let caller = Caller::nobody(by);
        gate.let_in(&mut gate.lock(), caller)
    }

    /// Waits for an answer for as long as the caller does; then it is
    /// [`Error::TooLate`].
    pub(crate) async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::time::timeout_at(self.caller.by.into(), answer)
            .await
            .unwrap_or(Err(Error::TooLate))
    }

    /// Lets others run until what this returns is dropped.
    pub(crate) fn aside(&self) -> Aside<'_> {
        self.gate.lock().running.leave(&self.caller.client);
        Aside { call: self }
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        // It has what it waited for: it need not wait for a place as well.
        let Call { caller, gate, .. } = self.call;
        gate.lock().running.enter(&caller.client);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut rooms = self.gate.lock();
        rooms.inside.leave(&self.caller.client);
        rooms.running.leave(&self.caller.client);
        let stay = self.since.elapsed().as_secs_f64();
        rooms.mean_stay += LATEST * (stay - rooms.mean_stay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::room::{CALM, PATIENCE};
    use domain::Priority;

    fn enter(
        gate: &Gate,
        client: &str,
        priority: Priority,
    ) -> Result<Call, Error> {
        gate.enter(Caller {
            client: client.into(),
            by: Instant::now(),
            priority,
        })
    }

    /// Neither room is patient.
    fn full_for_long(gate: Gate) -> Gate {
        let long_ago = Some(Instant::now() - PATIENCE);
        gate.lock().inside.full_since = long_ago;
        gate.lock().running.full_since = long_ago;
        gate
    }

    #[test]
    fn a_full_gate_refuses_and_one_that_leaves_makes_room() {
        let gate = full_for_long(Gate::new(4, 9));
        let mut inside: Vec<Call> = (0..4)
            .map(|_| enter(&gate, "a", Priority::Interactive).unwrap())
            .collect();
        assert!(enter(&gate, "a", Priority::Interactive).is_err());
        inside.pop();
        assert!(enter(&gate, "a", Priority::Interactive).is_ok());
    }

    #[test]
    fn a_gate_of_one_takes_one_of_any_priority_and_is_patient_again_when_it_left()
     {
        for priority in [Priority::Interactive, Priority::Batch] {
            let gate = full_for_long(Gate::new(1, 1));
            let one = enter(&gate, "a", priority).unwrap();
            assert!(enter(&gate, "b", Priority::Interactive).is_err());
            drop(one);
            assert!(gate.lock().running.full_since.is_none());
        }
    }

    #[test]
    fn a_moment_may_bring_more_and_most_after_a_calm_and_they_leave_a_gate_as_patient_as_before()
     {
        let gate = Gate::new(100, 4);
        let mut all = Vec::new();
        for expected in [32, 8, 8] {
            // However slowly this test runs.
            gate.lock().running.full_since = Some(Instant::now() + CALM);
            all.extend(
                (0..50).filter_map(|_| {
                    enter(&gate, "a", Priority::Interactive).ok()
                }),
            );
            assert_eq!(all.len(), expected);
            gate.lock().running.full_since = Some(Instant::now() - PATIENCE);
            all.truncate(4);
            assert!(
                enter(&gate, "a", Priority::Interactive).is_err(),
                "it stays full"
            );
            all.clear();
        }
        gate.lock().running.full_since = Some(Instant::now() + CALM);
        gate.lock().running.emptied_at = Some(Instant::now() - CALM);
        all.extend(
            (0..50)
                .filter_map(|_| enter(&gate, "a", Priority::Interactive).ok()),
        );
        assert_eq!(all.len(), 32);
    }

    #[test]
    fn who_waits_for_the_model_makes_room_for_another_to_run() {
        let gate = full_for_long(Gate::new(4, 2));
        let running =
            [(); 2].map(|()| enter(&gate, "a", Priority::Interactive).unwrap());
        assert!(enter(&gate, "a", Priority::Interactive).is_err());
        let waiting = running.each_ref().map(Call::aside);
        let others =
            [(); 2].map(|()| enter(&gate, "a", Priority::Interactive).unwrap());
        let _others_wait = others.each_ref().map(Call::aside);
        assert!(
            enter(&gate, "a", Priority::Interactive).is_err(),
            "four are inside"
        );
        drop(waiting);
        drop(running);
        assert!(enter(&gate, "a", Priority::Interactive).is_ok());
    }

    #[test]
    fn a_client_that_is_alone_leaves_a_place_for_the_next_one() {
        let gate = full_for_long(Gate::new(100, 16));
        let many: Vec<Call> = (0..20)
            .filter_map(|_| enter(&gate, "greedy", Priority::Interactive).ok())
            .collect();
        assert_eq!(many.len(), 14);
        assert!(enter(&gate, "modest", Priority::Interactive).is_ok());
    }

    #[test]
    fn a_greedy_client_leaves_room_for_another_and_batches_for_people() {
        let gate = full_for_long(Gate::new(9, 8));
        let _one = enter(&gate, "modest", Priority::Interactive).unwrap();
        let many: Vec<Call> = (0..20)
            .filter_map(|_| enter(&gate, "greedy", Priority::Interactive).ok())
            .collect();
        assert_eq!(many.len(), 4, "half of the room");
        assert!(enter(&gate, "modest", Priority::Batch).is_err());
        assert!(enter(&gate, "modest", Priority::Interactive).is_ok());
    }
}
