//! How a text file separates and quotes its cells, and whether its first line
//! names them: what fits its first lines best.

use std::io::Cursor;

use crate::columns::knows;
use crate::error::Error;
use crate::table::lines::Lines;
use crate::table::records::{Quotes, Records, Separator, Unreadable};
use crate::table::source::Source;
use crate::table::{Cell, FileForm, Hints, TakeRow, positions};

/// How a file's lines become cells.
#[derive(Debug)]
pub(crate) struct Dialect {
    separator: Separator,
    quotes: Quotes,
    pub(crate) names: Vec<String>,
    /// Records before the first row of data.
    n_before: usize,
    /// What was found that is not plain to see.
    pub(crate) notes: Vec<String>,
}

/// Records that are compared.
const N_COMPARED: usize = 200;

/// The first records, read in one of the ways that are possible.
struct Trial {
    separator: Separator,
    quotes: Quotes,
    first: Vec<String>,
    second: Vec<String>,
    /// The share of the other records with as many cells as the first.
    share: f64,
    /// The same with one cell more, as R writes row names.
    share_with_one_more: f64,
}

/// Finds the way in which the first lines fit together best.
pub(crate) fn find(
    source: &Source,
    hints: Hints<'_>,
) -> Result<Dialect, Error> {
    let mut head = source.head()?;
    cut_last_line(&mut head);
    let told = told_in_first_line(&head);
    let separators = match (hints.delimiter, hints.form) {
        (Some(given), _) => {
            vec![separator(given).map_err(|e| source.malformed(e))?]
        }
        (None, Some(FileForm::Tsv)) => vec![Separator::Byte(b'\t')],
        (None, _) => match &told {
            Some(byte) => vec![Separator::Byte(*byte)],
            None => possible_separators(&head),
        },
    };
    let n_told = usize::from(told.is_some()) + n_comments(&head);
    let mut best: Option<Trial> = None;
    for separator in separators {
        for &quotes in possible_quotes(&separator, &head) {
            let Some(trial) = try_out(&head, &separator, quotes, n_told) else {
                continue;
            };
            let is_better = match &best {
                None => true,
                Some(best) => trial.rank(hints) > best.rank(hints),
            };
            if is_better {
                best = Some(trial);
            }
        }
    }
    let Some(best) = best else {
        return Err(source.malformed("has no line that can be read"));
    };
    best.into_dialect(source, hints, n_told)
}

/// Removes what may be half a line, where there are whole ones.
fn cut_last_line(head: &mut Vec<u8>) {
    if head.len() < 1 << 15 {
        return;
    }
    if let Some(place) = head.iter().rposition(|&byte| byte == b'\n') {
        head.truncate(place + 1);
    }
}

/// Excel's `sep=;` in the first line.
fn told_in_first_line(head: &[u8]) -> Option<u8> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    match head.strip_prefix(b"sep=") {
        Some([byte, b'\r' | b'\n', ..]) => Some(*byte),
        Some(_) | None => None,
    }
}

/// How many lines before the header are comments, `#` or `%` in front.
fn n_comments(head: &[u8]) -> usize {
    let text = String::from_utf8_lossy(head);
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    for (n, line) in lines.enumerate() {
        if !line.starts_with(['#', '%']) {
            return n;
        }
        // `#user_id,item_id` is a header.
        let words = line.split([',', '\t', ';', '|', ' ']);
        if words.filter(|word| knows(word)).count() >= 2 {
            return n;
        }
    }
    // Ids begin like that.
    0
}

/// A separator as it is typed: `tab` and `\t` are one, `space` is any white
/// space.
fn separator(typed: &str) -> Result<Separator, String> {
    match typed {
        "" => Err("`--delimiter` is empty".to_owned()),
        "tab" | "\\t" | "\t" => Ok(Separator::Byte(b'\t')),
        "space" | "spaces" | " " => Ok(Separator::Spaces),
        "\\x01" | "\\001" | "^A" => Ok(Separator::Byte(1)),
        _ => match typed.as_bytes() {
            [byte] => Ok(Separator::Byte(*byte)),
            _ => Ok(Separator::Text(typed.to_owned())),
        },
    }
}

fn possible_separators(head: &[u8]) -> Vec<Separator> {
    let mut possible = Vec::new();
    for byte in [b',', b'\t', b';', b'|', 1] {
        if head.contains(&byte) {
            possible.push(Separator::Byte(byte));
        }
    }
    for text in ["::", "||", "\\t"] {
        let bytes = text.as_bytes();
        if head.windows(bytes.len()).any(|window| window == bytes) {
            possible.push(Separator::Text(text.to_owned()));
        }
    }
    if head.contains(&b' ') {
        possible.push(Separator::Byte(b' '));
        possible.push(Separator::Spaces);
    }
    if possible.is_empty() {
        possible.push(Separator::Byte(b','));
    }
    possible
}

/// Commas and semicolons come with quotes; between tabs and bars they are often
/// part of the text.
fn possible_quotes(separator: &Separator, head: &[u8]) -> &'static [Quotes] {
    let is_escaped = head.windows(2).any(|pair| pair == b"\\\"");
    match separator {
        Separator::Text(_) | Separator::Spaces => &[Quotes::Plain],
        Separator::Byte(b',' | b';') if is_escaped => {
            &[Quotes::Enclosing, Quotes::Escaped]
        }
        Separator::Byte(b',' | b';') => &[Quotes::Enclosing],
        Separator::Byte(_) if head.contains(&b'"') => {
            &[Quotes::Plain, Quotes::Enclosing]
        }
        Separator::Byte(_) => &[Quotes::Plain],
    }
}

/// Reads the first records in one way; `None` where a quote stays open.
fn try_out(
    head: &[u8],
    separator: &Separator,
    quotes: Quotes,
    n_before: usize,
) -> Option<Trial> {
    let lines = Lines::new(Box::new(Cursor::new(head.to_vec())), head);
    let mut records = Records::new(lines, separator.clone(), quotes);
    for _ in 0..n_before {
        records.read().ok()?;
    }
    let mut trial = Trial {
        separator: separator.clone(),
        quotes,
        first: Vec::new(),
        second: Vec::new(),
        share: 0.0,
        share_with_one_more: 0.0,
    };
    let (mut n, mut n_same, mut n_one_more) = (0, 0, 0);
    while n <= N_COMPARED {
        match records.read() {
            Ok(Some(_)) => {}
            // In a head that ends in the middle of a record every way meets
            // this; the reading itself names the line.
            Err(_) if quotes != Quotes::Plain && is_usual(separator) => break,
            Err(_) => return None,
            Ok(None) => break,
        }
        let len = records.len();
        let cells = || (0..len).map(|at| records.cell(at).to_owned());
        match n {
            0 => trial.first = cells().collect(),
            1 => trial.second = cells().collect(),
            _ => {}
        }
        let n_columns = trial.first.len();
        let is_same = fits(&records, n_columns);
        n_same += usize::from(is_same);
        n_one_more += usize::from(!is_same && len == n_columns + 1);
        n += 1;
    }
    if n == 0 {
        return None;
    }
    trial.share = n_same as f64 / n as f64;
    trial.share_with_one_more = n_one_more as f64 / n as f64;
    Some(trial)
}

fn is_usual(separator: &Separator) -> bool {
    matches!(separator, Separator::Byte(b',' | b';'))
}

impl Trial {
    /// How well the records fit: cells that line up, names that are known,
    /// many cells, quotes that enclose.
    fn rank(&self, hints: Hints<'_>) -> [usize; 6] {
        let n = self.first.len();
        let has_asked_number = n == hints.columns.len();
        let best_share = self.share.max(self.share_with_one_more);
        let lines_up = n >= 2 && best_share >= 0.5;
        let mut n_known = 0;
        for name in &self.first {
            n_known += usize::from(knows(name) || hints.named.contains(name));
        }
        let is_enclosing = self.quotes != Quotes::Plain;
        [
            usize::from(lines_up),
            usize::from(has_asked_number),
            n_known.min(2),
            (best_share * 20.0) as usize,
            n,
            usize::from(is_enclosing),
        ]
    }

    fn into_dialect(
        self,
        source: &Source,
        hints: Hints<'_>,
        n_told: usize,
    ) -> Result<Dialect, Error> {
        let mut dialect = Dialect {
            separator: self.separator,
            quotes: self.quotes,
            names: self.first,
            n_before: n_told + 1,
            notes: Vec::new(),
        };
        if let Some(names) = movielens_names(&dialect) {
            dialect.names = names;
            dialect.n_before = n_told;
            return Ok(dialect);
        }
        if hints.columns.is_empty() {
            if self.share_with_one_more > 0.5 {
                dialect.names.insert(0, "row name".to_owned());
            }
            for name in &mut dialect.names {
                *name = name.trim().trim_matches(['[', ']']).to_owned();
            }
            return Ok(dialect);
        }
        let (n_given, n_cells) = (hints.columns.len(), dialect.names.len());
        if n_given != n_cells {
            return Err(source.malformed(format!(
                "`--columns` names {n_given} columns, the first line has {n_cells}: `{}`; `_` stands for one that is not read",
                dialect.names.join("`, `")
            )));
        }
        if is_header(&dialect.names, &self.second) {
            dialect.notes.push(format!(
                "{}: the first line names the columns, and was not read as data",
                source.shown.display()
            ));
        } else {
            dialect.n_before = n_told;
        }
        dialect.names = hints.columns.to_vec();
        Ok(dialect)
    }
}

/// The columns of MovieLens' files, which have `::` between cells and no
/// header: ratings begin with two numbers, movies have a title.
fn movielens_names(dialect: &Dialect) -> Option<Vec<String>> {
    if dialect.separator != Separator::Text("::".to_owned()) {
        return None;
    }
    let is_number = |cell: &String| cell.trim().parse::<f64>().is_ok();
    let first = &dialect.names;
    let names: &[&str] = match first.len() {
        4 if first.iter().all(is_number) => {
            &["user_id", "item_id", "rating", "timestamp"]
        }
        3 if first.iter().all(is_number) => &["user_id", "item_id", "rating"],
        3 if is_number(&first[0]) => &["item_id", "title", "genres"],
        _ => return None,
    };
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

/// True when the first line has names that are known, or words only where the
/// second has numbers.
fn is_header(first: &[String], second: &[String]) -> bool {
    if first.iter().filter(|name| knows(name)).count() >= 2 {
        return true;
    }
    let is_number = |cell: &String| cell.trim().parse::<f64>().is_ok();
    let has_numbers = second.iter().any(is_number);
    has_numbers
        && first.len() == second.len()
        && first.iter().zip(second).all(|(name, cell)| {
            !is_number(name) && !name.trim().is_empty() && name != cell
        })
        && !first
            .iter()
            .any(|name| name.contains(|c: char| c.is_ascii_digit()))
}

impl Dialect {
    /// Gives each row's cells of the wanted columns.
    pub(crate) fn each_row(
        &self,
        source: &Source,
        wanted: &[String],
        take: TakeRow<'_>,
    ) -> Result<usize, Error> {
        let head = source.head()?;
        let lines = Lines::new(source.open()?, &head);
        let separator = self.separator.clone();
        let mut records = Records::new(lines, separator, self.quotes);
        let positions = positions(&self.names, wanted);
        let n_columns = self.names.len();
        for _ in 0..self.n_before {
            records.read().map_err(|e| unreadable(source, e))?;
        }
        loop {
            let line = records.read().map_err(|e| unreadable(source, e))?;
            let Some(line) = line else {
                return Ok(records.lines.n_latin_1);
            };
            let goes_on = if fits(&records, n_columns) {
                let mut cells = Vec::with_capacity(wanted.len());
                for position in &positions {
                    cells.push(position.map_or(Cell::Missing, |at| {
                        Cell::Text(records.cell(at).into())
                    }));
                }
                take(line, Ok(&cells))
            } else {
                let n_cells = records.len();
                take(
                    line,
                    Err(format!(
                        "has {n_cells} cells, the header has {n_columns}"
                    )),
                )
            };
            if !goes_on {
                return Ok(records.lines.n_latin_1);
            }
        }
    }
}

/// A record with as many cells as there are columns; one more that is empty
/// does not matter.
fn fits(records: &Records, n_columns: usize) -> bool {
    let n = records.len();
    n == n_columns
        || (n == n_columns + 1 && records.cell(n_columns).trim().is_empty())
}

fn unreadable(source: &Source, why: Unreadable) -> Error {
    match why {
        Unreadable::File(error) => Error::file(&source.shown)(error),
        Unreadable::UnclosedQuote(line) => Error::malformed(
            format!("{}:{line}", source.shown.display()),
            "the quote that opens here is not closed where its cell ends; close it, or write the quote twice",
        ),
    }
}
