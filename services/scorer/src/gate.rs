//! How many requests are inside at once, and how many of these keep the cores busy: bounds on
//! memory and on waiting. When a room is more than half full, work that nobody waits for stays
//! outside, and each client has its share of what is left.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::Priority;

use crate::Error;

/// Who asks: what it calls itself, or its address.
pub(crate) type Client = Arc<str>;

/// Who wants an answer, and until when.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) client: Client,
    pub(crate) by: Instant,
    pub(crate) priority: Priority,
}

/// The way in.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Mutex<Rooms>>);

#[derive(Debug)]
struct Rooms {
    /// All requests that are inside.
    inside: Room,
    /// Those among them that do not wait for the model's thread.
    running: Room,
    /// How long a request stays inside, in seconds: a running mean.
    stay: f64,
}

#[derive(Debug)]
struct Room {
    most: usize,
    /// For [`PATIENCE`].
    most_at_first: usize,
    /// The same, when it has not been full for [`CALM`].
    most_after_calm: usize,
    n: usize,
    of_client: HashMap<Client, usize>,
    /// Since when it has been full; until it is half empty again.
    full_since: Option<Instant>,
    /// When that was last.
    full_until: Option<Instant>,
}

impl Caller {
    /// Work that nobody waits for: everybody else's goes first.
    pub(crate) fn nobody(by: Instant) -> Self {
        Self {
            client: "".into(),
            by,
            priority: Priority::Batch,
        }
    }
}

/// A request that is inside; it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) caller: Caller,
    gate: Gate,
    since: Instant,
}

/// A request that waits for the model's thread: others may run meanwhile.
#[derive(Debug)]
pub(crate) struct Aside<'a>(&'a Call);

/// How much the latest request counts in the running mean.
const LATEST: f64 = 0.01;
/// One place of so many is for clients that have none yet.
const SPARE: usize = 8;
/// What came while the machine was busy with something else for a moment is let in; a queue that
/// stays is not.
const PATIENCE: Duration = Duration::from_millis(20);
/// Such moments come one by one; an overload does not let go for so long.
const CALM: Duration = Duration::from_secs(1);

impl Gate {
    /// Room for `inside` requests of which `running` run, twice as many for a moment, eight times
    /// after a calm.
    pub(crate) fn new(inside: usize, running: usize) -> Self {
        let (inside, running) = (Room::new(inside, [1, 1]), Room::new(running, [2, 8]));
        Self(Arc::new(Mutex::new(Rooms {
            inside,
            running,
            stay: 0.0,
        })))
    }

    /// Lets a request in, or refuses it at once.
    pub(crate) fn enter(&self, caller: Caller) -> Result<Call, Error> {
        let mut rooms = self.rooms();
        if !(rooms.inside.has_place(&caller) && rooms.running.has_place(&caller)) {
            // Half of what is inside has to leave before it is worth coming back.
            return Err(Error::overloaded(Duration::from_secs_f64(rooms.stay / 2.0)));
        }
        Ok(self.call(&mut rooms, caller))
    }

    fn call(&self, rooms: &mut Rooms, caller: Caller) -> Call {
        rooms.inside.enter(&caller.client);
        rooms.running.enter(&caller.client);
        Call {
            caller,
            gate: self.clone(),
            since: Instant::now(),
        }
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    fn new(most: usize, [at_first, after_calm]: [usize; 2]) -> Self {
        let most = most.max(1);
        let (most_at_first, most_after_calm) = (at_first * most, after_calm * most);
        Self {
            most,
            most_at_first,
            most_after_calm,
            n: 0,
            of_client: HashMap::new(),
            full_since: None,
            full_until: None,
        }
    }

    /// How many it takes now.
    fn most_now(&self) -> usize {
        let is_over =
            |since: Option<Instant>, time| since.is_some_and(|since| since.elapsed() >= time);
        if is_over(self.full_since, PATIENCE) {
            self.most
        } else if self.full_until.is_none() || is_over(self.full_until, CALM) {
            self.most_after_calm
        } else {
            self.most_at_first
        }
    }

    fn has_place(
        &self,
        Caller {
            client, priority, ..
        }: &Caller,
    ) -> bool {
        let own = self.of_client.get(client).copied().unwrap_or(0);
        let most = self.most_now();
        let is_crowded = self.n > 0 && self.n >= most / 2;
        let n_clients = self.of_client.len() + usize::from(own == 0);
        let has_its_share = own >= most / n_clients.max(1);
        // The last places are for clients that have none yet.
        let is_nearly_full = self.n >= most - self.most / SPARE;
        let has_enough = is_crowded && has_its_share || is_nearly_full && own > 0;
        self.n < most && !(has_enough || is_crowded && *priority == Priority::Batch)
    }

    fn enter(&mut self, client: &Client) {
        self.n += 1;
        if self.n >= self.most {
            self.full_since.get_or_insert_with(Instant::now);
        }
        *self.of_client.entry(Arc::clone(client)).or_default() += 1;
    }

    fn leave(&mut self, client: &Client) {
        self.n -= 1;
        if self.n < self.most.div_ceil(2) && self.full_since.take().is_some() {
            self.full_until = Some(Instant::now());
        }
        if let Some(own) = self.of_client.get_mut(client) {
            *own -= 1;
            if *own == 0 {
                self.of_client.remove(client);
            }
        }
    }
}

impl Call {
    /// Work that nobody waits for. It has bounds of its own, and a gate of its own: it takes no
    /// room from requests.
    pub(crate) fn behind(by: Instant) -> Self {
        let gate = Gate::new(1, 1);
        gate.call(&mut gate.rooms(), Caller::nobody(by))
    }

    /// An answer, for as long as the caller waits for it.
    pub(crate) async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::time::timeout_at(self.caller.by.into(), answer)
            .await
            .unwrap_or(Err(Error::TooLate))
    }

    /// Makes room for others until what this returns is dropped.
    pub(crate) fn aside(&self) -> Aside<'_> {
        self.gate.rooms().running.leave(&self.caller.client);
        Aside(self)
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        // It has its answer: it is not asked to wait for a place.
        self.0.gate.rooms().running.enter(&self.0.caller.client);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut rooms = self.gate.rooms();
        rooms.inside.leave(&self.caller.client);
        rooms.running.leave(&self.caller.client);
        rooms.stay += LATEST * (self.since.elapsed().as_secs_f64() - rooms.stay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(gate: &Gate, client: &str, priority: Priority) -> Result<Call, Error> {
        gate.enter(Caller {
            client: client.into(),
            by: Instant::now(),
            priority,
        })
    }

    /// Neither room is patient.
    fn full_for_long(gate: Gate) -> Gate {
        let long_ago = Some(Instant::now() - PATIENCE);
        gate.rooms().inside.full_since = long_ago;
        gate.rooms().running.full_since = long_ago;
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
    fn a_gate_of_one_takes_one_of_any_priority_and_is_patient_again_when_it_left() {
        for priority in [Priority::Interactive, Priority::Batch] {
            let gate = full_for_long(Gate::new(1, 1));
            let one = enter(&gate, "a", priority).unwrap();
            assert!(enter(&gate, "b", Priority::Interactive).is_err());
            drop(one);
            assert!(gate.rooms().running.full_since.is_none());
        }
    }

    #[test]
    fn a_moment_may_bring_more_and_most_after_a_calm_and_they_leave_a_gate_as_patient_as_before() {
        let gate = Gate::new(100, 4);
        let mut all = Vec::new();
        for expected in [32, 8, 8] {
            // However slowly this test runs.
            gate.rooms().running.full_since = Some(Instant::now() + CALM);
            all.extend((0..50).filter_map(|_| enter(&gate, "a", Priority::Interactive).ok()));
            assert_eq!(all.len(), expected);
            gate.rooms().running.full_since = Some(Instant::now() - PATIENCE);
            all.truncate(4);
            assert!(
                enter(&gate, "a", Priority::Interactive).is_err(),
                "it stays full"
            );
            all.clear();
        }
        gate.rooms().running.full_since = Some(Instant::now() + CALM);
        gate.rooms().running.full_until = Some(Instant::now() - CALM);
        all.extend((0..50).filter_map(|_| enter(&gate, "a", Priority::Interactive).ok()));
        assert_eq!(all.len(), 32);
    }

    #[test]
    fn who_waits_for_the_model_makes_room_for_another_to_run() {
        let gate = full_for_long(Gate::new(4, 2));
        let running = [(); 2].map(|()| enter(&gate, "a", Priority::Interactive).unwrap());
        assert!(enter(&gate, "a", Priority::Interactive).is_err());
        let waiting = running.each_ref().map(Call::aside);
        let others = [(); 2].map(|()| enter(&gate, "a", Priority::Interactive).unwrap());
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
