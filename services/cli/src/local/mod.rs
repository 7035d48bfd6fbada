//! All services in one process.

/// The services while they run: started, waited for, stopped.
pub(crate) mod services;
/// The services' own settings, with everything below one folder.
pub(crate) mod settings;
