//! A file as rows of cells, whatever its form: what stands in it, before anybody
//! asks what it means.
//!
//! [`open`] finds the form from the first bytes; [`Table::sample`] shows the
//! first rows, [`Table::each_row`] gives all of them.

/// A value as a file has it.
mod cell;
/// How a text file separates its cells, found from its first lines.
mod dialect;
/// JSON objects as rows.
mod json;
/// Lines of text, with their numbers.
mod lines;
/// Saved scipy matrices as rows.
mod npz;
/// Objects of a JSON file, as text.
mod objects;
/// Parquet files as rows.
mod parquet;
/// Printed Python as JSON.
mod python;
/// Records of lines: separators, and quotes where there are any.
mod records;
/// Opens files: packed ones and other encodings too.
pub(crate) mod source;

use std::path::Path;

use crate::error::Error;
use crate::table::dialect::Dialect;
use crate::table::json::Json;
use crate::table::source::{Container, Source};

pub(crate) use cell::Cell;

/// A file that is read as rows.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) source: Source,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Delimited(Dialect),
    Json(Json),
    Parquet,
    Npz,
}

/// What is known of a file before it is opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hints<'a> {
    /// The form, where it is not to be found out.
    pub(crate) form: Option<FileForm>,
    /// What stands between two cells of a line.
    pub(crate) delimiter: Option<&'a str>,
    /// Names of the columns of a file without a header.
    pub(crate) columns: &'a [String],
    /// Names that people gave for columns: a header that has them is one.
    pub(crate) named: &'a [String],
}

/// The forms that a file can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileForm {
    Csv,
    Tsv,
    Json,
    Parquet,
    Npz,
}

/// The first rows of a table.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    pub(crate) names: Vec<String>,
    /// Cells in the order of `names`.
    pub(crate) rows: Vec<Vec<Cell<'static>>>,
}

impl Sample {
    /// The cells of one column.
    pub(crate) fn column(
        &self,
        position: usize,
    ) -> impl Iterator<Item = &Cell<'static>> {
        self.rows.iter().map(move |row| &row[position])
    }
}

/// Takes a row: its line and its cells, or why it has none. Says whether the
/// next one is wanted.
pub(crate) type TakeRow<'a> =
    &'a mut dyn FnMut(usize, Result<&[Cell<'_>], String>) -> bool;

/// Finds out what form a file has.
pub(crate) fn open(source: Source, hints: Hints<'_>) -> Result<Table, Error> {
    let form = match hints.form {
        Some(FileForm::Parquet) => Form::Parquet,
        Some(FileForm::Npz) => Form::Npz,
        Some(FileForm::Json) => Form::Json(Json::of(&source)?),
        Some(FileForm::Csv | FileForm::Tsv) => delimited(&source, hints)?,
        None => match source.container()? {
            Container::Parquet => Form::Parquet,
            Container::Npz => Form::Npz,
            Container::Json if hints.columns.is_empty() => {
                Form::Json(Json::of(&source)?)
            }
            Container::Json | Container::Text => delimited(&source, hints)?,
        },
    };
    refuse_hints_without_effect(&source, &form, hints)?;
    Ok(Table { source, form })
}

fn delimited(source: &Source, hints: Hints<'_>) -> Result<Form, Error> {
    Ok(Form::Delimited(dialect::find(source, hints)?))
}

fn refuse_hints_without_effect(
    source: &Source,
    form: &Form,
    hints: Hints<'_>,
) -> Result<(), Error> {
    let is_text = matches!(form, Form::Delimited(_));
    if is_text || (hints.delimiter.is_none() && hints.columns.is_empty()) {
        return Ok(());
    }
    Err(source.malformed(
        "`--delimiter` and `--columns` are for files of lines; this one names its own columns",
    ))
}

impl Table {
    /// The names of the columns and the first rows, at most `n`.
    pub(crate) fn sample(&self, n: usize) -> Result<Sample, Error> {
        if let Form::Json(json) = &self.form {
            return json.sample(&self.source, n);
        }
        let mut sample = Sample {
            names: self.names()?,
            rows: Vec::new(),
        };
        let names = sample.names.clone();
        self.each_row(&names, &mut |_, row| {
            if let Ok(cells) = row {
                let cells = cells.iter().cloned().map(Cell::into_owned);
                sample.rows.push(cells.collect());
            }
            sample.rows.len() < n
        })?;
        Ok(sample)
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        match &self.form {
            Form::Delimited(dialect) => Ok(dialect.names.clone()),
            Form::Json(_) => Ok(Vec::new()),
            Form::Parquet => parquet::names(&self.source),
            Form::Npz => Ok(npz::names()),
        }
    }

    /// Gives each row's cells of the columns that are wanted, in their order.
    /// Returns how many lines were no UTF-8.
    pub(crate) fn each_row(
        &self,
        wanted: &[String],
        take: TakeRow<'_>,
    ) -> Result<usize, Error> {
        match &self.form {
            Form::Delimited(dialect) => {
                dialect.each_row(&self.source, wanted, take)
            }
            Form::Json(json) => json.each_row(&self.source, wanted, take),
            Form::Parquet => parquet::each_row(&self.source, wanted, take),
            Form::Npz => npz::each_row(&self.source, wanted, take),
        }
    }

    /// What a reader of the summary should know of how the file was read.
    pub(crate) fn notes(&self) -> Vec<String> {
        match &self.form {
            Form::Delimited(dialect) => dialect.notes.clone(),
            Form::Json(_) | Form::Parquet | Form::Npz => Vec::new(),
        }
    }

    /// The file's path, as people know it.
    pub(crate) fn shown(&self) -> &Path {
        &self.source.shown
    }
}

/// Where each wanted column stands among `names`.
fn positions(names: &[String], wanted: &[String]) -> Vec<Option<usize>> {
    let mut found = Vec::with_capacity(wanted.len());
    for name in wanted {
        found.push(names.iter().position(|other| other == name));
    }
    found
}
