//! Every order in which two workers, two coordinators over one store and a lossy
//! network can meet, over the functions that decide: [`domain::Job::apply`] by way
//! of `step`, and `Leases`, each coordinator's stopwatch. Nothing is drawn: all
//! states that can be reached are looked at, the shortest ways first.
//!
//! Epochs and heartbeats count up for ever. Two states are the same where they
//! differ only in numbers that are compared with the current lease and are not it
//! (`key.rs`), so there is an end to them.

/// What tells two states apart.
mod key;
/// What must be true of every change and of every state.
mod promises;
/// What may happen next.
mod steps;
/// One job and everybody who works on it.
mod world;

use std::collections::HashMap;
use std::time::Duration;

use domain::CauseKind;

use key::Key;
use steps::{Next, Who};
use world::World;

/// How long a job waits for what is out of reach: two pauses of a second.
const PATIENCE: Duration = Duration::from_secs(2);
/// Attempts that may fail by what they meet.
const MAX_ATTEMPTS: u32 = 2;

/// More states than a few seconds suffice for: one of them counts up for ever.
const MOST_STATES: usize = 300_000;

/// What may happen in an exploration beside leases, heartbeats, commits and
/// lost workers.
#[derive(Debug, Clone, Default)]
struct Scope {
    /// Requests that are on their way or being served at once.
    n_requests: usize,
    /// A checkpoint is stored.
    has_checkpoint: bool,
    /// How attempts fail.
    causes: Vec<CauseKind>,
    /// Somebody cancels, and tries again.
    has_user: bool,
    /// There is a deadline, which passes at any moment.
    has_deadline: bool,
    /// The job takes calls whatever their epoch: the promises are broken.
    ignores_epochs: bool,
}

/// A state that was reached, and how.
struct Reached {
    /// Its place, and the step that led here; none for the first.
    from: Option<usize>,
    step: String,
    is_final: bool,
}

/// A step from one state to another.
struct Edge {
    from: usize,
    to: usize,
    who: Who,
}

/// Everything that can be reached.
#[derive(Default)]
struct Explored {
    reached: Vec<Reached>,
    edges: Vec<Edge>,
    known: HashMap<Key, usize>,
}

impl Explored {
    /// Looks at all states; panics at the first broken promise, with the steps
    /// that lead there.
    fn all(scope: &Scope) -> Self {
        let mut explored = Self::default();
        let first = World::new(scope);
        let mut frontier = std::collections::VecDeque::new();
        explored.known.insert(Key::of(&first), 0);
        explored.reached.push(Reached::first());
        frontier.push_back(first);
        let mut at = 0;
        while let Some(world) = frontier.pop_front() {
            let n = explored.reached.len();
            assert!(n < MOST_STATES, "{scope:?} does not end, at {world:#?}");
            for next in world.next_steps(scope) {
                if let Some(new) = explored.arrive(at, next) {
                    frontier.push_back(new);
                }
            }
            at += 1;
        }

        explored
    }

    /// Notes a step; returns the state that it leads to where that is new.
    fn arrive(&mut self, from: usize, next: Next) -> Option<World> {
        let Next {
            world, step, who, ..
        } = next;
        let n_known = self.reached.len();
        let to = *self.known.entry(Key::of(&world)).or_insert(n_known);
        self.edges.push(Edge { from, to, who });
        let mut broken = next.broken;
        if to == n_known {
            broken = broken.or_else(|| promises::broken(&world));
        }

        if let Some(broken) = broken {
            let way = self.way_to(from);
            panic!("{broken}\nafter\n{way}{step}\nin {world:#?}");
        }

        if to < n_known {
            return None;
        }

        self.reached.push(Reached {
            from: Some(from),
            step,
            is_final: world.job.state.is_final(),
        });
        Some(world)
    }

    /// The steps that lead to a state, one a line.
    fn way_to(&self, mut place: usize) -> String {
        let mut steps = Vec::new();
        while let Some(from) = self.reached[place].from {
            steps.push(format!("{}\n", self.reached[place].step));
            place = from;
        }
        steps.reverse();
        steps.concat()
    }

    /// Requires that from every state an end can be reached, by the steps of
    /// those alone.
    fn require_an_end_by(&self, by: &[Who]) {
        let mut before: Vec<Vec<usize>> = Vec::new();
        before.resize_with(self.reached.len(), Vec::new);
        for edge in self.edges.iter().filter(|edge| by.contains(&edge.who)) {
            before[edge.to].push(edge.from);
        }

        let mut ends: Vec<bool> = Vec::new();
        ends.extend(self.reached.iter().map(|reached| reached.is_final));
        let mut open: Vec<usize> = Vec::new();
        open.extend((0..ends.len()).filter(|place| ends[*place]));
        while let Some(place) = open.pop() {
            for from in &before[place] {
                if !ends[*from] {
                    ends[*from] = true;
                    open.push(*from);
                }
            }
        }

        if let Some(stuck) = ends.iter().position(|ends| !ends) {
            let way = self.way_to(stuck);
            panic!("no end can be reached by {by:?} after\n{way}");
        }
    }
}

impl Reached {
    fn first() -> Self {
        Self {
            from: None,
            step: String::new(),
            is_final: false,
        }
    }
}

#[allow(clippy::print_stdout, reason = "what a test found")]
fn explore(name: &str, scope: &Scope) {
    let started = std::time::Instant::now();
    let explored = Explored::all(scope);
    // Nobody has to help, and workers may be lost one after the other.
    explored.require_an_end_by(&[Who::Service, Who::Work, Who::Loss]);
    explored.require_an_end_by(&[Who::Service, Who::Loss]);
    let n_states = explored.reached.len();
    let n_steps = explored.edges.len();
    let took = started.elapsed();
    println!(
        "{name}: {n_states} states, {n_steps} steps between them, {took:?}"
    );
}

#[test]
fn every_order_of_leases_calls_and_losses_keeps_the_promises() {
    let scope = Scope {
        n_requests: 2,
        has_checkpoint: true,
        ..Scope::default()
    };
    explore("leases, commits and losses", &scope);
}

#[test]
fn every_order_of_failures_and_wrong_clocks_keeps_the_promises() {
    let scope = Scope {
        n_requests: 1,
        has_checkpoint: true,
        causes: vec![CauseKind::Internal, CauseKind::Unavailable],
        ..Scope::default()
    };
    explore("failures and wrong clocks", &scope);
}

#[test]
fn every_order_of_cancels_retries_and_deadlines_keeps_the_promises() {
    let scope = Scope {
        n_requests: 2,
        has_user: true,
        has_deadline: true,
        ..Scope::default()
    };
    explore("a user and a deadline", &scope);
}

#[test]
#[should_panic(expected = "it came too late and was taken")]
fn a_job_that_ignores_epochs_is_found_out() {
    let scope = Scope {
        n_requests: 1,
        ignores_epochs: true,
        ..Scope::default()
    };
    explore("epochs ignored", &scope);
}
