//! What must be true of every change and of every state.

use domain::{ArtifactId, CauseKind, Event, Job, Lease, ModelVersion, State};

use super::steps::{committed, failed, heartbeat};
use super::world::{Request, World};
use super::{MAX_ATTEMPTS, PATIENCE};

/// The promise that a change breaks.
pub(super) fn broken_by_change(
    before: &Job,
    request: &Request,
    after: &Job,
) -> Option<String> {
    let event = &request.event;
    if before.state.is_final() {
        let is_retry = *event == Event::RetryRequested;
        let has_model = before.state == State::Succeeded;
        if !is_retry || has_model {
            return Some(format!(
                "a job that had ended was changed: {event:?}"
            ));
        }
    }

    let lease = before.lease.as_ref();
    if let Some(epoch) = request.epoch()
        && lease.map(|lease| lease.epoch) != Some(epoch)
    {
        return Some(format!("a stale lease changed a job: {event:?}"));
    }

    if let Event::LeaseEnded { seen } = event
        && lease != Some(seen)
    {
        return Some("a lease ended that had been renewed".to_owned());
    }

    let is_leased = matches!(event, Event::Leased { .. });
    if is_leased && after.epoch() <= before.epoch() {
        return Some("two leases have the same epoch".to_owned());
    }

    let ends = !before.state.is_final() && after.state.is_final();
    (ends && after.state == State::Failed && !is_failure_due(after))
        .then(|| format!("it failed for no good reason: {:?}", after.cause))
}

/// Whether a job that has just failed had used up what its cause is taken from.
fn is_failure_due(job: &Job) -> bool {
    let Some(cause) = &job.cause else {
        return false;
    };
    match cause.kind {
        CauseKind::Internal | CauseKind::OutOfMemory => {
            job.failures == MAX_ATTEMPTS
        }
        CauseKind::Unavailable => job.outage.as_ref().is_some_and(|outage| {
            outage.spent_ms >= PATIENCE.as_millis() as i64
        }),
        CauseKind::WorkerCrashed => job
            .losses
            .as_ref()
            .is_some_and(|losses| losses.in_stage == 2 || losses.in_all == 3),
        CauseKind::DeadlinePassed => job.waits.is_late,
        CauseKind::BadData | CauseKind::BadBackbone | CauseKind::Diverged => {
            true
        }
        CauseKind::WorkerLost | CauseKind::DependencyFailed => false,
    }
}

/// The promise that a late call breaks: one with a lease that is over, or about
/// a lease that was renewed since.
fn broken_by_late_call(world: &World) -> Option<String> {
    let job = &world.job;
    let is_held = job.lease.is_some() && !world.ignores_epochs;
    let epoch = job.epoch().saturating_sub(u64::from(is_held));
    let checkpoint = ArtifactId::new("late").expect("an id");
    let over = Lease {
        worker: "w".to_owned(),
        epoch,
        until_ms: 0,
        n_beats: 0,
    };
    let mut late = vec![
        heartbeat(epoch, "", 0.0),
        failed(epoch, CauseKind::Internal),
        committed(epoch),
        Event::Stopped { epoch },
        Event::Released { epoch },
        Event::Checkpointed { epoch, checkpoint },
        Event::LeaseEnded { seen: over },
    ];
    if let Some(lease) = job.lease.as_ref().filter(|lease| lease.n_beats > 0) {
        let seen = Lease {
            n_beats: lease.n_beats - 1,
            ..lease.clone()
        };
        late.push(Event::LeaseEnded { seen });
    }

    for event in late {
        if let Event::Committed { version, .. } = &event
            && world.published.contains(&epoch)
                != job.was_committed(epoch, version)
        {
            let broken = "a repeated commit is not told from a late one";
            return Some(broken.to_owned());
        }

        let mut tried = Job::clone(job);
        if tried.apply(event.clone(), world.now_ms()).is_ok() || tried != **job
        {
            return Some(format!("it came too late and was taken: {event:?}"));
        }
    }

    None
}

/// The promise that a state breaks.
pub(super) fn broken(world: &World) -> Option<String> {
    let job = &world.job;
    let is_held = matches!(job.state, State::Running | State::Cancelling);
    let lease = job.lease.as_ref().map(|lease| lease.epoch);
    if lease != is_held.then(|| job.epoch()) {
        return Some("who holds the job does not fit its state".to_owned());
    }

    let has_model = job.state == State::Succeeded;
    let published: Vec<ModelVersion> = world
        .published
        .iter()
        .filter_map(|epoch| ModelVersion::new(format!("v{epoch}")).ok())
        .collect();
    if published.len() != usize::from(has_model)
        || job.version.as_ref() != published.first()
    {
        return Some(format!("published: {:?}", world.published));
    }

    if job.state == State::Cancelled && !world.is_cancelled {
        return Some("it was cancelled, and nobody asked for that".to_owned());
    }

    let is_without_cause = job.state == State::Failed && job.cause.is_none();
    if is_without_cause || (has_model && job.cause.is_some()) {
        return Some(format!("its cause is {:?}", job.cause));
    }

    if !job.state.is_final() && is_overdrawn(job) {
        return Some("it goes on with a budget that is used up".to_owned());
    }

    broken_by_late_call(world)
}

fn is_overdrawn(job: &Job) -> bool {
    let is_cancelling = job.state == State::Cancelling;
    let has_lost = job
        .losses
        .as_ref()
        .is_some_and(|losses| losses.in_stage >= 2 || losses.in_all >= 3);
    let has_waited = job
        .outage
        .as_ref()
        .is_some_and(|outage| outage.spent_ms >= PATIENCE.as_millis() as i64);
    !is_cancelling && (job.failures >= MAX_ATTEMPTS || has_lost || has_waited)
}
