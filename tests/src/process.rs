//! Child processes that die with the test.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

/// Longer than any grace period.
const LEAVE_TIME: Duration = Duration::from_secs(30);

/// A running binary; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a binary; its log goes to the test's standard error.
    pub fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).spawn();
        Self {
            child: child.unwrap_or_else(|error| {
                panic!("cannot start {command:?}: {error}")
            }),
        }
    }

    /// The id that the operating system gave it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill`: the program is not everywhere.
        let status = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -{name} {}", self.id()))
            .status()
            .unwrap();
        assert!(status.success(), "kill -{name}");
    }

    /// Asks it to leave (SIGTERM) and waits, while the test's own connections
    /// go on and can be closed; returns whether it left with success.
    pub async fn terminate(&mut self) -> bool {
        self.signal("TERM");
        let left = eventually("the process leaves", LEAVE_TIME, async || {
            self.child.try_wait().unwrap()
        });
        left.await.success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The path of one of the workspace's binaries, which `make test` builds first.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().unwrap();
    // Tests are in a folder beside the binaries.
    let is_test = folder.ends_with("deps");
    let profile = if is_test {
        folder.parent()
    } else {
        Some(folder)
    };
    let path = profile.unwrap().join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build --workspace --bins` first",
        path.display()
    );
    path
}

/// A port that nobody listens on. Each test process takes its own stretches
/// below the ports that outgoing connections get, and gives no port twice: one
/// that was just found free, or whose service is down for a moment, is not
/// taken by another before its service listens.
pub fn free_port() -> u16 {
    static OWN: Mutex<Own> = Mutex::new(Own {
        stretches: Vec::new(),
        n_given: 0,
    });
    OWN.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// The ports of this process.
struct Own {
    stretches: Vec<Stretch>,
    /// How many of the last stretch were given away.
    n_given: u16,
}

impl Own {
    fn next(&mut self) -> u16 {
        loop {
            let last = self.stretches.last();
            let Some(last) = last.filter(|_| self.n_given < Stretch::REST)
            else {
                self.stretches.push(Stretch::take());
                self.n_given = 0;
                continue;
            };
            self.n_given += 1;
            let port = last.first + self.n_given;
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
    }
}

/// Ports in a row that belong to one test process: whoever holds the first has
/// the others.
struct Stretch {
    first: u16,
    _held: TcpListener,
}

impl Stretch {
    const FIRST_OF_ALL: u16 = 10_000;
    const LENGTH: u16 = 50;
    /// Those beside the first.
    const REST: u16 = Self::LENGTH - 1;
    const N_STRETCHES: u32 = 440;

    fn take() -> Self {
        for nth in 0..Self::N_STRETCHES {
            let number = (std::process::id() + nth) % Self::N_STRETCHES;
            let first = Self::FIRST_OF_ALL + number as u16 * Self::LENGTH;
            if let Ok(held) = TcpListener::bind(("127.0.0.1", first)) {
                return Self { first, _held: held };
            }
        }
        panic!("all {} stretches of ports are taken", Self::N_STRETCHES);
    }
}

/// Looks again and again until `check` gives something; fails the test after
/// `within`.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut check: impl AsyncFnMut() -> Option<T>,
) -> T {
    let until = Instant::now() + within;
    let mut looks = interval(Duration::from_millis(20));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < until, "{what}: not within {within:?}");
    }
}
