//! `make chaos`: real processes and a real Redis under a seedable schedule of
//! faults, and the promises that hold after each.
//!
//! A lane has a site of its own, submits a job, inflicts one fault on it and
//! checks the promises; then it takes the next fault from the schedule. Each
//! job's version is compared with the one that an undisturbed site gave.

// What happens, and when.
/// Chances that follow from a seed.
mod chance;
/// The kinds of faults.
mod kind;
/// What the command line asks for.
mod plan;
/// Which fault comes next, and until when.
mod schedule;

// Where it happens.
/// Wall clocks that are wrong.
mod clocks;
/// Records interactions and remembers which were acknowledged.
mod ledger;
/// A cluster with what was promised to its users.
mod site;
/// Folders on file systems of their own, which fill and turn read-only.
mod volume;

// A fault, and what holds afterwards.
/// Waits for the moment that a fault is aimed at.
mod aim;
/// Damages files of each kind.
mod damaged;
/// `cllm4rec up` with a fault of its own.
mod house;
/// Inflicts a fault.
mod inflict;
/// Checks what is promised.
mod promises;

// All of it.
/// Sums rounds up in a table.
mod report;
/// Runs lanes until the schedule ends.
mod run;

pub use plan::Plan;
pub use run::run;
