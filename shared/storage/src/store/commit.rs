//! What is read from and written to a store: keys with values, and commits that
//! check first.

/// A key of a space and its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
}

/// One entry of a commit: with a value it is set, or expected to be that;
/// without, removed, or expected to be absent.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) space: String,
    pub(crate) key: String,
    pub(crate) value: Option<Vec<u8>>,
}

impl Entry {
    pub(crate) fn new(space: &str, key: &str, value: Option<Vec<u8>>) -> Self {
        Self {
            space: space.to_owned(),
            key: key.to_owned(),
            value,
        }
    }
}

/// A key of an index: a space that has keys without values, and can be read in
/// their order from any of them on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) index: String,
    pub(crate) key: String,
}

/// All or nothing: the writes happen when every check holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commit {
    pub(crate) checks: Vec<Entry>,
    pub(crate) writes: Vec<Entry>,
    /// Places in indexes that are given up; this comes before `entered`.
    pub(crate) left: Vec<Place>,
    /// Places in indexes that are taken.
    pub(crate) entered: Vec<Place>,
}

impl Commit {
    /// Expects a key to have this value, or none.
    pub(crate) fn check(
        &mut self,
        space: &str,
        key: &str,
        value: Option<Vec<u8>>,
    ) {
        self.checks.push(Entry::new(space, key, value));
    }

    /// Sets a key to a value.
    pub(crate) fn set(&mut self, space: &str, key: &str, value: Vec<u8>) {
        self.writes.push(Entry::new(space, key, Some(value)));
    }

    /// Removes a key, if it is there.
    pub(crate) fn remove(&mut self, space: &str, key: &str) {
        self.writes.push(Entry::new(space, key, None));
    }
}
