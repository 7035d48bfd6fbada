//! The conversation with the coordinator.

/// Asks for one job after the other.
pub(crate) mod worker;

/// One attempt at one job, from the lease to its end.
mod attempt;

/// Gets what the training needs onto the local disk.
mod fetch;

/// How an attempt uses the time that its process has to leave in.
mod grace;

/// A worker's claim on a job, and every call that is made under it.
mod lease;

/// What the coordinator's answer to a heartbeat means.
mod heartbeat;

/// How an attempt ends.
mod end;

/// What every attempt of a worker works with.
mod equipment;

/// What is measured of the job at hand.
mod measured;

/// Pauses between the repeats of a call.
mod pauses;
