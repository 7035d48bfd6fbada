//! `make chaos`: what is promised holds under faults of every kind.
#![allow(clippy::print_stderr, reason = "a command line tool")]

use std::process::ExitCode;

use e2e::Plan;

fn main() -> ExitCode {
    let plan = match Plan::parse(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    if e2e::run_chaos(&plan) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
