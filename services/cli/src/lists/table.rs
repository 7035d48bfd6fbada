//! One row a recommended item, as Parquet, CSV or JSON lines.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use serde::{Deserialize, Serialize};

/// One item of somebody's list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Whose list it is: a user, or an item whose likes are listed.
    pub(crate) of: String,
    /// From 1.
    pub(crate) rank: u32,
    pub(crate) item_id: String,
    pub(crate) score: f32,
    /// Empty where the item has none.
    pub(crate) title: String,
    /// What the item was recommended by.
    pub(crate) source: String,
}

/// The form of a table, as its file's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Parquet,
    Csv,
    JsonLines,
}

impl Format {
    /// The form that a file's ending names.
    pub(crate) fn of(path: &Path) -> anyhow::Result<Self> {
        let ending = path.extension().and_then(|ending| ending.to_str());
        match ending.map(str::to_ascii_lowercase).as_deref() {
            Some("parquet") => Ok(Self::Parquet),
            Some("csv") => Ok(Self::Csv),
            Some("jsonl" | "ndjson") => Ok(Self::JsonLines),
            _ => bail!(
                "--output {}: the ending says the form: .parquet, .csv or .jsonl",
                path.display()
            ),
        }
    }
}

/// The columns, in order; the first one is named by what the lists are for.
const COLUMNS: [&str; 5] = ["rank", "item_id", "score", "title", "source"];
/// Rows that are held in memory and written together.
const ROWS_AT_ONCE: usize = 1 << 16;

/// A table that is being written.
pub(crate) struct Table {
    sink: Sink,
    waiting: Vec<Row>,
    n_rows: usize,
}

enum Sink {
    Parquet(Box<SerializedFileWriter<File>>),
    Csv(Box<csv::Writer<File>>),
    JsonLines { file: BufWriter<File>, of: String },
}

impl Table {
    /// Begins a table; `of` names the first column, such as `user_id`.
    pub(crate) fn create(
        path: &Path,
        format: Format,
        of: &str,
    ) -> anyhow::Result<Self> {
        let file = File::create(path)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        let sink = match format {
            Format::Parquet => Sink::Parquet(Box::new(parquet(file, of)?)),
            Format::Csv => {
                let mut writer = csv::WriterBuilder::new()
                    .has_headers(false)
                    .from_writer(file);
                writer.write_field(of)?;
                writer.write_record(COLUMNS)?;
                Sink::Csv(Box::new(writer))
            }
            Format::JsonLines => Sink::JsonLines {
                file: BufWriter::new(file),
                of: of.to_owned(),
            },
        };
        Ok(Self {
            sink,
            waiting: Vec::new(),
            n_rows: 0,
        })
    }

    /// Adds rows behind those that are there.
    pub(crate) fn push(&mut self, rows: Vec<Row>) -> anyhow::Result<()> {
        self.n_rows += rows.len();
        self.waiting.extend(rows);
        if self.waiting.len() >= ROWS_AT_ONCE {
            self.write_waiting()?;
        }
        Ok(())
    }

    /// Writes what is left, and everything to the disk. Returns the number of
    /// rows.
    pub(crate) fn finish(mut self) -> anyhow::Result<usize> {
        self.write_waiting()?;
        let file = match self.sink {
            Sink::Parquet(writer) => writer.into_inner()?,
            Sink::Csv(writer) => {
                writer.into_inner().map_err(|error| error.into_error())?
            }
            Sink::JsonLines { file, .. } => {
                file.into_inner().map_err(|error| error.into_error())?
            }
        };
        file.sync_all()?;
        Ok(self.n_rows)
    }

    fn write_waiting(&mut self) -> anyhow::Result<()> {
        let rows = std::mem::take(&mut self.waiting);
        if rows.is_empty() {
            return Ok(());
        }
        match &mut self.sink {
            Sink::Parquet(writer) => {
                let mut group = writer.next_row_group()?;
                write_group(&mut group, &rows)?;
                group.close()?;
            }
            Sink::Csv(writer) => {
                for row in &rows {
                    writer.serialize(row)?;
                }
            }
            Sink::JsonLines { file, of } => {
                for row in &rows {
                    writeln!(file, "{}", json_line(row, of))?;
                }
            }
        }
        Ok(())
    }
}

fn json_line(row: &Row, of: &str) -> serde_json::Value {
    serde_json::json!({
        of: row.of,
        "rank": row.rank,
        "item_id": row.item_id,
        "score": row.score,
        "title": row.title,
        "source": row.source,
    })
}

fn parquet(file: File, of: &str) -> anyhow::Result<SerializedFileWriter<File>> {
    let schema = format!(
        "message lists {{
            required binary {of} (UTF8);
            required int32 rank;
            required binary item_id (UTF8);
            required float score;
            required binary title (UTF8);
            required binary source (UTF8);
        }}"
    );
    let schema = Arc::new(parse_message_type(&schema)?);
    let compression = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .build();
    Ok(SerializedFileWriter::new(
        file,
        schema,
        Arc::new(properties),
    )?)
}

fn write_group(
    group: &mut SerializedRowGroupWriter<'_, File>,
    rows: &[Row],
) -> anyhow::Result<()> {
    write_texts(group, rows, |row| &row.of)?;
    let ranks: Vec<i32> = rows.iter().map(|row| row.rank as i32).collect();
    let mut column = group.next_column()?.context("the column of ranks")?;
    column
        .typed::<Int32Type>()
        .write_batch(&ranks, None, None)?;
    column.close()?;
    write_texts(group, rows, |row| &row.item_id)?;
    let scores: Vec<f32> = rows.iter().map(|row| row.score).collect();
    let mut column = group.next_column()?.context("the column of scores")?;
    column
        .typed::<FloatType>()
        .write_batch(&scores, None, None)?;
    column.close()?;
    write_texts(group, rows, |row| &row.title)?;
    write_texts(group, rows, |row| &row.source)
}

fn write_texts(
    group: &mut SerializedRowGroupWriter<'_, File>,
    rows: &[Row],
    text_of: impl Fn(&Row) -> &String,
) -> anyhow::Result<()> {
    let mut texts = Vec::with_capacity(rows.len());
    for row in rows {
        texts.push(ByteArray::from(text_of(row).as_str()));
    }
    let mut column = group.next_column()?.context("a column of texts")?;
    column
        .typed::<ByteArrayType>()
        .write_batch(&texts, None, None)?;
    column.close()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};

    fn rows() -> Vec<Row> {
        let mut rows = Vec::new();
        for rank in 1..=2 {
            rows.push(Row {
                of: "ann".to_owned(),
                rank,
                item_id: format!("i{rank}"),
                score: 0.5,
                title: "A \"game\", part 1".to_owned(),
                source: "LANGUAGE_MODEL".to_owned(),
            });
        }
        rows
    }

    fn written(name: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let format = Format::of(&path).unwrap();
        let mut table = Table::create(&path, format, "user_id").unwrap();
        table.push(rows()).unwrap();
        assert_eq!(table.finish().unwrap(), 2);
        (folder, path)
    }

    #[test]
    fn a_parquet_table_is_read_back() {
        let (_folder, path) = written("lists.parquet");
        let file = File::open(path).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        let mut read = reader.get_row_iter(None).unwrap();
        let first = read.next().unwrap().unwrap().to_string();
        let expected = r#"{user_id: "ann", rank: 1, item_id: "i1", score: 0.5, title: "A "game", part 1", source: "LANGUAGE_MODEL"}"#;
        assert_eq!(first, expected);
        assert_eq!(read.count(), 1);
    }

    #[test]
    fn a_csv_table_has_a_header_and_quotes() {
        let (_folder, path) = written("lists.csv");
        let text = std::fs::read_to_string(path).unwrap();
        let mut lines = text.lines();
        assert_eq!(
            lines.next(),
            Some("user_id,rank,item_id,score,title,source")
        );
        let expected = "ann,1,i1,0.5,\"A \"\"game\"\", part 1\",LANGUAGE_MODEL";
        assert_eq!(lines.next(), Some(expected));
    }

    #[test]
    fn a_form_that_nobody_writes_is_refused_by_name() {
        let error = Format::of(Path::new("lists.xlsx")).unwrap_err();
        assert!(error.to_string().contains(".parquet, .csv or .jsonl"));
    }
}
