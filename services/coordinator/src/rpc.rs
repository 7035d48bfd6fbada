//! The coordinator's RPC methods: decode, call, encode.

/// One page of a list.
mod page;

/// What an import said and what a data set looks like, on the wire.
mod dataset_details;
/// The methods that clients call for data sets.
pub(crate) mod datasets;
/// The methods that clients call for model versions.
pub(crate) mod registry;
/// The methods that clients call for jobs.
pub(crate) mod training;
/// The methods that an operator calls now and then.
pub(crate) mod upkeep;
/// The methods that workers call.
pub(crate) mod workers;
