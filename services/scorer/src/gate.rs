//! How many requests are inside at once: a bound on memory and on waiting. When it is more than half full, work that
//! nobody waits for stays outside, and each client has its share of what is left.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::Priority;

use crate::Error;

/// Who asks: what it calls itself, or its address.
pub(crate) type Client = Arc<str>;

/// The way in.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    inside: Arc<Mutex<Inside>>,
    most: usize,
}

#[derive(Debug, Default)]
struct Inside {
    n: usize,
    of_client: HashMap<Client, usize>,
    /// How long a request stays inside, in seconds: a running mean.
    stay: f64,
}

/// A request that is inside; it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Gate,
    client: Client,
    since: Instant,
}

/// How much the latest request counts in the running mean.
const LATEST: f64 = 0.01;
/// The shortest time after which coming back makes sense.
const SHORTEST: Duration = Duration::from_millis(10);

impl Gate {
    pub(crate) fn new(most: usize) -> Self {
        Self { inside: Arc::default(), most: most.max(2) }
    }

    /// Lets a request in, or refuses it at once.
    pub(crate) fn enter(&self, client: &Client, priority: Priority) -> Result<Pass, Error> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let own = inside.of_client.get(client).copied().unwrap_or(0);
        let is_crowded = inside.n >= self.most / 2;
        let n_clients = inside.of_client.len() + usize::from(own == 0);
        let has_its_share = own >= self.most / n_clients.max(1);
        if inside.n >= self.most || (is_crowded && (priority == Priority::Batch || has_its_share)) {
            // Half of what is inside has to leave before it is worth coming back.
            let retry_after = Duration::from_secs_f64(inside.stay / 2.0).max(SHORTEST);
            return Err(Error::Overloaded { retry_after });
        }
        inside.n += 1;
        *inside.of_client.entry(Arc::clone(client)).or_default() += 1;
        Ok(Pass { gate: self.clone(), client: Arc::clone(client), since: Instant::now() })
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.gate.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.n -= 1;
        inside.stay += LATEST * (self.since.elapsed().as_secs_f64() - inside.stay);
        if let Some(own) = inside.of_client.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                inside.of_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str) -> Client {
        name.into()
    }

    #[test]
    fn a_full_gate_refuses_and_one_that_leaves_makes_room() {
        let gate = Gate::new(4);
        let mut inside: Vec<Pass> = (0..4).map(|_| gate.enter(&client("a"), Priority::Interactive).unwrap()).collect();
        assert!(gate.enter(&client("a"), Priority::Interactive).is_err());
        inside.pop();
        assert!(gate.enter(&client("a"), Priority::Interactive).is_ok());
    }

    #[test]
    fn a_greedy_client_leaves_room_for_another_and_batches_for_people() {
        let gate = Gate::new(8);
        let _one = gate.enter(&client("modest"), Priority::Interactive).unwrap();
        let _many: Vec<Pass> =
            (0..20).filter_map(|_| gate.enter(&client("greedy"), Priority::Interactive).ok()).collect();
        assert_eq!(_many.len(), 4, "half of the room");
        assert!(gate.enter(&client("modest"), Priority::Batch).is_err());
        assert!(gate.enter(&client("modest"), Priority::Interactive).is_ok());
    }
}
