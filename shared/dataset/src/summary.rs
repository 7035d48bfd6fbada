//! What an import did, and what people should know of it.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::builder::Row;
use crate::columns::ColumnUse;
use crate::dataset::{Dataset, Split};
use crate::split::SplitRule;
use crate::tally::{ItemTally, Refusal, Tally};
use crate::values::times::EARLIEST_USUAL_MS;

/// What an import did.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Number of lines that were read, the refused ones among them.
    pub n_read: usize,
    /// Number of lines that were refused.
    pub n_refused: usize,
    /// The first refused lines, ten at most.
    pub refusals: Vec<Refusal>,
    /// Number of lines without a user, an item or, in a file with times, a
    /// time.
    pub n_missing: usize,
    /// Number of interactions rated below `min_rating`.
    pub n_below_rating: usize,
    /// Number of interactions without a rating, where `min_rating` asks for
    /// one.
    pub n_unrated: usize,
    /// Number of repeats of the same user and item; the earliest is kept.
    pub n_repeats: usize,
    /// Number of interactions that the k-core left out.
    pub n_outside_core: usize,
    /// The earliest and the latest time that is kept, in milliseconds since
    /// 1970-01-01 UTC; absent where there are no times.
    pub times_ms: Option<(i64, i64)>,
    /// What each column was read as.
    pub columns: Vec<ColumnUse>,
    /// The items' files, where there are some.
    pub items: Option<ItemsReport>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// Files of the folder that were not.
    pub ignored_files: Vec<PathBuf>,
    /// What is probably not as it was meant.
    pub warnings: Vec<String>,
    /// What was decided on the way.
    pub notes: Vec<String>,
}

/// How items' files fit the interactions.
#[derive(Debug, Clone, Default)]
pub struct ItemsReport {
    /// Number of items in the files.
    pub n_read: usize,
    /// Number of items of the data set that the files describe.
    pub n_matched: usize,
    /// First ids of the files that no interaction has.
    pub unmatched: Vec<String>,
    /// First ids of the interactions that no file describes.
    pub undescribed: Vec<String>,
}

/// Numbers of rows that were left out after all had been read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeftOut {
    pub(crate) n_repeats: usize,
    pub(crate) n_outside_core: usize,
}

/// Ids that are shown of a side.
const N_SHOWN: usize = 3;

/// Makes the report of what was read.
pub(crate) fn report(tally: Tally, left_out: LeftOut) -> Report {
    let n_missing = tally.n_missing();
    let mut report = Report {
        n_read: tally.n_read,
        n_refused: tally.n_refused,
        n_missing,
        n_below_rating: tally.n_below_rating,
        n_unrated: tally.n_unrated,
        n_repeats: left_out.n_repeats,
        n_outside_core: left_out.n_outside_core,
        warnings: Vec::new(),
        ..Report::default()
    };
    warn_of_rows(&tally, &mut report.warnings);
    note_readings(&tally, &mut report.notes);
    report.refusals = tally.refusals;
    report.columns = tally.columns;
    report.files = tally.files;
    report.ignored_files = tally.ignored_files;
    report
}

fn warn_of_rows(tally: &Tally, warnings: &mut Vec<String>) {
    warnings.extend(tally.warnings.iter().cloned());
    for missing in &tally.missing {
        warnings.push(format!(
            "rows without a {} were left out: {}; first: {}:{}",
            missing.what,
            missing.n,
            missing.first.path.display(),
            missing.first.line
        ));
    }
    for one in &tally.suspicious {
        warnings.push(format!(
            "rows with the {} id `{}`, which may stand for nothing: {}; `--missing '{}'` leaves them out",
            one.what, one.id, one.n, one.id
        ));
    }
    if tally.n_unrated > 0 {
        warnings.push(format!(
            "rows without a rating were left out, as `--min-rating` asks for one: {}",
            tally.n_unrated
        ));
    }
    if tally.n_without_rating > 0 {
        warnings.push(format!(
            "rows without a rating: {}; they count like the others",
            tally.n_without_rating
        ));
    }
    if let Some(first) = tally.refusals.first() {
        warnings.push(format!(
            "lines that were refused: {}; first: {first}",
            tally.n_refused
        ));
    }
}

fn note_readings(tally: &Tally, notes: &mut Vec<String>) {
    notes.extend(tally.notes.iter().cloned());
    if tally.n_without_zone > 0 {
        notes.push(format!(
            "times without a zone, read as UTC: {}",
            tally.n_without_zone
        ));
    }
    if tally.n_latin_1 > 0 {
        notes.push(format!(
            "lines that are not UTF-8, read as Latin-1 (Windows-1252): {}",
            tally.n_latin_1
        ));
    }
    if !tally.has_times && !tally.files.is_empty() {
        notes.push(
            "there is no column with times: the order of a user's interactions is not known"
                .to_owned(),
        );
    }
    for file in &tally.ignored_files {
        notes.push(format!("{} was not read", file.display()));
    }
}

impl Report {
    /// Says what each column was read as, a line a file: `orders.csv: customer
    /// as user, sku as item`.
    pub fn column_lines(&self) -> Vec<String> {
        lines_of(&self.columns)
    }
}

impl Report {
    /// Adds what the splits and times of the kept rows say.
    pub(crate) fn add_rows(&mut self, rows: &[Row], has_times: bool) {
        if !has_times {
            return;
        }
        let times = rows.iter().map(|row| row.at_ms);
        let (Some(first), Some(last)) = (times.clone().min(), times.max())
        else {
            return;
        };
        self.times_ms = Some((first, last));
        if first < EARLIEST_USUAL_MS {
            let n = rows
                .iter()
                .filter(|row| row.at_ms < EARLIEST_USUAL_MS)
                .count();
            self.warnings.push(format!(
                "{n} of {} times lie before 1990: if they are positions, only their order counts; if not, the unit or the column is wrong",
                rows.len()
            ));
        }
    }

    /// Says how many interactions have the splits of an earlier data set.
    pub(crate) fn add_kept_splits(&mut self, n_kept: usize, earlier: &str) {
        self.notes.push(format!(
            "interactions that have the splits they had in `{earlier}`: {n_kept}"
        ));
    }

    /// Says where leave-last-out cannot know which item is last.
    pub(crate) fn add_ties(&mut self, rows: &[Row], rule: SplitRule) {
        if rule != SplitRule::LeaveLastOut {
            return;
        }
        let (mut n_users, mut n_tied) = (0, 0);
        for of_user in rows.chunk_by(|a, b| a.user == b.user) {
            if of_user.len() < 3 {
                continue;
            }
            n_users += 1;
            let last = &of_user[of_user.len() - 3..];
            let is_tied =
                last.windows(2).any(|two| two[0].at_ms == two[1].at_ms);
            n_tied += usize::from(is_tied);
        }
        if n_tied > 0 {
            self.warnings.push(format!(
                "the order within a user is not known: {n_tied} of {n_users} users have equal times among their last three interactions, and the item's id decides which is last"
            ));
        }
    }

    /// Says which splits are empty.
    pub(crate) fn add_splits(&mut self, dataset: &Dataset) {
        let manifest = &dataset.manifest;
        if manifest.n_test == 0 {
            self.warnings.push(
                "the test split is empty: metrics are shown as \"-\"; only users with three interactions or more give one to it"
                    .to_owned(),
            );
        }
        if manifest.n_valid == 0 {
            self.warnings.push(
                "the validation split is empty: nothing can be chosen by it"
                    .to_owned(),
            );
        }
    }

    /// Adds how the items' files fit.
    pub(crate) fn add_items(&mut self, tally: ItemTally, dataset: &Dataset) {
        let mut undescribed = Vec::new();
        let mut n_described = 0;
        for item in &dataset.items {
            let is_described = !item.title.is_empty()
                || !item.categories.is_empty()
                || !item.attributes.is_empty();
            n_described += usize::from(is_described);
            if !is_described && undescribed.len() < N_SHOWN {
                undescribed.push(item.id.to_string());
            }
        }
        let n_items = dataset.items.len();
        let n_matched = n_described.min(n_items);
        if n_matched * 2 < n_items {
            self.warnings.push(few_matched(
                n_matched,
                n_items,
                &undescribed,
                &tally.unmatched,
            ));
        }
        if !tally.has_title_column {
            self.warnings.push(
                "the items' file has no column with titles; `--title-column` names it"
                    .to_owned(),
            );
        }
        self.items = Some(ItemsReport {
            n_read: tally.n_read,
            n_matched,
            unmatched: tally.unmatched,
            undescribed,
        });
    }
}

fn few_matched(
    n_matched: usize,
    n_items: usize,
    undescribed: &[String],
    unmatched: &[String],
) -> String {
    let mut text = format!(
        "{n_matched} of {n_items} items matched the items' file: the interactions have ids such as `{}`",
        undescribed.join("`, `")
    );
    if unmatched.is_empty() {
        text.push_str(", the file describes fewer items");
    } else {
        text.push_str(&format!(
            ", the items' file such as `{}`",
            unmatched.join("`, `")
        ));
    }
    let bare = |id: &String| id.trim_start_matches('0').to_owned();
    let own: Vec<String> = undescribed.iter().map(bare).collect();
    if unmatched.iter().any(|id| own.contains(&bare(id))) {
        text.push_str("; they differ in leading zeros");
    }
    text
}

/// How many rows each step removed, in one line.
pub(crate) fn steps(report: &Report, k: usize) -> String {
    let mut steps = Vec::new();
    for (n, what) in [
        (report.n_refused, "refused".to_owned()),
        (
            report.n_missing,
            "without a user, an item or a time".to_owned(),
        ),
        (report.n_below_rating, "rated too low".to_owned()),
        (report.n_unrated, "without a rating".to_owned()),
        (report.n_repeats, "repeats".to_owned()),
        (report.n_outside_core, format!("outside the {k}-core")),
    ] {
        if n > 0 {
            steps.push(format!("{n} {what}"));
        }
    }
    if steps.is_empty() {
        return "none were removed".to_owned();
    }
    format!("removed: {}", steps.join(", "))
}

/// Why nothing can be learned, where the split is to blame.
pub(crate) fn all_in_one_split(rows: &[Row]) -> Option<&'static str> {
    let mut counts: HashMap<&'static str, usize> = HashMap::new();
    for row in rows {
        let name = match row.split {
            Some(Split::Train) | None => return None,
            Some(Split::Valid) => "valid",
            Some(Split::Test) => "test",
        };
        *counts.entry(name).or_default() += 1;
    }
    let mut names = counts.into_keys();
    match (names.next(), names.next()) {
        (Some(name), None) => Some(name),
        (Some(_), Some(_)) => Some("valid or test"),
        (None, _) => None,
    }
}

/// A line a file: what each column was read as. Files of the same columns, as
/// parts are, have one line.
fn lines_of(uses: &[ColumnUse]) -> Vec<String> {
    let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
    for of_file in uses.chunk_by(|a, b| a.file == b.file) {
        let said = said_of(of_file);
        let file = of_file[0].file.as_str();
        match lines.iter_mut().find(|(line, _)| *line == said) {
            Some((_, files)) => files.push(file),
            None => lines.push((said, vec![file])),
        }
    }
    let mut shown = Vec::new();
    for (said, files) in lines {
        let more = match files.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        shown.push(format!("{}{more}: {said}", files[0]));
    }
    shown
}

fn said_of(uses: &[ColumnUse]) -> String {
    let (mut read, mut ignored) = (Vec::new(), Vec::new());
    for one in uses {
        match (&one.read_as, &one.hint) {
            (Some(as_what), _) => {
                read.push(format!("{} as {as_what}", one.column));
            }
            (None, Some(hint)) => {
                ignored.push(format!("{} ({hint})", one.column));
            }
            (None, None) => ignored.push(one.column.clone()),
        }
    }
    let mut said = read.join(", ");
    if !ignored.is_empty() {
        said.push_str("; ignored: ");
        said.push_str(&ignored.join(", "));
    }
    said
}
