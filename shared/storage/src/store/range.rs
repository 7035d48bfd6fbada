//! Which keys of an index are read.

/// In which direction an index is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// From the smallest key on: jobs from the oldest on.
    #[default]
    Ascending,
    /// From the largest key on: jobs from the newest on.
    Descending,
}

/// A stretch of an index's keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Range {
    /// The key that the stretch follows, which need not be there; `None` for
    /// the first stretch.
    pub(crate) after: Option<String>,
    pub(crate) order: Order,
    /// Most keys that are read.
    pub(crate) most: usize,
}

impl Range {
    /// The first keys of an index.
    pub(crate) fn first(most: usize) -> Self {
        Self {
            most,
            ..Self::default()
        }
    }
}
