//! All data sets.

use maud::{Markup, html};
use proto::pb;
use wording::grouped;

use crate::failure::Failure;
use crate::view::layout;
use crate::view::written::{id, minute, short};
use crate::visitor::Visitor;

/// What people call the data sets.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<pb::Dataset>);

impl Names {
    /// Those that can be had: a page is shown without names, too.
    pub(crate) async fn of(visitor: &Visitor) -> Self {
        match visitor.services.datasets().await {
            Ok(listed) => Self(listed.datasets),
            Err(error) => {
                tracing::debug!(%error, "data sets cannot be listed");
                Self::default()
            }
        }
    }

    /// A data set as people know it.
    pub(crate) fn shown(&self, name: &str) -> String {
        let found = self.0.iter().find(|dataset| dataset.name == name);
        match found {
            Some(dataset) => dataset.display_name.clone(),
            None => short(name),
        }
    }

    /// Each data set's name, and how people know it.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|dataset| {
            let day = minute(dataset.import_time);
            let shown = format!("{}, {day}", dataset.display_name);
            (dataset.name.as_str(), shown)
        })
    }
}

pub(crate) async fn page(visitor: Visitor) -> Result<Markup, Failure> {
    let listed = visitor.services.datasets().await?;
    Ok(layout::page(
        &visitor,
        "Data sets",
        &html! {
            h1 { "Data sets" }
            p { a.button href="/datasets/new" { "Import a file" } }
            @if !listed.unreadable.is_empty() {
                p.wrong {
                    "These cannot be read; importing the same data again makes them whole: "
                    (listed.unreadable.join(", "))
                }
            }
            @if listed.datasets.is_empty() {
                p.hint {
                    "There is no data set. " a href="/datasets/new" { "Import a file" } ", or "
                    code { "cllm4rec dataset import orders.csv --items products.csv" } "; "
                    code { "dataset check" } " shows beforehand what would be read."
                }
            } @else {
                (table(&listed.datasets))
            }
        },
    ))
}

fn table(datasets: &[pb::Dataset]) -> Markup {
    html! {
        div.wide tabindex="0" role="group" aria-label="Data sets" {
            table.numbers {
                thead {
                    tr {
                        th scope="col" { "Name" }
                        th scope="col" { "Catalog" }
                        th scope="col" { "Imported" }
                        th scope="col" { "Users" }
                        th scope="col" { "Items" }
                        th scope="col" { "Interactions" }
                        th scope="col" { "a user" }
                        th scope="col" { "Texts" }
                    }
                }
                tbody {
                    @for dataset in datasets {
                        tr {
                            th scope="row" {
                                a href=(format!("/datasets/{}", id(&dataset.name))) { (dataset.display_name) }
                            }
                            td { (dataset.catalog) }
                            td { (minute(dataset.import_time)) }
                            td { (grouped(dataset.n_users)) }
                            td { (grouped(dataset.n_items)) }
                            td { (grouped(n_interactions(dataset))) }
                            td { (per(n_interactions(dataset), dataset.n_users)) }
                            td { (grouped(dataset.n_texts)) }
                        }
                    }
                }
            }
        }
    }
}

pub(crate) fn n_interactions(dataset: &pb::Dataset) -> u64 {
    dataset.n_train + dataset.n_valid + dataset.n_test
}

/// How many of something each has on average.
pub(crate) fn per(n: u64, of: u64) -> String {
    format!("{:.1}", n as f64 / of.max(1) as f64)
}
