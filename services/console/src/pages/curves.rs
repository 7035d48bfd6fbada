//! The curves of several jobs over each other.

use axum::extract::RawQuery;
use futures::future::try_join_all;
use maud::{Markup, html};
use tonic::Status;

use crate::failure::Failure;
use crate::view::curves::{Curves, charts};
use crate::view::job::place;
use crate::view::layout;
use crate::view::metrics::lift;
use crate::view::written::minute;
use crate::visitor::Visitor;

/// Jobs whose curves can be told from each other by eye.
const MOST: usize = 8;

pub(crate) async fn page(
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Result<Markup, Failure> {
    let query = query.unwrap_or_default();
    let mut wanted = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if name == "job" {
            wanted.push(value.into_owned());
        }
    }
    if wanted.is_empty() || wanted.len() > MOST {
        return Err(Failure::from(Status::invalid_argument(format!(
            "choose 1 to {MOST} jobs: {} were chosen",
            wanted.len()
        ))));
    }
    let jobs = wanted.iter().map(|job| visitor.services.job(job));
    let jobs = try_join_all(jobs).await?;
    let curves: Vec<Curves> = jobs.iter().map(Curves::of).collect();
    Ok(layout::page(
        &visitor,
        "Curves",
        &html! {
            link rel="stylesheet" href="/assets/uplot.min.css";
            script src="/assets/uplot.min.js" defer {}
            script src="/assets/console.js" defer {}
            h1 { "Curves of " (jobs.len()) " jobs" }
            ul.plain {
                @for job in &jobs {
                    li {
                        (place(job))
                        " " (minute(job.create_time)) ", " (lift(&job.metrics))
                    }
                }
            }
            (charts(&curves))
        },
    ))
}
