//! The scorer: keeps histories and answers `Recommend`. Stateless but for
//! caches; any replica can answer.
//!
//! A request goes down this list. Each folder may use those below it, and the
//! files at the end; nothing points back up.

/// Opens the port, builds the parts below and runs until shutdown.
mod server;

/// The RPC methods decode a request, let it in, and encode its answer.
mod rpc;

/// Beside the requests: follows labels, warms versions, compares shadows.
mod upkeep;

/// ★ A checked query becomes a list: history → user state → allowed rows →
/// scores → page.
mod request;

/// The model versions in memory, and which of them a request gets.
mod versions;

/// The threads that compute user states and rank catalogues, and the states
/// they have computed.
mod compute;

/// How much may be inside, and in which order it waits: a gate, queues, the
/// model thread's pace.
mod admission;

/// The histories that requests go by, stored or remembered.
mod histories;

/// What a Prometheus is told.
mod measured;

/// Counts what went wrong or was missing since the start.
mod counters;

/// Why a request cannot be answered.
mod error;

/// Why a model version cannot be served.
mod unloadable;

/// What an operator can set.
mod settings;

pub use error::Error;
pub use server::Scorer;
pub use settings::{DEFAULTS, Settings};
pub use unloadable::{Cause, Unloadable};
