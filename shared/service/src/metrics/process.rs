//! What the operating system knows of the process, by the names that
//! Prometheus's own clients use.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::metrics::reading::{Measure, Measurement};

/// The process that asks.
#[derive(Debug)]
pub(super) struct Process {
    started: SystemTime,
}

impl Process {
    pub(super) fn started_now() -> Self {
        Self {
            started: SystemTime::now(),
        }
    }
}

/// Of Linux on the machines that are supported.
const PAGE_BYTES: f64 = 4_096.0;
/// Units of CPU time in a second, the same.
const TICKS_A_SECOND: f64 = 100.0;

impl Measure for Process {
    fn measurements(&self) -> Vec<Measurement> {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // A program's name may hold anything; the numbers are behind it.
        let numbers = stat.rsplit(')').next().unwrap_or_default();
        let numbers: Vec<f64> = numbers
            .split_whitespace()
            .skip(1)
            .map(|number| number.parse().unwrap_or_default())
            .collect();
        let number =
            |place: usize| numbers.get(place).copied().unwrap_or_default();
        // `man 5 proc`: utime and stime are fields 14 and 15, num_threads 20,
        // rss 24; the first number here is field 4.
        let seconds = (number(10) + number(11)) / TICKS_A_SECOND;
        let n_files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let started = self.started.duration_since(UNIX_EPOCH);
        vec![
            Measurement::counter(
                "process_cpu_seconds",
                "Processor time of the process, in seconds",
                seconds,
            ),
            Measurement::gauge(
                "process_threads",
                "Threads of the process",
                number(16),
            ),
            Measurement::gauge(
                "process_resident_memory_bytes",
                "Memory of the process, in bytes",
                number(20) * PAGE_BYTES,
            ),
            Measurement::gauge(
                "process_open_fds",
                "Open files and connections",
                n_files as f64,
            ),
            Measurement::gauge(
                "process_start_time_seconds",
                "When the process started, in seconds since 1970-01-01 UTC",
                started.map_or(0.0, |time| time.as_secs_f64()),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_has_memory_time_threads_and_files() {
        let of = |name: &str| {
            let measured = Process::started_now().measurements();
            let found = measured.iter().find(|one| one.name == name).unwrap();
            found.readings[0].value
        };
        let mut sum = 0_u64;
        while of("process_cpu_seconds") < 0.02 {
            sum = sum.wrapping_add(1);
        }
        assert!(sum > 0);
        let memory = of("process_resident_memory_bytes");
        assert!((1e6..1e10).contains(&memory), "{memory}");
        assert!(of("process_threads") >= 2.0);
        assert!(of("process_open_fds") >= 3.0);
    }
}
