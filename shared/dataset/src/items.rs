//! From the rows of an items' file to titles, categories, attributes and
//! descriptions.

use serde_json::{Map, Value};

use crate::builder::{Builder, FoundText, ItemFacts};
use crate::columns::{Columns, ItemRoles, Known, shown_name};
use crate::dataset::TextKind;
use crate::error::Error;
use crate::layout::Part;
use crate::table::source::Source;
use crate::table::{Cell, Sample};
use crate::values::ids::{IdRule, id, rule_for};
use crate::values::missing::says_nothing;

/// Rows that are looked at before the file is read.
const N_SAMPLED: usize = 2_000;

/// Ids that are shown of those that match nothing.
const N_SHOWN: usize = 3;

/// How the rows of an items' file are understood.
struct Reading {
    roles: ItemRoles,
    id_rule: IdRule,
    names: Vec<String>,
    /// Whether each column's text is all numbers.
    are_numbers: Vec<bool>,
    /// RecBole's categories have spaces between them.
    has_spaced_categories: bool,
}

/// Reads what is known of items that somebody interacted with.
pub(crate) fn read(
    builder: &mut Builder,
    part: &Part,
    columns: &Columns,
) -> Result<(), Error> {
    let table = part.open(&Columns::default(), None)?;
    let sample = table.sample(N_SAMPLED)?;
    let known = Known { columns, builder };
    let roles = ItemRoles::find(&table, &sample, known)?;
    let (id_rule, _) = rule_for(sample.column(roles.id));
    let uses = roles.uses(&table, &sample);
    let reading = Reading::new(&sample, roles, id_rule);
    let tally = &mut builder.tally;
    tally.columns.extend(uses);
    tally.files.push(table.shown().to_owned());
    let items = tally.items.get_or_insert_default();
    items.has_title_column |= reading.roles.title.is_some();
    let n_latin_1 = table.each_row(&sample.names, &mut |line, row| {
        let taken = row.and_then(|cells| reading.row(builder, cells));
        if let Err(reason) = taken {
            builder.refuse(table.shown(), line, reason);
        }
        true
    })?;
    builder.tally.n_latin_1 += n_latin_1;
    Ok(())
}

impl Reading {
    fn new(sample: &Sample, roles: ItemRoles, id_rule: IdRule) -> Self {
        let mut are_numbers = Vec::new();
        for place in 0..sample.names.len() {
            let mut cells = sample.column(place);
            let text = |cell: &Cell<'_>| {
                cell.text().is_none_or(|text| {
                    says_nothing(text) || plain_number(text).is_some()
                })
            };
            are_numbers.push(cells.all(text));
        }
        let first = roles.categories.first();
        let has_spaced_categories = first.is_some_and(|&place| {
            sample.names[place].trim().ends_with(":token_seq")
        });
        Self {
            roles,
            id_rule,
            names: sample.names.clone(),
            are_numbers,
            has_spaced_categories,
        }
    }

    fn row(
        &self,
        builder: &mut Builder,
        cells: &[Cell<'_>],
    ) -> Result<(), String> {
        let id = id(&cells[self.roles.id], self.id_rule)
            .map_err(|reason| format!("item id {reason}"))?;
        let Some(id) = id else {
            return Err("item id is missing".to_owned());
        };
        let title = self.roles.title.map(|place| title(&cells[place]));
        let facts = ItemFacts {
            title: title.unwrap_or_default(),
            categories: self.categories(cells),
            attributes: self.attributes(cells),
        };
        let is_known = builder.item(&id, facts);
        let tally = builder.tally.items.get_or_insert_default();
        tally.n_read += 1;
        tally.n_matched += usize::from(is_known);
        if !is_known && tally.unmatched.len() < N_SHOWN {
            tally.unmatched.push(id.to_string());
        }
        if let Some(place) = self.roles.description {
            builder.text(FoundText {
                kind: TextKind::Description,
                user: None,
                item: Some(&id),
                text: &flat_text(&cells[place]),
            });
        }
        Ok(())
    }

    fn categories(&self, cells: &[Cell<'_>]) -> Vec<String> {
        let mut categories = Vec::new();
        for &place in &self.roles.categories {
            categories.extend(categories_of(
                &cells[place],
                self.has_spaced_categories,
            ));
        }
        categories
    }

    fn attributes(&self, cells: &[Cell<'_>]) -> Map<String, Value> {
        let mut attributes = Map::new();
        for &place in &self.roles.attributes {
            let value = attribute(&cells[place], self.are_numbers[place]);
            if let Some(value) = value {
                let name = shown_name(&self.names[place]);
                let name = name.strip_prefix("attributes.").unwrap_or(name);
                attributes.insert(name.to_owned(), value);
            }
        }
        attributes
    }
}

/// A title as people read it: HTML entities decoded, white space trimmed.
pub(crate) fn clean_title(title: &str) -> String {
    html_escape::decode_html_entities(title.trim()).into_owned()
}

/// A title; a number is one, too.
fn title(cell: &Cell<'_>) -> String {
    if matches!(cell, Cell::Nested(_)) {
        return flat_text(cell);
    }
    let shown = cell.shown();
    if says_nothing(&shown) {
        return String::new();
    }
    clean_title(&shown)
}

/// All text in a cell, in order.
fn flat_text(cell: &Cell<'_>) -> String {
    if let Cell::Nested(value) = cell {
        return text_in(value);
    }
    cell.text().map(clean_title).unwrap_or_default()
}

fn text_in(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            values.iter().map(text_in).collect::<Vec<_>>().join(" ")
        }
        Value::String(text) => clean_title(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            String::new()
        }
    }
}

/// A list, a list of lists (the first path counts), or text with `>`, `|` or
/// commas between.
fn categories_of(cell: &Cell<'_>, has_spaces: bool) -> Vec<String> {
    let mut parts = match cell {
        Cell::Nested(Value::Array(values)) => categories_in_list(values),
        Cell::Nested(_)
        | Cell::Missing
        | Cell::Text(_)
        | Cell::Number(_)
        | Cell::Integer(_)
        | Cell::Float(_)
        | Cell::Flag(_)
        | Cell::Bytes(_)
        | Cell::Time(_) => {
            categories_in(cell.text().unwrap_or_default(), has_spaces)
        }
    };
    // MovieLens' `(no genres listed)`.
    parts.retain(|part| !part.is_empty() && !part.starts_with("(no "));
    parts
}

fn categories_in_list(values: &[Value]) -> Vec<String> {
    match values.first() {
        Some(Value::Array(path)) => path.iter().map(text_in).collect(),
        Some(Value::String(path)) if path.contains('>') => {
            split_categories(path)
        }
        Some(_) | None => values.iter().map(text_in).collect(),
    }
}

/// The categories of a text; a printed list is one, too.
fn categories_in(text: &str, has_spaces: bool) -> Vec<String> {
    let text = text.trim();
    if says_nothing(text) {
        return Vec::new();
    }
    if has_spaces {
        return text.split_whitespace().map(clean_title).collect();
    }
    if let Some(inside) = text.strip_prefix('[')
        && let Some(inside) = inside.strip_suffix(']')
    {
        let quotes = [' ', '\'', '"', '[', ']'];
        let parts = inside.split(',').map(|part| part.trim_matches(quotes));
        return parts.map(clean_title).collect();
    }
    split_categories(text)
}

fn split_categories(text: &str) -> Vec<String> {
    text.split([',', '|', '>']).map(clean_title).collect()
}

/// A value to filter by; text that is a number in all rows is one.
fn attribute(cell: &Cell<'_>, is_number: bool) -> Option<Value> {
    match cell {
        Cell::Missing | Cell::Bytes(_) => None,
        Cell::Text(text) if says_nothing(text) => None,
        Cell::Text(text) if is_number => plain_number(text),
        Cell::Text(text) => match text.trim() {
            "true" | "True" | "TRUE" => Some(true.into()),
            "false" | "False" | "FALSE" => Some(false.into()),
            text => Some(clean_title(text).into()),
        },
        Cell::Number(digits) => number_of(digits),
        Cell::Integer(number) | Cell::Time(number) => Some((*number).into()),
        Cell::Float(number) if number.is_finite() => Some((*number).into()),
        Cell::Float(_) => None,
        Cell::Flag(flag) => Some((*flag).into()),
        Cell::Nested(value) => Some(value.clone()),
    }
}

/// A number that is written as numbers are: `007` is a code.
fn plain_number(text: &str) -> Option<Value> {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_code = digits.len() > 1
        && digits.starts_with('0')
        && !digits.starts_with("0.");
    if is_code || !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    number_of(text)
}

fn number_of(digits: &str) -> Option<Value> {
    if let Ok(number) = digits.parse::<i64>() {
        return Some(number.into());
    }
    let number = digits.parse::<f64>().ok()?;
    number.is_finite().then(|| number.into())
}

/// MovieLens 100K's `u.item`: an id, a title, and a flag for each genre at the
/// end.
pub(crate) fn read_movielens_100k(
    builder: &mut Builder,
    source: &Source,
) -> Result<(), Error> {
    let columns = ["item_id", "title", "released", "video", "url"];
    let columns = columns.into_iter().chain(GENRES);
    let part = Part {
        columns: columns.map(str::to_owned).collect(),
        ..Part::of(source.clone())
    };
    let table = part.open(&Columns::default(), Some("|"))?;
    builder.tally.files.push(table.shown().to_owned());
    let tally = builder.tally.items.get_or_insert_default();
    tally.has_title_column = true;
    table.each_row(&part.columns, &mut |line, row| {
        let cells = match row {
            Ok(cells) => cells,
            Err(reason) => {
                builder.refuse(table.shown(), line, reason);
                return true;
            }
        };
        let mut categories = Vec::new();
        for (genre, flag) in GENRES.into_iter().zip(&cells[5..]) {
            if flag.shown().trim() == "1" {
                categories.push(genre.to_owned());
            }
        }
        let facts = ItemFacts {
            title: title(&cells[1]),
            categories,
            attributes: Map::new(),
        };
        let is_known = builder.item(cells[0].shown().trim(), facts);
        let tally = builder.tally.items.get_or_insert_default();
        tally.n_read += 1;
        tally.n_matched += usize::from(is_known);
        true
    })?;
    Ok(())
}

/// The flags of `u.item`, in their order (`u.genre`).
const GENRES: [&str; 19] = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];
