//! What happens to a job, as it happens: server-sent events, which the job's
//! page takes in.

use std::convert::Infallible;

use axum::extract::{Path, Query};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, stream};
use maud::{Markup, html};
use proto::pb;
use serde::Deserialize;
use tonic::Streaming;

use crate::failure::Failure;
use crate::pages::job::now;
use crate::view::curves::Curves;
use crate::view::written::{second, state};
use crate::visitor::Visitor;

/// A line of what happened.
pub(crate) fn event_line(event: &pb::JobEvent) -> Markup {
    let job = event.job.clone().unwrap_or_default();
    let state = state(job.state());
    // Some messages begin with it.
    let is_said = event.message.starts_with(state);
    html! {
        li {
            time { (second(event.time)) } " "
            @if !is_said { span.quiet { (state) } " " }
            (event.message)
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Start {
    /// The first event that the page does not have.
    #[serde(default)]
    from: u64,
}

/// The events `now` (what the page's head shows), `curves`, `line` and, once
/// the job has ended, `end`.
pub(crate) async fn events(
    visitor: Visitor,
    Path(wanted): Path<String>,
    Query(Start { from }): Query<Start>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    // A browser whose connection broke says what it had last.
    let last = headers.get("last-event-id");
    let last = last.and_then(|id| id.to_str().ok()?.parse::<u64>().ok());
    let from = last.map_or(from, |last| last + 1);
    let events = visitor.services.watch(&wanted, from).await?;
    let following = Following {
        events,
        next: from,
        n_epochs: None,
        has_ended: false,
        is_over: false,
    };
    let batches = stream::unfold(following, |mut following| async move {
        let events = following.next().await?;
        Some((stream::iter(events.into_iter().map(Ok)), following))
    });
    let events = futures::StreamExt::flatten(batches);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// A job that is followed.
struct Following {
    events: Streaming<pb::JobEvent>,
    /// The number of the first event that was not told.
    next: u64,
    /// Epochs of the curves that were told last.
    n_epochs: Option<usize>,
    /// What the latest event says.
    has_ended: bool,
    is_over: bool,
}

impl Following {
    /// What the page is told next; `None` after the end.
    async fn next(&mut self) -> Option<Vec<Event>> {
        if self.is_over {
            return None;
        }
        match self.events.message().await {
            Ok(Some(event)) => Some(self.told(&event)),
            Ok(None) if self.has_ended => {
                self.is_over = true;
                Some(vec![named("end", "ended")])
            }
            // The coordinator leaves; the browser asks again by itself.
            Ok(None) => None,
            // Here too.
            Err(error) => {
                tracing::debug!(%error, "a job is not followed any more");
                None
            }
        }
    }

    fn told(&mut self, event: &pb::JobEvent) -> Vec<Event> {
        let job = event.job.clone().unwrap_or_default();
        self.has_ended = job.state().is_final();
        let mut told = Vec::new();
        // Between two numbered events the latest number is repeated.
        if event.number >= self.next {
            self.next = event.number + 1;
            let line = named("line", &event_line(event).into_string());
            told.push(line.id(event.number.to_string()));
        }
        if job.progress.is_some() && !self.has_ended {
            told.push(named("now", &now(&job).into_string()));
        }
        // Most events repeat the epochs of the one before.
        let epochs = job.progress.as_ref().map(|it| it.epochs.len());
        if self.n_epochs != epochs {
            self.n_epochs = epochs;
            let curves = serde_json::to_string(&[Curves::of(&job)]);
            let curves = curves.expect("curves are plain text and numbers");
            told.push(named("curves", &curves));
        }
        told
    }
}

fn named(name: &str, data: &str) -> Event {
    Event::default().event(name).data(data)
}
