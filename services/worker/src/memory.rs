//! The memory that this process may take.

use std::path::Path;

/// The machine's memory, or what its container may take of it, in bytes;
/// `None` where neither is said.
pub(crate) fn memory_bytes() -> Option<u64> {
    least(
        Path::new("/proc/meminfo"),
        Path::new("/sys/fs/cgroup/memory.max"),
    )
}

fn least(meminfo: &Path, container: &Path) -> Option<u64> {
    let of_container = std::fs::read_to_string(container).ok();
    // Without a limit it says `max`.
    let of_container = of_container.and_then(|told| told.trim().parse().ok());
    [of_machine(meminfo), of_container]
        .into_iter()
        .flatten()
        .min()
}

fn of_machine(meminfo: &Path) -> Option<u64> {
    let told = std::fs::read_to_string(meminfo).ok()?;
    let total = told.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = total.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_may_have_less_than_its_machine() {
        let folder = tempfile::tempdir().unwrap();
        let meminfo = folder.path().join("meminfo");
        let container = folder.path().join("memory.max");
        assert_eq!(least(&meminfo, &container), None);
        std::fs::write(&meminfo, "MemTotal:  16384 kB\nMemFree: 1 kB\n")
            .unwrap();
        assert_eq!(least(&meminfo, &container), Some(16 << 20));
        for (told, expected) in [("max\n", 16 << 20), ("8388608\n", 8 << 20)] {
            std::fs::write(&container, told).unwrap();
            assert_eq!(least(&meminfo, &container), Some(expected), "{told}");
        }
    }
}
