//! The fields that a filter can ask for, on the page where one is typed.

use maud::{Markup, html};
use proto::pb;
use proto::pb::list_fields_response::Field;
use serde_json::json;
use wording::grouped;

use crate::view::curves::in_script;
use crate::view::written::version_name;
use crate::visitor::Visitor;

/// The fields of a version, and its catalog; none where they cannot be had.
pub(crate) async fn listed(
    visitor: &Visitor,
    version: &str,
) -> pb::ListFieldsResponse {
    use pb::list_fields_request::Model;
    let request = pb::ListFieldsRequest {
        model: (!version.is_empty())
            .then(|| Model::ModelVersion(version_name(version))),
    };
    match visitor.services.fields(request).await {
        Ok(listed) => listed,
        // The list itself says what is wrong.
        Err(error) => {
            tracing::debug!(%error, "fields cannot be listed");
            pb::ListFieldsResponse::default()
        }
    }
}

/// A table for people, and the same for the script that completes what is typed.
pub(crate) fn fields(listed: &[Field]) -> Markup {
    let known: Vec<_> = listed
        .iter()
        .map(|field| json!({"name": field.name, "values": field.values}))
        .collect();
    html! {
        script type="application/json" id="fields" { (in_script(&known)) }
        @if !listed.is_empty() {
            details {
                summary { "Fields that a filter can ask for" }
                div.wide tabindex="0" role="group" aria-label="Fields" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Field" }
                                th scope="col" { "Kind" }
                                th scope="col" { "Items that have it" }
                                th scope="col" { "Most frequent values" }
                            }
                        }
                        tbody {
                            @for field in listed {
                                tr {
                                    th scope="row" { code { (field.name) } }
                                    td { (field.kind) }
                                    td { (grouped(field.n_items)) }
                                    td { @for value in &field.values { code { (value) } " " } }
                                }
                            }
                        }
                    }
                }
            }
        }
        script src="/assets/console.js" defer {}
    }
}
