//! Wall clocks that are wrong: a library that is preloaded into services adds
//! to them what a file says.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// How wrong a clock is, in seconds.
const WRONG_S: i64 = 600;

/// The clocks of a site: one for all that is started with it, one for a second
/// coordinator.
#[derive(Debug)]
pub(super) struct Clocks {
    folder: TempDir,
}

/// Whose clock is meant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose {
    Site,
    SecondCoordinator,
}

impl Clocks {
    /// Right clocks; `None` where there is no C compiler.
    pub(super) fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("clock.c");
        std::fs::write(&source, include_str!("clock.c")).unwrap();
        let clocks = Self { folder };
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(clocks.library())
            .arg(&source)
            .status();
        compiled
            .is_ok_and(|status| status.success())
            .then_some(clocks)
    }

    /// What a process is started with that has one of these clocks.
    pub(super) fn environment(&self, whose: Whose) -> Vec<(String, String)> {
        let library = self.library().display().to_string();
        let file = self.file(whose).display().to_string();
        vec![
            ("LD_PRELOAD".to_owned(), library),
            ("CLOCK_OFFSET_FILE".to_owned(), file),
        ]
    }

    /// Makes a clock ten minutes fast or slow.
    pub(super) fn put_wrong(&self, whose: Whose, is_fast: bool) {
        let seconds = if is_fast { WRONG_S } else { -WRONG_S };
        std::fs::write(self.file(whose), seconds.to_string()).unwrap();
    }

    /// Makes a clock right.
    pub(super) fn put_right(&self, whose: Whose) {
        std::fs::write(self.file(whose), "0").unwrap();
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("clock.so")
    }

    fn file(&self, whose: Whose) -> PathBuf {
        self.folder.path().join(match whose {
            Whose::Site => "site",
            Whose::SecondCoordinator => "second-coordinator",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    #[test]
    fn a_process_has_the_time_that_its_clock_says() {
        let clocks = Clocks::new().expect("Rust links with `cc`, too");
        let told = || {
            let mut date = Command::new("date");
            date.arg("+%s").envs(clocks.environment(Whose::Site));
            let text = date.output().unwrap().stdout;
            let seconds = String::from_utf8(text).unwrap();
            UNIX_EPOCH + Duration::from_secs(seconds.trim().parse().unwrap())
        };
        let wrong = Duration::from_secs(WRONG_S as u64);
        let slack = Duration::from_secs(60);
        clocks.put_wrong(Whose::Site, true);
        assert!(told() > SystemTime::now() + wrong - slack);
        clocks.put_wrong(Whose::Site, false);
        assert!(told() < SystemTime::now() - wrong + slack);
        clocks.put_right(Whose::Site);
        assert!(told() > SystemTime::now() - slack);
    }
}
