//! JSON objects as rows. Fields of objects inside have names with dots; a list
//! of objects gives a row for each of them, its fields' names having `[]`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::Error;
use crate::table::objects::{Objects, Shape, shape};
use crate::table::python::json_of_python;
use crate::table::source::Source;
use crate::table::{Cell, Sample, TakeRow};

/// A file of JSON objects.
#[derive(Debug)]
pub(crate) struct Json {
    shape: Shape,
}

/// Names of one file; an object that is a map of ids would have one for each.
const MOST_NAMES: usize = 300;

/// Fields of an object inside; one with more is a map, not a row.
const MOST_FIELDS_INSIDE: usize = 50;

/// How deep objects inside of objects are looked into.
const DEEPEST: usize = 5;

/// An object's fields in their order, values as they are written.
struct RawObject<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = RawObject<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut map: A,
    ) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            fields.push((key, map.next_value()?));
        }
        Ok(RawObject(fields))
    }
}

impl Json {
    pub(crate) fn of(source: &Source) -> Result<Self, Error> {
        Ok(Self {
            shape: shape(source)?,
        })
    }

    /// The names that the first objects have, and those objects.
    pub(crate) fn sample(
        &self,
        source: &Source,
        n: usize,
    ) -> Result<Sample, Error> {
        let mut texts = Vec::new();
        let mut names = Names::default();
        let mut objects = Objects::open(source, self.shape)?;
        while texts.len() < n {
            let Some((_, text)) = objects.next()? else {
                break;
            };
            let json = as_json(text);
            if let Ok(found) = parse(&json) {
                for object in &found {
                    names.add(object, "", 0);
                }
                texts.push(json.into_owned());
            }
        }
        let paths = paths(&names.list);
        let mut rows = Vec::new();
        for text in &texts {
            for object in parse(text).unwrap_or_default() {
                let cells = object.cells(&paths);
                let cells = cells.into_iter().map(Found::first);
                rows.push(cells.map(Cell::into_owned).collect());
            }
        }
        Ok(Sample {
            names: names.list,
            rows,
        })
    }

    /// Gives each object's cells of the wanted names; one row for each object
    /// of a list that is wanted.
    pub(crate) fn each_row(
        &self,
        source: &Source,
        wanted: &[String],
        take: TakeRow<'_>,
    ) -> Result<usize, Error> {
        let paths = paths(wanted);
        let mut objects = Objects::open(source, self.shape)?;
        loop {
            let Some((line, text)) = objects.next()? else {
                return Ok(objects.lines.n_latin_1);
            };
            let mut rewritten = String::new();
            let goes_on = match parse_either(text, &mut rewritten) {
                Ok(found) => found.iter().all(|object| {
                    give_rows(&object.cells(&paths), line, &mut *take)
                }),
                Err(reason) => take(line, Err(reason)),
            };
            if !goes_on {
                return Ok(objects.lines.n_latin_1);
            }
        }
    }
}

/// True when a line holds whole objects.
pub(crate) fn is_whole(line: &str) -> bool {
    let line = line.trim_end_matches(',');
    parse(&as_json(line)).is_ok()
}

/// The text as JSON: printed Python, and JSON with `NaN` in it, are rewritten.
fn as_json(text: &str) -> Cow<'_, str> {
    let mut rewritten = String::new();
    let is_json = parse_either(text, &mut rewritten).is_ok();
    if is_json && !rewritten.is_empty() {
        return Cow::Owned(rewritten);
    }
    Cow::Borrowed(text)
}

/// The objects of a text; where it is no JSON, of what it says as Python.
fn parse_either<'t>(
    text: &'t str,
    rewritten: &'t mut String,
) -> Result<Vec<RawObject<'t>>, String> {
    let reason = match parse(text) {
        Ok(objects) => return Ok(objects),
        Err(reason) => reason,
    };
    *rewritten = json_of_python(text);
    parse(rewritten).map_err(|_| reason)
}

/// The objects of a text, one after another.
fn parse(text: &str) -> Result<Vec<RawObject<'_>>, String> {
    let mut objects = Vec::new();
    let stream = serde_json::Deserializer::from_str(text).into_iter();
    for object in stream {
        let object: RawObject<'_> = object.map_err(|e| {
            if e.is_data() {
                "is not a JSON object".to_owned()
            } else {
                format!("is not JSON ({e})")
            }
        })?;
        objects.push(object);
    }
    Ok(objects)
}

fn give_rows(found: &[Found<'_>], line: usize, take: TakeRow<'_>) -> bool {
    let n_rows = found.iter().map(Found::n_rows).max().unwrap_or(1);
    for row in 0..n_rows {
        let cells = found.iter().map(|found| found.at(row));
        let cells: Vec<Cell<'_>> = cells.collect();
        if !take(line, Ok(&cells)) {
            return false;
        }
    }
    true
}

/// What stands at a path.
enum Found<'a> {
    One(Cell<'a>),
    /// A value of each object of a list.
    Each(Vec<Cell<'a>>),
}

impl<'a> Found<'a> {
    fn n_rows(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Each(cells) => cells.len(),
        }
    }

    /// The value in one of the rows; a value beside a list is the same in all.
    fn at(&self, row: usize) -> Cell<'a> {
        match self {
            Self::One(cell) => cell.clone(),
            Self::Each(cells) => {
                cells.get(row).cloned().unwrap_or(Cell::Missing)
            }
        }
    }

    fn first(self) -> Cell<'a> {
        match self {
            Self::One(cell) => cell,
            Self::Each(cells) => {
                cells.into_iter().next().unwrap_or(Cell::Missing)
            }
        }
    }
}

/// A name, whole and as steps from object to object.
struct Path {
    name: String,
    steps: Vec<String>,
}

fn paths(names: &[String]) -> Vec<Path> {
    let mut paths = Vec::with_capacity(names.len());
    for name in names {
        paths.push(Path {
            name: name.clone(),
            steps: name.split('.').map(str::to_owned).collect(),
        });
    }
    paths
}

impl<'a> RawObject<'a> {
    fn cells(&self, paths: &[Path]) -> Vec<Found<'a>> {
        let mut cells = Vec::with_capacity(paths.len());
        for path in paths {
            cells.push(match self.field(&path.name) {
                Some(raw) => Found::One(cell(raw)),
                None if path.steps.len() == 1 => Found::One(Cell::Missing),
                None => self.walk(&path.steps),
            });
        }
        cells
    }

    fn field(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, raw)| *raw)
    }

    /// Follows a path's steps.
    fn walk(&self, steps: &[String]) -> Found<'a> {
        let Some((step, rest)) = steps.split_first() else {
            return Found::One(Cell::Missing);
        };
        if let Some(name) = step.strip_suffix("[]") {
            return self.walk_list(name, rest);
        }
        let Some(raw) = self.field(step) else {
            return Found::One(Cell::Missing);
        };
        if rest.is_empty() {
            return Found::One(cell(raw));
        }
        match object(raw) {
            Some(inside) => inside.walk(rest),
            None => Found::One(Cell::Missing),
        }
    }

    fn walk_list(&self, name: &str, rest: &[String]) -> Found<'a> {
        let mut cells = Vec::new();
        let list = self.field(name).and_then(list);
        for raw in list.unwrap_or_default() {
            let Some(inside) = object(raw) else {
                cells.push(Cell::Missing);
                continue;
            };
            match inside.walk(rest) {
                Found::One(cell) => cells.push(cell),
                Found::Each(inner) => cells.extend(inner),
            }
        }
        Found::Each(cells)
    }
}

fn object(raw: &RawValue) -> Option<RawObject<'_>> {
    serde_json::from_str(raw.get()).ok()
}

fn list(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

/// The names of fields, in the order in which they were met.
#[derive(Default)]
struct Names {
    list: Vec<String>,
    places: HashMap<String, usize>,
}

impl Names {
    fn add(&mut self, found: &RawObject<'_>, before: &str, depth: usize) {
        for (key, raw) in &found.0 {
            let name = format!("{before}{key}");
            if depth < DEEPEST && self.add_inside(raw, &name, depth) {
                continue;
            }
            if self.list.len() < MOST_NAMES && !self.places.contains_key(&name)
            {
                self.places.insert(name.clone(), self.list.len());
                self.list.push(name);
            }
        }
    }

    /// Adds the names of an object inside; `false` for what is none.
    fn add_inside(&mut self, raw: &RawValue, name: &str, depth: usize) -> bool {
        if raw.get().starts_with('{') && extended(raw).is_none() {
            let Some(inside) = object(raw) else {
                return false;
            };
            let n_fields = inside.0.len();
            if n_fields == 0 || n_fields > MOST_FIELDS_INSIDE {
                return false;
            }
            self.add(&inside, &format!("{name}."), depth + 1);
            return true;
        }
        if !raw.get().starts_with('[') {
            return false;
        }
        let first = list(raw).and_then(|list| list.first().copied());
        let Some(inside) = first.and_then(object) else {
            return false;
        };
        self.add(&inside, &format!("{name}[]."), depth + 1);
        true
    }
}

/// A value as a cell; all digits of a number are kept.
fn cell(raw: &RawValue) -> Cell<'_> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text)
            .map_or(Cell::Missing, |Key(text)| Cell::Text(text)),
        Some(b't') => Cell::Flag(true),
        Some(b'f') => Cell::Flag(false),
        Some(b'{') => extended(raw).unwrap_or_else(|| nested(text)),
        Some(b'[') => nested(text),
        Some(b'n') | None => Cell::Missing,
        Some(_) => Cell::Number(Cow::Borrowed(text)),
    }
}

fn nested(text: &str) -> Cell<'static> {
    serde_json::from_str(text).map_or(Cell::Missing, Cell::Nested)
}

/// MongoDB's objects that stand for one value, such as `{"$date": …}`.
fn extended(raw: &RawValue) -> Option<Cell<'_>> {
    let RawObject(fields) = object(raw)?;
    let [(name, value)] = fields.as_slice() else {
        return None;
    };
    let inner = match name.as_ref() {
        "$oid" | "$numberLong" | "$numberInt" | "$numberDouble"
        | "$numberDecimal" | "$uuid" | "$date" => cell(value),
        _ => return None,
    };
    Some(match (name.as_ref(), inner) {
        ("$date", Cell::Number(ms)) => {
            ms.parse().map_or(Cell::Missing, Cell::Time)
        }
        ("$oid" | "$uuid" | "$date", text) => text,
        (_, Cell::Text(digits)) => match digits.as_ref() {
            "NaN" | "Infinity" | "-Infinity" => Cell::Missing,
            _ => Cell::Number(digits),
        },
        (_, other) => other,
    })
}
