//! Parquet files as rows. Only the columns that are wanted are read; fields of
//! a group have names with dots.

use std::borrow::Cow;
use std::fs::File;
use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType};
use parquet::data_type::Decimal;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::{Type, TypePtr};
use serde_json::Value;

use crate::error::Error;
use crate::table::source::Source;
use crate::table::{Cell, TakeRow};

const DAY_MS: i64 = 86_400_000;

/// The names of a file's columns.
pub(crate) fn names(source: &Source) -> Result<Vec<String>, Error> {
    let reader = open(source)?;
    let schema = reader.metadata().file_metadata().schema();
    let mut names = Vec::new();
    for field in schema.get_fields() {
        add_names(field, "", &mut names);
    }
    Ok(names)
}

fn add_names(field: &TypePtr, before: &str, names: &mut Vec<String>) {
    let name = format!("{before}{}", field.name());
    if !is_group(field) {
        names.push(name);
        return;
    }
    for inside in field.get_fields() {
        add_names(inside, &format!("{name}."), names);
    }
}

/// A group of fields, neither a list nor a map.
fn is_group(field: &Type) -> bool {
    let info = field.get_basic_info();
    field.is_group()
        && info.converted_type() == ConvertedType::NONE
        && !matches!(
            info.logical_type_ref(),
            Some(LogicalType::List | LogicalType::Map)
        )
        && (!info.has_repetition()
            || info.repetition() != parquet::basic::Repetition::REPEATED)
}

/// Gives each row's cells of the wanted columns.
pub(crate) fn each_row(
    source: &Source,
    wanted: &[String],
    take: TakeRow<'_>,
) -> Result<usize, Error> {
    let reader = open(source)?;
    let schema = reader.metadata().file_metadata().schema();
    let (projection, paths) = project(schema, wanted);
    if projection.is_empty() {
        return Ok(0);
    }
    let projection = Type::group_type_builder(schema.name())
        .with_fields(projection)
        .build()
        .map_err(|e| refused(source, &e))?;
    let rows = reader.get_row_iter(Some(projection));
    for (number, row) in (1..).zip(rows.map_err(|e| refused(source, &e))?) {
        let row = row.map_err(|e| refused(source, &e))?;
        let columns: Vec<&Field> =
            row.get_column_iter().map(|(_, field)| field).collect();
        let mut cells = Vec::with_capacity(paths.len());
        for path in &paths {
            cells.push(match path {
                Some((root, inside)) => cell_at(columns[*root], inside),
                None => Cell::Missing,
            });
        }
        if !take(number, Ok(&cells)) {
            break;
        }
    }
    Ok(0)
}

/// Where a wanted column stands: the number of its root among those that are
/// read, and the names of the fields on the way to it.
type Place = Option<(usize, Vec<String>)>;

/// The root columns that wanted ones need, and each one's place in them.
fn project(schema: &Type, wanted: &[String]) -> (Vec<TypePtr>, Vec<Place>) {
    let fields = schema.get_fields();
    let mut roots = Vec::new();
    for field in fields {
        let inside = format!("{}.", field.name());
        let is_wanted = wanted
            .iter()
            .any(|name| name == field.name() || name.starts_with(&inside));
        if is_wanted {
            roots.push(Arc::clone(field));
        }
    }
    let mut places = Vec::new();
    for name in wanted {
        places.push(place_of(&roots, name));
    }
    (roots, places)
}

fn place_of(roots: &[TypePtr], name: &str) -> Place {
    for (number, root) in roots.iter().enumerate() {
        if root.name() == name {
            return Some((number, Vec::new()));
        }
        let inside = name.strip_prefix(root.name());
        if let Some(inside) = inside.and_then(|name| name.strip_prefix('.')) {
            let steps = inside.split('.').map(str::to_owned).collect();
            return Some((number, steps));
        }
    }
    None
}

fn open(source: &Source) -> Result<SerializedFileReader<File>, Error> {
    let file = File::open(&source.path).map_err(Error::file(&source.shown))?;
    SerializedFileReader::new(file).map_err(|e| refused(source, &e))
}

fn refused(source: &Source, error: &ParquetError) -> Error {
    let said = error.to_string();
    if said.contains("Disabled feature") || said.contains("codec") {
        return source.malformed(format!(
            "{said}; snappy, gzip, zstd, lz4 and brotli are read"
        ));
    }
    source.malformed(said)
}

fn cell_at<'a>(field: &'a Field, steps: &[String]) -> Cell<'a> {
    let Some((step, rest)) = steps.split_first() else {
        return cell(field);
    };
    let Field::Group(row) = field else {
        return Cell::Missing;
    };
    let found = row.get_column_iter().find(|(name, _)| *name == step);
    found.map_or(Cell::Missing, |(_, field)| cell_at(field, rest))
}

fn cell(field: &Field) -> Cell<'_> {
    match field {
        Field::Null => Cell::Missing,
        Field::Bool(flag) => Cell::Flag(*flag),
        Field::Byte(number) => Cell::Integer((*number).into()),
        Field::Short(number) => Cell::Integer((*number).into()),
        Field::Int(number) => Cell::Integer((*number).into()),
        Field::Long(number) => Cell::Integer(*number),
        Field::UByte(number) => Cell::Integer((*number).into()),
        Field::UShort(number) => Cell::Integer((*number).into()),
        Field::UInt(number) => Cell::Integer((*number).into()),
        Field::ULong(number) => Cell::Number(Cow::Owned(number.to_string())),
        Field::Float16(number) => Cell::Float(f64::from(*number)),
        Field::Float(number) => Cell::Float(f64::from(*number)),
        Field::Double(number) => Cell::Float(*number),
        Field::Decimal(decimal) => Cell::Number(Cow::Owned(digits(decimal))),
        Field::Str(text) => Cell::Text(Cow::Borrowed(text)),
        Field::Bytes(bytes) => Cell::Bytes(Cow::Borrowed(bytes.data())),
        Field::Date(days) => Cell::Time(i64::from(*days) * DAY_MS),
        Field::TimeMillis(_) | Field::TimeMicros(_) => {
            Cell::Text(Cow::Borrowed("a time of day"))
        }
        Field::TimestampMillis(ms) => Cell::Time(*ms),
        Field::TimestampMicros(us) => Cell::Time(us.div_euclid(1_000)),
        Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => {
            Cell::Nested(value(field))
        }
    }
}

/// A decimal's digits; the point stands where its scale says.
fn digits(decimal: &Decimal) -> String {
    let bytes = decimal.data();
    let mut number: i128 = match bytes.first() {
        Some(first) if first & 0x80 != 0 => -1,
        Some(_) | None => 0,
    };
    for byte in bytes {
        number = (number << 8) | i128::from(*byte);
    }
    let scale = usize::try_from(decimal.scale()).unwrap_or(0);
    let sign = if number < 0 { "-" } else { "" };
    let width = scale + 1;
    let digits = format!("{:0width$}", number.unsigned_abs());
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        return format!("{sign}{whole}");
    }
    format!("{sign}{whole}.{fraction}")
}

/// What is nested as JSON.
fn value(field: &Field) -> Value {
    match field {
        Field::ListInternal(list) => {
            list.elements().iter().map(value).collect()
        }
        Field::Group(row) => object(row),
        Field::MapInternal(map) => {
            let mut object = serde_json::Map::new();
            for (key, inside) in map.entries() {
                object.insert(cell(key).shown(), value(inside));
            }
            Value::Object(object)
        }
        Field::Null => Value::Null,
        Field::Bool(flag) => (*flag).into(),
        Field::Float(number) => f64::from(*number).into(),
        Field::Double(number) => (*number).into(),
        Field::Int(number) => (*number).into(),
        Field::Long(number) => (*number).into(),
        Field::Byte(_)
        | Field::Short(_)
        | Field::UByte(_)
        | Field::UShort(_)
        | Field::UInt(_)
        | Field::ULong(_)
        | Field::Float16(_)
        | Field::Decimal(_)
        | Field::Str(_)
        | Field::Bytes(_)
        | Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_) => Value::String(cell(field).shown()),
    }
}

fn object(row: &Row) -> Value {
    let mut object = serde_json::Map::new();
    for (name, inside) in row.get_column_iter() {
        object.insert(name.clone(), value(inside));
    }
    Value::Object(object)
}
