//! The console: pages for people who look after the services. It asks the
//! coordinator and the scorer over gRPC, with the visitor's own token, and
//! keeps nothing.

// A request, from the browser to the services.
/// Calls the services for a visitor.
mod backend;
/// What a visitor sees of a failure.
mod failure;
/// What every request passes: other people's pages are refused, and browsers
/// are told to load nothing from elsewhere.
mod guard;
/// Opens the port and says which path is which page.
mod server;
/// Who asks: their tokens, and that it is a form of ours that they sent.
mod visitor;

/// The pages.
mod pages;
/// What pages consist of.
mod view;

/// What browsers load beside the pages.
mod assets;
/// What an operator can set.
mod settings;

pub use server::Console;
pub use settings::{DEFAULTS, Settings};
