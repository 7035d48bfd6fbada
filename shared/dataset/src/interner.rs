//! External ids as numbers, so that ten million rows fit into memory.

use std::collections::HashMap;

/// Gives each id a number, in the order of first appearance.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    numbers: HashMap<Box<str>, u32>,
}

impl Interner {
    /// The number of an id, which gets one if it has none yet.
    pub(crate) fn number(&mut self, id: &str) -> u32 {
        if let Some(number) = self.known(id) {
            return number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(id.into(), number);
        number
    }

    /// The number of an id; `None` for one that was never seen.
    pub(crate) fn known(&self, id: &str) -> Option<u32> {
        self.numbers.get(id).copied()
    }

    /// Each number's rank in the order of external ids.
    pub(crate) fn ranks(&self) -> Vec<u32> {
        let mut order: Vec<(&str, u32)> =
            Vec::with_capacity(self.numbers.len());
        for (id, &number) in &self.numbers {
            order.push((id, number));
        }
        order.sort_unstable();
        let mut ranks = vec![0; order.len()];
        for (rank, (_, number)) in order.into_iter().enumerate() {
            ranks[number as usize] = rank as u32;
        }
        ranks
    }

    /// The ids in the order of their numbers.
    pub(crate) fn into_ids(self) -> Vec<Box<str>> {
        let mut ids: Vec<Box<str>> = vec!["".into(); self.numbers.len()];
        for (id, number) in self.numbers {
            ids[number as usize] = id;
        }
        ids
    }
}
