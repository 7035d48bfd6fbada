//! A bounded number of places, of which no address has all.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

/// How many of something there are, such as connections, by address.
pub(crate) struct Places {
    most: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// The place of one; free again when it is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    of: IpAddr,
}

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            taken: Mutex::default(),
        }
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }

    #[cfg(test)]
    pub(crate) fn n_taken(&self) -> usize {
        self.taken.lock().unwrap().values().sum()
    }

    /// A place for one more. One address gets no more than three
    /// quarters of all: somebody else always finds one.
    pub(crate) fn take(places: &Arc<Self>, peer: SocketAddr) -> Option<Place> {
        let of = peer.ip();
        let mut taken =
            places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let n_all: usize = taken.values().sum();
        let n_own = taken.get(&of).copied().unwrap_or_default();
        if n_all >= places.most || n_own >= places.most * 3 / 4 {
            return None;
        }
        taken.insert(of, n_own + 1);
        drop(taken);
        Some(Place {
            places: Arc::clone(places),
            of,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let taken = &self.places.taken;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = taken.get_mut(&self.of) {
            *n -= 1;
            if *n == 0 {
                taken.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 1))
    }

    #[test]
    fn one_address_leaves_places_for_others_and_a_place_is_free_again() {
        let places = Arc::new(Places::new(8));
        let mut of_one = Vec::new();
        while let Some(place) = Places::take(&places, peer(1)) {
            of_one.push(place);
        }
        assert_eq!(of_one.len(), 6);
        let others = [2, 3].map(|last| Places::take(&places, peer(last)));
        assert!(others.iter().all(Option::is_some));
        assert!(Places::take(&places, peer(4)).is_none(), "all are taken");
        of_one.pop();
        assert!(Places::take(&places, peer(4)).is_some());
    }
}
