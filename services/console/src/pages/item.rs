//! One item: what is like it.

use axum::extract::{Path, Query};
use maud::{Markup, html};
use proto::pb;
use serde::Deserialize;

use crate::failure::Failure;
use crate::pages::try_it::shown;
use crate::view::layout;
use crate::view::written::{in_path, query, short, version_name};
use crate::visitor::Visitor;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    /// A version's id; empty: the live one.
    version: String,
}

pub(crate) async fn page(
    visitor: Visitor,
    Path(item): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    let version = version_name(&asked.version);
    let request = pb::SimilarItemsRequest {
        item_id: item.clone(),
        k: Some(20),
        model: (!asked.version.is_empty())
            .then_some(pb::similar_items_request::Model::ModelVersion(version)),
        ..Default::default()
    };
    let similar = visitor.services.similar(request).await?;
    let title = format!("Item {item}");
    Ok(layout::page(
        &visitor,
        &title,
        &html! {
            h1 { (title) }
            p {
                a.button href=(format!("/try?{}", query(&[("history", &item)]))) {
                    "What somebody gets who has only this"
                }
            }
            h2 { "Most like it" }
            p.hint { "By " (short(&similar.model_version)) ": the cosine of the items' rows." }
            ol.items {
                @for other in &similar.items {
                    li {
                        a href=(format!("/items/{}", in_path(&other.item_id))) { (shown(&other.title, &other.item_id)) }
                        " " span.quiet { (format!("{:.3}", other.score)) }
                    }
                }
            }
        },
    ))
}
