//! What the command line of `make chaos` asks for.

use std::time::Duration;

use crate::chaos::kind::Kind;

/// How long faults are inflicted, and which.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the order of the faults and their moments follow from.
    pub seed: u64,
    /// No round begins after this time.
    pub time: Duration,
    /// How often each kind comes at most; 0: until the time is over.
    pub times: u64,
    /// How many sites there are at once.
    pub n_lanes: usize,
    pub(super) kinds: Vec<Kind>,
}

const USAGE: &str = "chaos [--seed N] [--minutes N] [--times N] [--lanes N] \
    [--only KIND]…: KIND is a kind, or how the names of several begin";

impl Plan {
    /// Reads a command line; what is wrong with it is said in the error.
    pub fn parse(
        arguments: impl Iterator<Item = String>,
    ) -> Result<Self, String> {
        let mut plan = Self {
            seed: u64::from(std::process::id()),
            time: Duration::from_secs(15 * 60),
            times: 0,
            n_lanes: 3,
            kinds: Vec::new(),
        };
        let mut arguments = arguments;
        while let Some(flag) = arguments.next() {
            let value = arguments.next();
            let value = value.ok_or_else(|| USAGE.to_owned())?;
            plan.set(&flag, &value)?;
        }
        if plan.kinds.is_empty() {
            plan.kinds = Kind::all();
        }
        plan.kinds.sort();
        plan.kinds.dedup();
        Ok(plan)
    }

    fn set(&mut self, flag: &str, value: &str) -> Result<(), String> {
        match flag {
            "--only" => return self.add_kinds(value),
            "--seed" => self.seed = number(flag, value)?,
            "--times" => self.times = number(flag, value)?,
            "--lanes" => self.n_lanes = number(flag, value)?.max(1) as usize,
            "--minutes" => {
                self.time = Duration::from_secs(60 * number(flag, value)?);
            }
            _ => return Err(format!("{flag} is unknown: {USAGE}")),
        }
        Ok(())
    }

    fn add_kinds(&mut self, name: &str) -> Result<(), String> {
        let mut kinds = Kind::all();
        kinds.retain(|kind| kind.to_string().starts_with(name));
        if kinds.is_empty() {
            let all: Vec<_> = Kind::all().iter().map(Kind::to_string).collect();
            return Err(format!(
                "no kind begins with {name:?}; there are {}",
                all.join(", ")
            ));
        }
        self.kinds.extend(kinds);
        Ok(())
    }
}

fn number(flag: &str, value: &str) -> Result<u64, String> {
    let number = value.parse();
    number.map_err(|_| format!("{flag} takes a whole number, not {value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Plan, String> {
        Plan::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn only_takes_the_beginning_of_names_and_refuses_unknown_ones() {
        let plan = parsed("--only damaged-in --only store --seed 7").unwrap();
        assert_eq!((plan.kinds.len(), plan.seed), (5, 7));
        assert!(parsed("--only nothing").unwrap_err().contains("deploy"));
        assert!(parsed("--seed x").is_err());
    }
}
