//! What may happen next: anybody may do anything that is theirs to do, or never
//! do it, or be gone; a call may be lost, late, or heard twice.

use std::collections::BTreeMap;
use std::rc::Rc;

use domain::{
    ArtifactId, Cause, CauseKind, Event, Job, ModelVersion, Progress, State,
};

use super::world::{Request, TERM, Worker, World};
use super::{PATIENCE, Scope, promises};
use crate::error::Error;
use crate::step::step;

/// Whose doing a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// The coordinators and the network.
    Service,
    /// A worker that goes on or leaves in good order.
    Work,
    /// A worker that is gone, and a stopwatch that runs out.
    Loss,
    /// Somebody who asks for something.
    User,
}

/// What may come next.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) world: World,
    /// What happens, for people.
    pub(super) step: String,
    pub(super) who: Who,
    /// The promise that it breaks.
    pub(super) broken: Option<String>,
}

/// A clock that is right, ten minutes behind, and ten minutes ahead.
const CLOCKS_MS: [i64; 3] = [0, -600_000, 600_000];

impl World {
    /// Lists what may come next.
    pub(super) fn next_steps(&self, scope: &Scope) -> Vec<Next> {
        let mut next = Vec::new();
        let is_full = self.requests.len() >= scope.n_requests;
        if !is_full {
            self.workers_call(scope, &mut next);
            self.coordinators_act(&mut next);
            self.others_call(scope, &mut next);
        }

        self.workers_vanish(&mut next);
        self.coordinators_look(is_full, &mut next);
        for place in 0..self.requests.len() {
            self.request_goes_on(place, &mut next);
        }

        next
    }

    /// This state with one more request, unless the same is there.
    fn ask(&self, request: Request, who: Who, next: &mut Vec<Next>) {
        let is_there = self.requests.iter().any(|other| {
            other.event == request.event && other.at == request.at
        });
        if is_there {
            return;
        }

        let step = format!("asked for: {:?}", request.event);
        let mut world = self.fork();
        world.requests.push(request);
        next.push(Next::new(world, step, who));
    }

    fn workers_call(&self, scope: &Scope, next: &mut Vec<Next>) {
        for worker in self.workers {
            let Worker::Holds { epoch, is_told } = worker else {
                continue;
            };
            for (stage, done) in [("", 0.0), ("finetuning", 0.5)] {
                let event = heartbeat(epoch, stage, done);
                self.ask(Request::sent(event), Who::Work, next);
            }
            if scope.has_checkpoint {
                let checkpoint = ArtifactId::new("c").expect("an id");
                let event = Event::Checkpointed { epoch, checkpoint };
                self.ask(Request::sent(event), Who::Work, next);
            }
            for kind in &scope.causes {
                let event = failed(epoch, *kind);
                self.ask(Request::sent(event), Who::Work, next);
            }
            if is_told {
                let event = Event::Stopped { epoch };
                self.ask(Request::sent(event), Who::Work, next);
            }
            let event = Event::Released { epoch };
            self.ask(Request::sent(event), Who::Work, next);
            self.ask(Request::sent(committed(epoch)), Who::Work, next);
        }
    }

    /// Workers are killed, or take it that they lost their lease.
    fn workers_vanish(&self, next: &mut Vec<Next>) {
        for place in 0..self.workers.len() {
            if self.workers[place] != Worker::Asks {
                let mut world = self.fork();
                world.workers[place] = Worker::Asks;
                let step = format!("worker {place} is gone");
                next.push(Next::new(world, step, Who::Loss));
            }
        }
    }

    /// Coordinators give the job out, or let it go on after its pause.
    fn coordinators_act(&self, next: &mut Vec<Next>) {
        let is_queued = self.job.state == State::Queued;
        let is_pausing = !self.job.pause().is_zero();
        let is_wanted = self.workers.contains(&Worker::Asks);
        for coordinator in 0..self.coordinators.len() {
            if is_queued && is_pausing {
                let request = Request::of(coordinator, Event::Due);
                self.ask(request, Who::Service, next);
            } else if is_queued && is_wanted {
                let leased = Event::Leased {
                    worker: "w".to_owned(),
                    term: TERM,
                };
                let request = Request::of(coordinator, leased);
                self.ask(request, Who::Service, next);
            }
            if self.job.open_deadline_ms().is_some() {
                let event = Event::DeadlinePassed;
                self.ask(Request::of(coordinator, event), Who::User, next);
            }
        }
    }

    fn others_call(&self, scope: &Scope, next: &mut Vec<Next>) {
        if scope.has_user {
            for event in [Event::CancelRequested, Event::RetryRequested] {
                self.ask(Request::sent(event), Who::User, next);
            }
        }
    }

    /// A coordinator looks at the job, more than a term after it last did; or it
    /// is started again and knows nothing. A look that comes earlier finds no
    /// more than this one does where the lease is new to it.
    fn coordinators_look(&self, is_full: bool, next: &mut Vec<Next>) {
        for coordinator in 0..self.coordinators.len() {
            let mut world = self.fork();
            world.coordinators[coordinator] = Default::default();
            let step = format!("coordinator {coordinator} begins anew");
            next.push(Next::new(world, step, Who::Service));

            let mut world = self.fork();
            let ended = world.look(coordinator);
            let step = format!("coordinator {coordinator} looks: {ended:?}");
            if let Some(event) = ended.filter(|_| !is_full) {
                world.ask(Request::of(coordinator, event), Who::Loss, next);
            }
            next.push(Next::new(world, step, Who::Loss));
        }
    }

    /// What the sweep does (`sweep.rs`).
    fn look(&mut self, coordinator: usize) -> Option<Event> {
        let leases = &self.coordinators[coordinator];
        let id = self.job.id.clone();
        let leased = self.job.lease.is_some().then_some(id);
        let leased: Vec<_> = leased.into_iter().collect();
        let unheard = leases.grow_older(&leased, 2 * TERM, TERM / 2);
        if unheard.is_empty() {
            return None;
        }

        let job = Job::clone(&self.job);
        let ended = leases.ended(&[job], TERM);
        ended.into_iter().map(|(_, event)| event).next()
    }

    /// A request is lost, or a coordinator writes what comes of it. One that
    /// read the job before another writer changed it reads it again: what
    /// counts is the job as it is when the write succeeds.
    fn request_goes_on(&self, place: usize, next: &mut Vec<Next>) {
        let request = &self.requests[place];
        let what = &request.event;
        let mut lost = self.fork();
        lost.requests.remove(place);
        next.push(Next::new(lost, format!("lost: {what:?}"), Who::Service));

        let coordinators = match request.at {
            Some(coordinator) => coordinator..coordinator + 1,
            None => 0..self.coordinators.len(),
        };
        for coordinator in coordinators {
            let mut world = self.fork();
            world.requests[place].at = Some(coordinator);
            world.written(place, next);
        }
    }

    fn written(&self, place: usize, next: &mut Vec<Next>) {
        let event = &self.requests[place].event;
        let meets_clock = matches!(event, Event::AttemptFailed { cause, .. }
            if cause.kind == CauseKind::Unavailable);
        let clocks = if meets_clock { &CLOCKS_MS[..] } else { &[0] };
        for clock_ms in clocks {
            let now_ms = self.now_ms() + clock_ms;
            let mut job = Job::clone(&self.job);
            match step(&mut job, event, now_ms) {
                Ok(_) => self.accepted(place, job, next),
                Err(Error::Refused(refused)) => {
                    let step = format!("{refused}: {event:?}");
                    let mut world = self.fork();
                    world.requests.remove(place);
                    let is_changed = job != *self.job;
                    let changed = "what was refused changed the job";
                    next.push(Next {
                        broken: is_changed.then(|| changed.to_owned()),
                        ..Next::new(world, step, Who::Service)
                    });
                }
                Err(error) => panic!("a step can only be refused: {error}"),
            }
        }
    }

    fn accepted(&self, place: usize, job: Job, next: &mut Vec<Next>) {
        let mut world = self.fork();
        let request = world.requests.remove(place);
        let broken = promises::broken_by_change(&self.job, &request, &job);
        let step = format!("done: {:?}", request.event);
        let at = request.at.expect("somebody serves it");
        world.coordinators[at].heard(&job);
        world.job = Rc::new(job);
        world.is_cancelled |= request.event == Event::CancelRequested;
        world.is_cancelled &= request.event != Event::RetryRequested;
        if let Event::Committed { epoch, .. } = &request.event {
            world.published.push(*epoch);
        }

        world.forget_what_is_stale();

        if request.epoch().is_some() && request.epoch() == world.held_epoch() {
            // It comes once more, later.
            let mut twice = world.fork();
            let again = Request::sent(request.event.clone());
            twice.requests.push(again);
            let step = format!("{step}, and once more on its way");
            next.push(Next::new(twice, step, Who::Service));
        }

        if let Some(answered) = world.answered(&request.event) {
            let step = format!("{step}, and answered");
            next.push(Next::new(answered, step, Who::Service));
        }

        // Its answer is lost.
        next.push(Next {
            broken,
            ..Next::new(world, step, Who::Service)
        });
    }

    /// This state where the answer to a worker came through, if that changes
    /// anything.
    fn answered(&self, event: &Event) -> Option<World> {
        let mut world = self.fork();
        if let Event::Leased { .. } = event {
            let asks = |worker: &Worker| *worker == Worker::Asks;
            let place = world.workers.iter().position(asks)?;
            world.workers[place] = Worker::Holds {
                epoch: self.job.epoch(),
                is_told: false,
            };
            return Some(world);
        }

        let Event::Heartbeat { epoch: beat, .. } = event else {
            return None;
        };
        let is_to_stop = self.job.state == State::Cancelling;
        for worker in &mut world.workers {
            if let Worker::Holds { epoch, is_told } = worker
                && epoch == beat
            {
                *is_told |= is_to_stop;
            }
        }
        Some(world)
    }
}

impl Next {
    fn new(world: World, step: String, who: Who) -> Self {
        Self {
            world,
            step,
            who,
            broken: None,
        }
    }
}

pub(super) fn heartbeat(epoch: u64, stage: &str, done: f64) -> Event {
    let progress = Progress {
        stage: stage.to_owned(),
        done,
        ..Progress::default()
    };
    Event::Heartbeat {
        epoch,
        progress,
        term: TERM,
    }
}

pub(super) fn failed(epoch: u64, kind: CauseKind) -> Event {
    let message = String::new();
    Event::AttemptFailed {
        epoch,
        cause: Cause { kind, message },
        patience: PATIENCE,
    }
}

/// Each lease would publish a version of its own.
pub(super) fn committed(epoch: u64) -> Event {
    let version = ModelVersion::new(format!("v{epoch}")).expect("an id");
    Event::Committed {
        epoch,
        version,
        metrics: BTreeMap::new(),
    }
}
