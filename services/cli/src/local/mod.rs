//! All services in one process.

/// Whether services run already.
pub(crate) mod running;
/// The services while they run: started, waited for, stopped.
pub(crate) mod services;
/// The services' own settings, with everything below one folder.
pub(crate) mod settings;
