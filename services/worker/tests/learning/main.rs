//! It really learns: each stage leaves something that the next one, or the
//! user, can use.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bench;

mod evaluation;
mod final_fit;
mod going_on;
mod hub;
mod resuming;
mod stages;
