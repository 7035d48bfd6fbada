//! A list of recommended items.

use maud::{Markup, html};
use proto::pb;
use proto::pb::recommended_item::Source;
use wording::grouped;

use crate::view::written::{in_path, short, shown};

/// The items of an answer, with where they come from and why.
pub(crate) fn list(answer: &pb::RecommendResponse) -> Markup {
    html! {
        p.hint {
            "By " (short(&answer.model_version)) ", from " (answer.history_length)
            " items of the history, out of " (grouped(answer.n_scored.into()))
        }
        @for degradation in &answer.degradations {
            p.wrong { (degradation.message) }
        }
        @if answer.items.is_empty() {
            p.hint { "Nothing is left to recommend." }
        }
        ol.items {
            @for item in &answer.items {
                li {
                    a href=(format!("/items/{}", in_path(&item.item_id))) { (shown(&item.title, &item.item_id)) }
                    " " span.quiet { (source(item.source())) ", " (format!("{:.3}", item.score)) }
                    @if !item.reasons.is_empty() { (reasons(&item.reasons)) }
                }
            }
        }
    }
}

fn reasons(reasons: &[pb::Reason]) -> Markup {
    html! {
        ul.reasons {
            @for reason in reasons.iter().take(3) {
                li { (format!("{:+.3} ", reason.contribution)) (shown(&reason.title, &reason.item_id)) }
            }
        }
    }
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Unspecified => "",
        Source::Model => "language model",
        Source::CoOccurrence => "what others took with it",
        Source::Both => "language model and what others took",
        Source::ColdStart => "by its text",
        Source::Popularity => "popular",
        Source::Query => "the query",
    }
}
