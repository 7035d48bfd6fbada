//! What tells two states apart. Numbers that only ever grow (epochs, beats, times)
//! are left out but for what is asked of them: whether they are the current
//! lease's. One that is not never will be again. Workers are alike, and so are
//! coordinators.

use domain::{Event, Job};

use super::PATIENCE;
use super::world::{Request, TERM, Worker, World};

/// A state, as far as it decides what may follow.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(Vec<u8>);

impl Key {
    pub(super) fn of(world: &World) -> Self {
        let one = Self::in_order(world, [0, 1]);
        let other = Self::in_order(world, [1, 0]);
        one.min(other)
    }

    fn in_order(world: &World, order: [usize; 2]) -> Self {
        let mut bytes = Vec::with_capacity(48);
        add_job(&mut bytes, &world.job);
        bytes.push(world.published.len() as u8);
        bytes.push(u8::from(world.is_cancelled));
        let mut workers = world.workers.map(worker_byte);
        workers.sort_unstable();
        bytes.extend(workers);
        for coordinator in order {
            bytes.push(coordinator_byte(world, coordinator));
        }

        let mut requests: Vec<[u8; 2]> = Vec::new();
        for request in &world.requests {
            requests.push(request_bytes(request, order));
        }
        requests.sort_unstable();
        for request in requests {
            bytes.extend(request);
        }

        Self(bytes)
    }
}

fn add_job(bytes: &mut Vec<u8>, job: &Job) {
    let lease = job.lease.as_ref();
    let n_beats = lease.map_or(0, |lease| 1 + lease.n_beats.min(1) as u8);
    bytes.extend([
        job.state as u8,
        n_beats,
        u8::from(!job.pause().is_zero()),
        job.failures as u8,
        is_under_way(job.progress.done),
        u8::from(job.checkpoint.is_some()),
        job.cause.as_ref().map_or(0, |cause| 1 + cause.kind as u8),
        u8::from(job.waits.is_late),
        u8::from(job.open_deadline_ms().is_some()),
    ]);
    if let Some(losses) = &job.losses {
        bytes.extend([
            1,
            losses.in_stage as u8,
            losses.in_all as u8,
            u8::from(losses.stage.is_empty()),
            is_under_way(losses.done),
            u8::from(losses.checkpoint.is_some()),
        ]);
    }
    if let Some(outage) = &job.outage {
        let passed_ms = job.updated_ms.max(job.not_before_ms);
        let passed_ms = passed_ms.saturating_sub(outage.latest_ms);
        let most_ms = PATIENCE.as_millis() as i64;
        bytes.extend([
            2,
            (outage.spent_ms.min(most_ms) / 1_000) as u8,
            (passed_ms.clamp(0, most_ms) / 1_000) as u8,
            ((outage.next_ms - outage.latest_ms) / 1_000) as u8,
            outage.n_attempts.min(3) as u8,
        ]);
    }
}

fn is_under_way(done: f64) -> u8 {
    u8::from(done > 0.0)
}

fn worker_byte(worker: Worker) -> u8 {
    match worker {
        Worker::Asks => 0,
        Worker::Holds { is_told, .. } => 1 + u8::from(is_told),
    }
}

/// Whether a coordinator has seen the lease as it is, and whether a term has
/// passed since. What it knows of another lease it forgets at its next look.
fn coordinator_byte(world: &World, coordinator: usize) -> u8 {
    let known = world.coordinators[coordinator].of(&world.job.id);
    let lease = world.job.lease.as_ref();
    let known = known.filter(|known| known.lease.as_ref() == lease);
    let known = known.filter(|known| known.lease.is_some());
    known.map_or(0, |known| 1 + u8::from(known.age > TERM))
}

fn request_bytes(request: &Request, order: [usize; 2]) -> [u8; 2] {
    let at = match request.at {
        None => 0,
        Some(coordinator) => 1 + order[coordinator] as u8,
    };
    [event_byte(&request.event), at]
}

fn event_byte(event: &Event) -> u8 {
    match event {
        Event::Leased { .. } => 0,
        Event::Heartbeat { progress, .. } => 1 + is_under_way(progress.done),
        Event::Checkpointed { .. } => 3,
        Event::Stopped { .. } => 4,
        Event::Released { .. } => 5,
        Event::Committed { .. } => 6,
        Event::LeaseEnded { .. } => 7,
        Event::Due => 9,
        Event::Followed { .. } => 10,
        Event::CannotFollow { .. } => 11,
        Event::DeadlinePassed => 12,
        Event::CancelRequested => 13,
        Event::RetryRequested => 14,
        Event::AttemptFailed { cause, .. } => 15 + cause.kind as u8,
    }
}
