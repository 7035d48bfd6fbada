//! Gives queued jobs to the workers that ask for work.
//!
//! Workers wait in a line in memory, and one task gives out jobs: the heads of
//! the lanes are read, each worker gets what it can take, all are leased in one
//! commit and handed over. Nobody else wakes for a job, and who waits reads
//! nothing. Another coordinator on the same store may take a job first; the
//! worker then gets the next one at once.

/// The workers that ask for work.
pub(crate) mod line;

/// Who gets what: plain data in, plain data out.
pub(crate) mod assign;

/// What there is to give, and how much of it each queue may have.
mod offers;

/// Gives it out.
mod hand_out;

/// Jobs that pause after a failed attempt.
mod pauses;
