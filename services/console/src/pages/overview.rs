//! How things are: what is live, what runs, what is wrong.

use std::time::{Duration, SystemTime};

use maud::{Markup, html};
use proto::pb;
use proto::pb::job::State;
use tonic::{Code, Status};
use wording::{bytes, grouped};

use crate::failure::{Failure, said};
use crate::pages::models::{dataset_name, labelled};
use crate::view::job::{place, progress};
use crate::view::layout;
use crate::view::metrics::{better_method, lift, table};
use crate::view::written::{id, minute, percent, short};
use crate::visitor::Visitor;

pub(crate) async fn page(visitor: Visitor) -> Result<Markup, Failure> {
    let now = Now::of(&visitor).await?;
    Ok(layout::page(
        &visitor,
        "Overview",
        &html! {
            h1 { "Overview" }
            div hx-get="/overview/now" hx-trigger="every 5s" { (now.markup()) }
        },
    ))
}

/// The page's inside, which it fetches again every few seconds.
pub(crate) async fn now(visitor: Visitor) -> Result<Markup, Failure> {
    Ok(Now::of(&visitor).await?.markup())
}

/// What the services say; a service that does not answer hides nothing of the
/// other.
struct Now {
    /// The live version, if there is one.
    live: Result<Option<pb::ModelVersion>, Status>,
    jobs: Result<Vec<pb::Job>, Status>,
    /// Those of the 20 newest failed jobs that changed within the last day.
    failed: Result<Vec<pb::Job>, Status>,
    serving: Result<pb::ServingStatus, Status>,
}

impl Now {
    async fn of(visitor: &Visitor) -> Result<Self, Failure> {
        let services = &visitor.services;
        let of_state = |state: State| pb::ListJobsRequest {
            page_size: 20,
            state: state.into(),
            newest_first: true,
            ..Default::default()
        };
        let (live, running, queued, failed, serving) = futures::join!(
            labelled(visitor, "live"),
            services.jobs(of_state(State::Running)),
            services.jobs(of_state(State::Queued)),
            services.jobs(of_state(State::Failed)),
            services.serving(),
        );
        let jobs = running.and_then(|running| {
            let mut jobs = running.jobs;
            jobs.extend(queued?.jobs);
            Ok(jobs)
        });
        let now = Self {
            live,
            jobs,
            failed: failed.map(|failed| of_the_last_day(failed.jobs)),
            serving,
        };
        // Whoever may see nothing at all has to log in.
        for status in [now.jobs.as_ref().err(), now.serving.as_ref().err()] {
            if let Some(status) = status
                && status.code() == Code::Unauthenticated
            {
                return Err(Failure::from(status.clone()));
            }
        }
        Ok(now)
    }

    fn markup(&self) -> Markup {
        html! {
            section aria-labelledby="wrong" {
                h2 id="wrong" { "What is wrong" }
                (problems(&self.problems()))
            }
            section aria-labelledby="live" {
                h2 id="live" { "Live" }
                (self.live())
            }
            section aria-labelledby="running" {
                h2 id="running" { "Jobs that run or wait" }
                (self.running())
            }
            section aria-labelledby="traffic" {
                h2 id="traffic" { "The scorer's calls of the last minute" }
                (self.traffic())
            }
            section aria-labelledby="scorer" {
                h2 id="scorer" { "The scorer since its start" }
                (self.scorer())
            }
        }
    }

    /// What somebody should look at.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Err(status) = &self.jobs {
            problems.push(format!("The coordinator: {}", said(status)));
        } else if let Err(status) = &self.failed {
            problems.push(format!("Failed jobs: {}", said(status)));
        } else if let Err(status) = &self.live {
            problems.push(format!("The registry: {}", said(status)));
        }
        match &self.serving {
            Err(status) => {
                problems.push(format!("The scorer: {}", said(status)));
            }
            Ok(serving) => {
                for version in &serving.unloadable {
                    problems.push(format!(
                        "{} cannot be served: {}",
                        version.model_version, version.message
                    ));
                }
            }
        }
        for job in self.jobs.iter().flatten() {
            if !job.no_taker.is_empty() {
                problems.push(format!("{}: {}", job.name, job.no_taker));
            }
            if let Some(cause) = &job.cause
                && job.outage.is_some()
            {
                problems.push(format!("{} waits: {}", job.name, cause.message));
            }
        }
        for job in self.failed.iter().flatten() {
            let cause = job.cause.as_ref().map_or("", |it| &it.message);
            problems.push(format!(
                "{} failed at {}: {cause}",
                job.name,
                minute(job.update_time)
            ));
        }
        match &self.live {
            Ok(None) => problems
                .push("No version is live: nobody gets a list.".to_owned()),
            Err(_) => {}
            Ok(Some(live)) => {
                if let Some(method) = better_method(&live.metrics) {
                    problems.push(format!(
                        "The live version ranks worse than {method} did on the test split."
                    ));
                }
            }
        }
        problems
    }

    fn live(&self) -> Markup {
        let Ok(live) = &self.live else {
            return html! { p.hint { "Not known: the registry does not answer." } };
        };
        let Some(version) = live else {
            return html! {
                p.hint {
                    "Nothing is live. A job with the label " code { "live" }
                    " changes that: " a href="/jobs/new" { "train a model" }
                    ", or " code { "cllm4rec train submit --data orders.csv" } " (the first model becomes live by itself)" "."
                }
            };
        };
        html! {
            p.big { (lift(&version.metrics)) }
            p {
                a href=(format!("/models/{}", id(&version.name))) {
                    "Version " (short(&version.name))
                }
                ", trained " (minute(version.create_time)) " on "
                (dataset_name(version))
            }
            (table(&version.metrics))
        }
    }

    fn running(&self) -> Markup {
        let Ok(jobs) = &self.jobs else {
            return html! { p.hint { "Not known: the coordinator does not answer." } };
        };
        html! {
            @if jobs.is_empty() {
                p.hint {
                    "No job runs or waits. " a href="/jobs/new" { "Train a model" } "."
                }
            } @else {
                ul.plain {
                    @for job in jobs {
                        li {
                            (place(job))
                            " " (progress(job))
                        }
                    }
                }
            }
        }
    }

    fn traffic(&self) -> Markup {
        let Ok(serving) = &self.serving else {
            return html! { p.hint { "Not known: the scorer does not answer." } };
        };
        html! {
            @if serving.traffic.is_empty() {
                p.hint { "Nobody has called." }
            } @else {
                div.wide tabindex="0" role="group" aria-label="Calls of the last minute" {
                    table.numbers {
                        thead {
                            tr {
                                th scope="col" { "Call" }
                                th scope="col" { "a second" }
                                th scope="col" { "Median" }
                                th scope="col" { "99 of 100 within" }
                                th scope="col" { "Failed" }
                            }
                        }
                        tbody {
                            @for calls in &serving.traffic {
                                tr {
                                    th scope="row" { (calls.method) }
                                    td { (rate(calls.per_second)) }
                                    td { (milliseconds(calls.median_ms)) }
                                    td { (milliseconds(calls.p99_ms)) }
                                    td { (percent(calls.failed)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn scorer(&self) -> Markup {
        let Ok(serving) = &self.serving else {
            return html! { p.hint { "It does not answer." } };
        };
        let mut counters: Vec<_> = serving.counters.iter().collect();
        counters.sort();
        html! {
            @if serving.versions.is_empty() {
                p.hint { "No version is in memory." }
            } @else {
                p {
                    "In memory: "
                    @for (n, version) in serving.versions.iter().enumerate() {
                        @if n > 0 { ", " }
                        (short(&version.model_version))
                        " (" (bytes(version.memory_bytes))
                        @for label in &version.labels { ", " (served_as(label, serving.canary_share)) }
                        ")"
                    }
                }
            }
            @if !counters.is_empty() {
                dl.counters {
                    @for (name, count) in counters {
                        div { dt { (name) } dd { (grouped(*count)) } }
                    }
                }
            }
        }
    }
}

/// A label, and who gets the version that has it.
fn served_as(label: &str, canary_share: f64) -> String {
    match label {
        "canary" => {
            format!("canary for {} of the users", percent(canary_share))
        }
        label => label.to_owned(),
    }
}

/// How many a second; of few, what differs from none.
fn rate(per_second: f64) -> String {
    if per_second < 1.0 {
        format!("{per_second:.2}")
    } else {
        format!("{per_second:.1}")
    }
}

/// A time with two digits or more.
fn milliseconds(ms: f64) -> String {
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{ms:.0} ms")
    }
}

fn problems(problems: &[String]) -> Markup {
    html! {
        @if problems.is_empty() {
            p.fine { "Nothing." }
        } @else {
            div role="status" {
                ul.wrong { @for problem in problems { li { (problem) } } }
            }
        }
    }
}

/// The jobs that changed within the last day, by this machine's clock.
fn of_the_last_day(mut jobs: Vec<pb::Job>) -> Vec<pb::Job> {
    let day_ago = SystemTime::now() - Duration::from_secs(86_400);
    jobs.retain(|job| {
        let ended = job.update_time.and_then(|it| it.try_into().ok());
        ended.is_none_or(|ended: SystemTime| ended > day_ago)
    });
    jobs
}
