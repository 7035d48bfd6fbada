//! A small file becomes a data set: first what would be read of it, then the
//! import itself.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Multipart;
use axum::extract::multipart::{Field, MultipartError};
use futures::Stream;
use maud::{Markup, html};
use proto::pb;
use proto::pb::import_dataset_request::{Columns, Dates, Options, Part, Split};
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::{Code, Status};
use wording::grouped;

use crate::failure::{Failure, said};
use crate::pages::dataset::described;
use crate::view::layout::{self, form_key};
use crate::view::written::id;
use crate::visitor::Visitor;

/// Bytes of the longest form: the two files that the coordinator takes, and
/// their fields.
pub(crate) const LONGEST: usize = 33 << 20;
/// Bytes of the longest field that is no file.
const LONGEST_FIELD: usize = 1_000;
/// Bytes of a piece of a file on its way to the coordinator.
const PIECE: usize = 128 << 10;
/// How long a form may take to come.
const PATIENCE: Duration = Duration::from_secs(120);
/// Forms that are held in memory at a time.
static UPLOADS: Semaphore = Semaphore::const_new(2);

/// Columns that a file may call what no reader would guess.
const COLUMNS: [(&str, &str); 8] = [
    ("user", "User's id"),
    ("item", "Item's id"),
    ("timestamp", "Time"),
    ("rating", "Rating"),
    ("split", "Split"),
    ("text", "Review"),
    ("title", "Title (items)"),
    ("category", "Category (items)"),
];

pub(crate) async fn page(visitor: Visitor) -> Result<Markup, Failure> {
    // Whoever may not log in finds out before they have filled in the form.
    visitor.services.versions("").await?;
    Ok(filled(&visitor, &Markup::default()))
}

fn filled(visitor: &Visitor, answer: &Markup) -> Markup {
    layout::page(
        visitor,
        "Import a file",
        &html! {
            h1 { "Import a file" }
            p.hint {
                "Text of up to 32 MiB: csv, tsv, json or jsonl, a line for each interaction. What the columns mean is found out. "
                "Larger files, folders and other forms: " code { "cllm4rec dataset import" } "."
            }
            form.stack method="post" action="/datasets" enctype="multipart/form-data"
                hx-post="/datasets" hx-encoding="multipart/form-data" hx-target="#read" hx-select="#read" hx-swap="outerHTML show:#read:top" hx-disabled-elt="find button" {
                // The fields come before the files: what cannot be is found before these are sent on.
                (form_key(visitor))
                label for="name" { "Name; the file's where empty" }
                input name="name" id="name" maxlength="200";
                label for="catalog" { "Catalog: namespace of the item ids; " code { "default" } " where empty" }
                input name="catalog" id="catalog" maxlength="100";
                label for="split" { "Split into training, validation and test" }
                select name="split" id="split" {
                    option value="GIVEN" { "as a column says, at random where there is none" }
                    option value="RANDOM" { "at random" }
                    option value="LEAVE_LAST_OUT" { "each user's last item for the test, the one before for validation" }
                }
                label for="dates" { "Dates such as 03/04/2020" }
                select name="dates" id="dates" {
                    option value="" { "are found out" }
                    option value="DAY_FIRST" { "begin with the day" }
                    option value="MONTH_FIRST" { "begin with the month" }
                }
                label for="k_core" { "Users and items keep at least this many interactions" }
                input name="k_core" id="k_core" type="number" min="1" value="1";
                label for="min_rating" { "Leave out interactions rated lower" }
                input name="min_rating" id="min_rating" type="number" step="any";
                label.check {
                    input type="checkbox" name="replace" id="replace";
                    " An earlier data set of this name may lose much of its interactions in the histories"
                }
                details {
                    summary { "Names of columns that are not to be guessed" }
                    div.grid {
                        @for (name, shown) in COLUMNS {
                            label { (shown) input name=(format!("column_{name}")) maxlength="200"; }
                        }
                    }
                }
                label for="interactions" { "Interactions" }
                input type="file" name="interactions" id="interactions" required;
                label for="items" { "Items, with titles and categories" }
                input type="file" name="items" id="items";
                div.row {
                    button name="what" value="check" formaction="/datasets/check" hx-post="/datasets/check"
                        hx-encoding="multipart/form-data" hx-target="#read" hx-select="#read" hx-swap="outerHTML show:#read:top" hx-disabled-elt="this" { "Say what would be read" }
                    button.main { "Import it" }
                }
            }
            div id="read" aria-live="polite" { (answer) }
            script src="/assets/console.js" defer {}
        },
    )
}

/// Says what would be read.
pub(crate) async fn check(
    visitor: Visitor,
    form: Multipart,
) -> Result<Markup, Failure> {
    send(&visitor, form, true).await
}

/// Imports.
pub(crate) async fn import(
    visitor: Visitor,
    form: Multipart,
) -> Result<Markup, Failure> {
    send(&visitor, form, false).await
}

async fn send(
    visitor: &Visitor,
    form: Multipart,
    validate_only: bool,
) -> Result<Markup, Failure> {
    // A stranger gets no place.
    visitor.services.versions("").await?;
    let form = tokio::time::timeout(PATIENCE, Form::read(visitor, form)).await;
    let form = form.map_err(|_| {
        Status::deadline_exceeded("the file did not come to its end")
    })??;
    let answer = match form {
        None => html! { p.wrong { "Choose a file with interactions." } },
        Some(mut form) => {
            form.options.validate_only = validate_only;
            let _until_answered = form.place.take();
            let messages = form.messages();
            match visitor.services.import_dataset(messages).await {
                Ok(answer) => answered(&answer),
                Err(status) if status.code() == Code::Unauthenticated => {
                    return Err(Failure::from(status));
                }
                Err(status) => html! { p.wrong { (said(&status)) } },
            }
        }
    };
    Ok(filled(visitor, &answer))
}

/// A form that has come whole.
#[derive(Default)]
struct Form {
    options: Options,
    interactions: Vec<Bytes>,
    items: Vec<Bytes>,
    /// Kept from the first piece of a file until all has been answered.
    place: Option<SemaphorePermit<'static>>,
}

impl Form {
    /// Takes a place for files; nothing of one is read before.
    fn take_place(&mut self) -> Result<(), Failure> {
        if self.place.is_none() {
            let place = UPLOADS.try_acquire();
            self.place = Some(place.map_err(|_| {
                Status::resource_exhausted(
                    "others are sending files: try again in a minute",
                )
            })?);
        }
        Ok(())
    }

    /// Reads a form; `None` where no file was chosen. Nothing of a file is read
    /// before it is known that the form is one of ours.
    async fn read(
        visitor: &Visitor,
        mut sent: Multipart,
    ) -> Result<Option<Self>, Failure> {
        let mut form = Self::default();
        let mut key = String::new();
        while let Some(field) =
            sent.next_field().await.map_err(|error| broken(&error))?
        {
            let name = field.name().unwrap_or_default().to_owned();
            match name.as_str() {
                "form_key" => key = text(field).await?,
                "interactions" => {
                    visitor.check(&key)?;
                    form.take_place()?;
                    form.options.file_name = file_name(&field);
                    form.interactions = pieces(field).await?;
                }
                "items" => {
                    visitor.check(&key)?;
                    form.take_place()?;
                    form.options.items_file_name = file_name(&field);
                    form.items = pieces(field).await?;
                }
                _ => {
                    let text = text(field).await?;
                    form.set(&name, text)?;
                }
            }
        }
        visitor.check(&key)?;
        let is_chosen = !form.options.file_name.is_empty();
        Ok(is_chosen.then_some(form))
    }

    fn set(&mut self, name: &str, text: String) -> Result<(), Failure> {
        let wrong = |what: &str| {
            let reason = format!("{name}: `{text}` is no {what}");
            Failure::from(Status::invalid_argument(reason))
        };
        if text.is_empty() {
            return Ok(());
        }
        match name {
            "name" => self.options.display_name = text,
            "catalog" => self.options.catalog = text,
            "split" => {
                let split = Split::from_str_name(&text);
                let split = split.ok_or_else(|| wrong("split"))?;
                self.options.split = split.into();
            }
            "dates" => {
                let dates = Dates::from_str_name(&text);
                let dates = dates.ok_or_else(|| wrong("order of a date"))?;
                self.options.dates = dates.into();
            }
            "replace" => self.options.replace = true,
            "k_core" => {
                let n = text.parse().map_err(|_| wrong("whole number"))?;
                self.options.k_core = Some(n);
            }
            "min_rating" => {
                let rating = text.parse().map_err(|_| wrong("number"))?;
                self.options.min_rating = Some(rating);
            }
            _ => {
                let columns = &mut self.options.columns;
                let columns = columns.get_or_insert_with(Columns::default);
                set_column(columns, name, text);
            }
        }
        Ok(())
    }

    /// The form as the coordinator takes it: the options, then the files piece
    /// by piece.
    fn messages(
        self,
    ) -> impl Stream<Item = pb::ImportDatasetRequest> + Send + 'static {
        let mut parts = vec![Part::Options(self.options)];
        for piece in pieces_of(&self.interactions) {
            parts.push(Part::Interactions(piece.to_vec()));
        }
        for piece in pieces_of(&self.items) {
            parts.push(Part::Items(piece.to_vec()));
        }
        let part = |part| pb::ImportDatasetRequest { part: Some(part) };
        futures::stream::iter(parts.into_iter().map(part))
    }
}

/// What came, in pieces that are not too large for a message.
fn pieces_of(came: &[Bytes]) -> impl Iterator<Item = &[u8]> {
    came.iter().flat_map(|bytes| bytes.chunks(PIECE))
}

fn set_column(columns: &mut Columns, field: &str, column: String) {
    match field {
        "column_user" => columns.user = column,
        "column_item" => columns.item = column,
        "column_timestamp" => columns.timestamp = column,
        "column_rating" => columns.rating = column,
        "column_split" => columns.split = column,
        "column_text" => columns.text = column,
        "column_title" => columns.title = column,
        "column_category" => columns.category = column,
        // No field of our form.
        _ => {}
    }
}

fn file_name(field: &Field<'_>) -> String {
    field.file_name().unwrap_or_default().to_owned()
}

async fn pieces(mut field: Field<'_>) -> Result<Vec<Bytes>, Failure> {
    let mut pieces = Vec::new();
    while let Some(piece) =
        field.chunk().await.map_err(|error| broken(&error))?
    {
        pieces.push(piece);
    }
    Ok(pieces)
}

/// A field that is no file.
async fn text(mut field: Field<'_>) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    while let Some(piece) =
        field.chunk().await.map_err(|error| broken(&error))?
    {
        bytes.extend_from_slice(&piece);
        if bytes.len() > LONGEST_FIELD {
            return Err(Failure::from(Status::invalid_argument(
                "a field of the form is too long",
            )));
        }
    }
    String::from_utf8(bytes).map_err(|_| {
        Failure::from(Status::invalid_argument("a field is no text"))
    })
}

fn broken(error: &MultipartError) -> Failure {
    let text = error.body_text();
    Failure::from(Status::invalid_argument(format!(
        "the form cannot be read: {text} (files of up to 32 MiB together)"
    )))
}

/// What was read, or imported.
fn answered(answer: &pb::ImportDatasetResponse) -> Markup {
    let details = answer.details.clone().unwrap_or_default();
    let dataset = details.dataset.clone().unwrap_or_default();
    html! {
        @if dataset.name.is_empty() {
            h2 { "This would be read" }
            p.told { "Nothing is stored yet." }
        } @else {
            h2 { "Imported: " a href=(format!("/datasets/{}", id(&dataset.name))) { (dataset.display_name) } }
            p.fine {
                (grouped(answer.n_seeded)) " interactions are new in the histories"
                @if answer.n_replaced > 0 {
                    ", " (grouped(answer.n_replaced)) " of the earlier data set of this name were taken back"
                }
                ". " a href=(format!("/jobs/new?dataset={}", id(&dataset.name))) { "Train on it" } "."
            }
        }
        (described(&details))
    }
}
