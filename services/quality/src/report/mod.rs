//! The page `docs/quality.md`: what the results say about the grid.

/// The whole page, section by section.
pub(crate) mod page;

/// The results of the grid's variants, found by seed and data set.
mod grid_results;

// The sections, in the order of the page.

/// What a user gets: a table for each data set.
mod data_sets;

/// What each part of the model is worth.
mod parts;

/// What the mutual regularisation's strength does.
mod regularization;

/// Items and users that nothing is known about.
mod newcomers;

/// Seconds and memory.
mod cost;

/// How figures are averaged and written.
mod figures;
