//! Folders on file systems of their own (tmpfs), which can be full or read-only
//! for everybody, root as well.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::process::eventually;

/// A mounted file system; it goes when it is dropped.
#[derive(Debug)]
pub(super) struct Volume {
    path: PathBuf,
}

/// Room for all that a site stores.
const SIZE: &str = "size=768m";
/// Somebody may be writing for a moment, which no file system can be turned
/// read-only under.
const A_MOMENT: Duration = Duration::from_secs(10);

impl Volume {
    /// Mounts one; `None` where only others may.
    pub(super) fn mount(path: &Path) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", SIZE, "chaos"]).arg(path);
        let mounted = command.output().ok()?.status.success();
        let path = path.to_owned();
        mounted.then_some(Self { path })
    }

    /// Leaves no room but what is taken.
    pub(super) async fn fill(&self) {
        eventually("a file system is full", A_MOMENT, async || {
            let size = format!("remount,size={}k", self.kib_used());
            self.remount(&size).then_some(())
        })
        .await;
    }

    /// Takes no writes from now on.
    pub(super) async fn close(&self) {
        eventually("a file system is read-only", A_MOMENT, async || {
            self.remount("remount,ro").then_some(())
        })
        .await;
    }

    /// Has room, and takes writes.
    pub(super) fn mend(&self) {
        assert!(self.remount(&format!("remount,rw,{SIZE}")));
    }

    fn remount(&self, options: &str) -> bool {
        let mut command = Command::new("mount");
        command.args(["-o", options]).arg(&self.path);
        command.output().unwrap().status.success()
    }

    fn kib_used(&self) -> u64 {
        let mut command = Command::new("df");
        command.args(["-k", "--output=used"]).arg(&self.path);
        let Output { stdout, .. } = command.output().unwrap();
        let out = String::from_utf8(stdout).unwrap();
        let used: u64 = out.lines().last().unwrap().trim().parse().unwrap();
        // A size of nothing means no limit.
        used.max(4)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Processes that end in a moment may have files open.
        let mut command = Command::new("umount");
        drop(command.arg("-l").arg(&self.path).status());
    }
}
