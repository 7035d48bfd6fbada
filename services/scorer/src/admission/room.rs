//! How many requests may be in one room at once, and whose.
//!
//! A room has a limit, but for a moment it may take more: a burst of requests,
//! or those that came while the machine was busy with something else. Such
//! moments come one by one and pass; an overload does not. What tells them
//! apart is how long the room has been full, and when it was last. So a room is
//! in one of three states, each with a limit of its own:
//!
//! ```text
//!       +-------------------- not full for CALM ----------------------+
//!       v                                                             |
//!   +--------+  full, and half empty before PATIENCE is over   +------------+
//!   |  Calm  |------------------------------------------------>| Recovering |
//!   | 8 x    |                                                 | 2 x        |
//!   +--------+                                                 +------------+
//!       |                   +------------+                       ^        |
//!       |  full for         | Overloaded |     half empty        |        |
//!       +------------------>| 1 x        |-----------------------+        |
//!          PATIENCE         +------------+                                |
//!                                 ^              full for PATIENCE        |
//!                                 +---------------------------------------+
//! ```
//!
//! "Full" means that as many are inside as the operator's limit says (1 x),
//! "half empty" that fewer than half as many are. A room that has never been
//! full is calm.
//!
//! Whatever the state, a room that is half full or more keeps `BATCH` requests
//! outside and gives each client its share of the room; the last eighth is for
//! clients that have no place yet.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::Priority;

use crate::admission::caller::{Caller, Client};

/// A room that has been full for so long is overloaded; before that it takes a
/// burst.
pub(super) const PATIENCE: Duration = Duration::from_millis(20);
/// A room that has not been full for so long is calm again.
pub(super) const CALM: Duration = Duration::from_secs(1);
/// One place of so many is for clients that have none yet.
const SPARE: usize = 8;

#[derive(Debug)]
pub(super) struct Room {
    /// What the operator set; the room counts as full from here on.
    limit: usize,
    burst: Burst,
    n: usize,
    n_by_client: HashMap<Client, usize>,
    /// When the room became full; `None` once it is half empty again.
    pub(super) full_since: Option<Instant>,
    /// When it was last half empty again after it had been full.
    pub(super) emptied_at: Option<Instant>,
}

/// How many times the limit a room takes in the two states in which it takes
/// more.
#[derive(Debug)]
struct Burst {
    calm: usize,
    recovering: usize,
}

/// What a room has been through lately; see the diagram above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was not full for a while, or is for a moment only.
    Calm,
    /// It was full a moment ago.
    Recovering,
    /// It has been full for longer than a moment.
    Overloaded,
}

impl Room {
    /// How many are inside.
    pub(super) fn n_inside(&self) -> usize {
        self.n
    }

    /// A room that never takes more than its limit.
    pub(super) fn strict(limit: usize) -> Self {
        let burst = Burst {
            calm: 1,
            recovering: 1,
        };
        Self::new(limit, burst)
    }

    /// A room that takes eight times its limit in a burst after a calm, and
    /// else twice.
    pub(super) fn with_bursts(limit: usize) -> Self {
        let burst = Burst {
            calm: 8,
            recovering: 2,
        };
        Self::new(limit, burst)
    }

    fn new(limit: usize, burst: Burst) -> Self {
        Self {
            limit: limit.max(1),
            burst,
            n: 0,
            n_by_client: HashMap::new(),
            full_since: None,
            emptied_at: None,
        }
    }

    fn state(&self) -> State {
        if has_passed(PATIENCE, self.full_since) {
            return State::Overloaded;
        }
        let was_never_full = self.emptied_at.is_none();
        if was_never_full || has_passed(CALM, self.emptied_at) {
            return State::Calm;
        }
        State::Recovering
    }

    /// How many it takes in the state that it is in.
    fn most_now(&self) -> usize {
        match self.state() {
            State::Calm => self.burst.calm * self.limit,
            State::Recovering => self.burst.recovering * self.limit,
            State::Overloaded => self.limit,
        }
    }

    pub(super) fn has_place(&self, caller: &Caller) -> bool {
        let most = self.most_now();
        if self.n >= most {
            return false;
        }
        let own = self.n_by_client.get(&caller.client).copied().unwrap_or(0);
        let is_nearly_full = self.n >= most - self.limit / SPARE;
        if is_nearly_full && own > 0 {
            return false;
        }
        let is_crowded = self.n > 0 && self.n >= most / 2;
        if !is_crowded {
            return true;
        }
        let n_clients = self.n_by_client.len() + usize::from(own == 0);
        let has_its_share = own >= most / n_clients.max(1);
        caller.priority == Priority::Interactive && !has_its_share
    }

    /// Counts one more request, whether there was a place for it or not.
    pub(super) fn enter(&mut self, client: &Client) {
        self.n += 1;
        if self.n >= self.limit {
            self.full_since.get_or_insert_with(Instant::now);
        }
        *self.n_by_client.entry(Arc::clone(client)).or_default() += 1;
    }

    pub(super) fn leave(&mut self, client: &Client) {
        self.n -= 1;
        let is_half_empty = self.n < self.limit.div_ceil(2);
        if is_half_empty && self.full_since.take().is_some() {
            self.emptied_at = Some(Instant::now());
        }
        let Some(own) = self.n_by_client.get_mut(client) else {
            return;
        };
        *own -= 1;
        if *own == 0 {
            self.n_by_client.remove(client);
        }
    }
}

fn has_passed(time: Duration, since: Option<Instant>) -> bool {
    since.is_some_and(|since| since.elapsed() >= time)
}
