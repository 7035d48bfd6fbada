//! Runs lanes until the schedule ends.

use std::any::Any;
use std::cell::Cell;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use crate::chaos::aim::Aim;
use crate::chaos::clocks::Clocks;
use crate::chaos::house;
use crate::chaos::inflict::{inflict, prepare};
use crate::chaos::plan::Plan;
use crate::chaos::promises::check;
use crate::chaos::report::{Outcome, Report, announce};
use crate::chaos::schedule::{Fault, Schedule};
use crate::chaos::site::{N_SPECS, Site};
use crate::chaos::volume::Volume;

/// No round takes longer.
const ROUND_TIME: Duration = Duration::from_secs(400);

/// Inflicts faults as a plan has it; true when every promise was kept.
pub fn run(plan: &Plan) -> bool {
    let has_clocks = Clocks::new().is_some();
    let (kinds, skipped) = plan.kinds.iter().partition(|kind| {
        (can_mount() || !kind.needs_volumes())
            && (has_clocks || !kind.needs_clocks())
    });
    let skipped: Vec<_> = skipped;
    announce(plan, &skipped);
    let versions = block_on(undisturbed_versions());
    let schedule = Schedule::new(plan, kinds);
    let report = Report::default();
    std::thread::scope(|scope| {
        for _ in 0..plan.n_lanes {
            scope.spawn(|| lane(&schedule, &versions, &report));
        }
    });
    report.conclude()
}

fn can_mount() -> bool {
    let folder = tempfile::tempdir().unwrap();
    Volume::mount(folder.path()).is_some()
}

/// What each specification gives when nothing happens.
async fn undisturbed_versions() -> Vec<String> {
    let mut site = Site::start().await;
    let mut versions = Vec::new();
    for spec in 0..N_SPECS {
        let job = site.submit(spec);
        versions.push(site.cluster.ended(&job).await.model_version);
    }
    versions
}

/// One fault after another. A site that broke a promise, or has had all
/// specifications, makes room for a new one.
fn lane(schedule: &Schedule, versions: &[String], report: &Report) {
    let mut site = None;
    while let Some(fault) = schedule.next() {
        let started = Instant::now();
        let at = site.take();
        // A thread of its own: what panics in it is a broken promise.
        let round = std::thread::scope(|scope| {
            let fault = &fault;
            let round = move || block_on(in_time(at, fault, versions));
            scope.spawn(round).join()
        });
        let (next, outcome) = match round {
            Ok(ended) => ended,
            Err(panic) => (None, broken(said(&*panic))),
        };
        site = next;
        report.add(&fault, started.elapsed(), &outcome);
    }
}

async fn in_time(
    site: Option<Site>,
    fault: &Fault,
    versions: &[String],
) -> (Option<Site>, Outcome) {
    let round = tokio::time::timeout(ROUND_TIME, async {
        if fault.kind.is_of_up() {
            return (site, house::round(fault, versions).await);
        }
        let site = match site.filter(|site| site.next_spec().is_some()) {
            Some(site) => site,
            None => Site::start().await,
        };
        round(site, fault, versions).await
    });
    let Ok(ended) = round.await else {
        return (None, broken(format!("nothing ends within {ROUND_TIME:?}")));
    };
    ended
}

async fn round(
    mut site: Site,
    fault: &Fault,
    versions: &[String],
) -> (Option<Site>, Outcome) {
    let spec = site.next_spec().expect("a site without one was replaced");
    prepare(&mut site, fault).await;
    let aim = Aim::before(&site);
    let job = site.submit(spec);
    let is_over = Cell::new(false);
    let mut ledger = std::mem::take(&mut site.ledger);
    let recording = ledger.record(site.cluster.histories(), &is_over);
    let inflicting = async {
        let is_hit = inflict(&mut site, &job, fault, &aim).await;
        is_over.set(true);
        is_hit
    };
    let (is_hit, ()) = tokio::join!(inflicting, recording);
    site.ledger = ledger;
    match check(&mut site, versions).await {
        Ok(()) => {
            let broken = None;
            (Some(site), Outcome { is_hit, broken })
        }
        Err(promise) => (None, broken(promise)),
    }
}

fn broken(promise: String) -> Outcome {
    Outcome {
        is_hit: true,
        broken: Some(promise),
    }
}

/// The words of a panic.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("something panicked").to_owned()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}
