//! Folders: what a file holds is told from its columns, which split from its
//! name. Spark's parts, RecBole's atomic files, Hugging Face's and Amazon's
//! folders and MovieLens are all of this kind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::columns::{Columns, Roles, is_items_header, plain_name};
use crate::dataset::Split;
use crate::error::Error;
use crate::import::ImportOptions;
use crate::layout::{Layout, Part, is_movielens_100k, ratings_columns};
use crate::table::source::Source;
use crate::values::ratings::split_named;

/// Folders inside of folders that are looked into.
const DEEPEST: usize = 4;

/// Rows whose names of columns are looked at.
const N_SAMPLED: usize = 50;

/// Words in the names of files with interactions, the surest first.
const USUAL_NAMES: [&str; 20] = [
    "interactions",
    "interaction",
    "ratings",
    "rating",
    "inter",
    "train",
    "feedback",
    "events",
    "orders",
    "order",
    "transactions",
    "purchases",
    "sales",
    "reviews",
    "review",
    "clicks",
    "views",
    "plays",
    "listens",
    "history",
];

/// What a file holds.
enum Content {
    /// Interactions, with the names of their columns.
    Interactions(String),
    Items,
    /// Neither; the reason is for people who expected it to.
    Other(String),
}

/// Files of a folder and of the folders in it, without those that programs
/// leave beside their data.
pub(super) fn files_in(folder: &Source) -> Result<Vec<Source>, Error> {
    let mut files = Vec::new();
    add_files_in(folder, 0, &mut files)?;
    files.sort_by(|a, b| a.shown.cmp(&b.shown));
    Ok(files)
}

fn add_files_in(
    folder: &Source,
    depth: usize,
    files: &mut Vec<Source>,
) -> Result<(), Error> {
    let entries = std::fs::read_dir(&folder.path);
    for entry in entries.map_err(Error::file(&folder.shown))? {
        let entry = entry.map_err(Error::file(&folder.shown))?;
        let name = entry.file_name();
        let source = Source {
            path: entry.path(),
            shown: folder.shown.join(&name),
        };
        let name = name.to_string_lossy().to_lowercase();
        if name.starts_with(['.', '_']) || is_beside_data(&name) {
            continue;
        }
        if source.path.is_dir() {
            if depth < DEEPEST {
                add_files_in(&source, depth + 1, files)?;
            }
        } else {
            files.push(source);
        }
    }
    Ok(())
}

fn is_beside_data(name: &str) -> bool {
    name.starts_with("readme")
        || name.starts_with("license")
        || name.ends_with(".md")
        || name.ends_with(".crc")
        || name.ends_with(".py")
        || name.ends_with(".html")
        || name.ends_with(".pdf")
}

impl Layout {
    /// Sorts a folder's files; there must be interactions among them.
    pub(super) fn add_folder(
        &mut self,
        folder: &Source,
        options: &ImportOptions,
    ) -> Result<(), Error> {
        let others = self.add_files(folder, options)?;
        if !self.interactions.is_empty() {
            return Ok(());
        }
        let others = if others.is_empty() {
            "it has no files".to_owned()
        } else {
            others.join("; ")
        };
        Err(folder.malformed(format!(
            "no interactions in this folder ({others}); name a file, and its columns with `--user-column` and `--item-column`"
        )))
    }

    /// Sorts a folder's files by what they hold; says of the others what they
    /// hold instead.
    pub(super) fn add_files(
        &mut self,
        folder: &Source,
        options: &ImportOptions,
    ) -> Result<Vec<String>, Error> {
        let mut groups: BTreeMap<String, Vec<Part>> = BTreeMap::new();
        let mut others = Vec::new();
        let files = files_in(folder)?;
        let is_movielens = files.iter().any(|file| file_name(file) == "u.data");
        for source in files {
            let name = file_name(&source);
            if is_movielens && name == "u.item" {
                self.movielens_items = Some(source);
                continue;
            }
            if is_movielens && name != "u.data" {
                self.ignored.push(source.shown);
                continue;
            }
            let mut part = Part::of(source);
            part.form = options.format.and_then(super::Format::of_file);
            if is_movielens_100k(&part.source) {
                part.columns = ratings_columns();
            }
            match content(&part, &options.columns) {
                Content::Interactions(key) => {
                    groups.entry(key).or_default().push(part);
                }
                Content::Items => self.items.push(part),
                Content::Other(reason) => {
                    others.push(format!("`{name}`: {reason}"));
                    self.ignored.push(part.source.shown);
                }
            }
        }
        self.choose(folder, groups)?;
        Ok(others)
    }

    /// Takes the group of files that holds the interactions.
    fn choose(
        &mut self,
        folder: &Source,
        mut groups: BTreeMap<String, Vec<Part>>,
    ) -> Result<(), Error> {
        let Some(key) = chosen_key(&groups) else {
            if groups.is_empty() {
                return Ok(());
            }
            let names = groups.values().flatten();
            let names: Vec<String> =
                names.map(|part| file_name(&part.source)).collect();
            return Err(folder.malformed(format!(
                "several files hold interactions, with different columns: {}; name one of them",
                names.join(", ")
            )));
        };
        let mut chosen = groups.remove(&key).unwrap_or_default();
        give_splits(&mut chosen);
        for part in groups.into_values().flatten() {
            if words(&part.source).iter().any(|word| word == "reviews") {
                self.reviews.push(part);
            } else {
                self.ignored.push(part.source.shown);
            }
        }
        self.interactions = chosen;
        Ok(())
    }

    /// The published code's matrices.
    pub(super) fn add_matrices(
        &mut self,
        folder: &Source,
    ) -> Result<(), Error> {
        let splits = [
            ("train_matrix.npz", Split::Train),
            ("val_matrix.npz", Split::Valid),
            ("test_matrix.npz", Split::Test),
        ];
        for (name, split) in splits {
            let source = Source {
                path: folder.path.join(name),
                shown: folder.shown.join(name),
            };
            if source.path.is_file() {
                let mut part = Part::of(source);
                part.split = Some(split);
                self.interactions.push(part);
            } else if split == Split::Train {
                return Err(source.malformed("is missing"));
            }
        }
        Ok(())
    }
}

/// The only group, or the one with the surest name.
fn chosen_key(groups: &BTreeMap<String, Vec<Part>>) -> Option<String> {
    if groups.len() == 1 {
        return groups.keys().next().cloned();
    }
    for usual in USUAL_NAMES {
        let has_name = |parts: &Vec<Part>| {
            parts.iter().any(|part| {
                words(&part.source).iter().any(|word| word == usual)
            })
        };
        let mut named = groups.iter().filter(|(_, parts)| has_name(parts));
        if let Some((key, _)) = named.next() {
            return named.next().is_none().then(|| key.clone());
        }
    }
    None
}

/// Gives each file the split that its name says, where the names say several.
fn give_splits(parts: &mut [Part]) {
    let mut found = Vec::new();
    for part in parts.iter() {
        let of_words = words(&part.source);
        found.push(of_words.iter().find_map(|word| split_named(word)));
    }
    let mut distinct: Vec<Split> = found.iter().copied().flatten().collect();
    distinct.dedup();
    let is_several = distinct.iter().any(|split| *split != distinct[0]);
    if is_several {
        for (part, split) in parts.iter_mut().zip(found) {
            part.split = split;
        }
    }
}

/// What a file holds, from the names of its columns.
fn content(part: &Part, columns: &Columns) -> Content {
    let without_names = Columns {
        all: Vec::new(),
        ..columns.clone()
    };
    let table = part.open(&without_names, None);
    let sample = table.and_then(|table| table.sample(N_SAMPLED));
    let names = match sample {
        Ok(sample) => sample.names,
        Err(error) => return Content::Other(error.to_string()),
    };
    if Roles::are_in(&names, columns) {
        let is_json = names.iter().any(|name| name.contains("[]"));
        return Content::Interactions(key_of(&names, is_json));
    }
    if is_items_header(&names) {
        return Content::Items;
    }
    if !columns.all.is_empty() && names.len() == columns.all.len() {
        return Content::Interactions(String::new());
    }
    let shown: Vec<&str> = names.iter().take(12).map(String::as_str).collect();
    Content::Other(format!("columns {}", shown.join(", ")))
}

/// Files of one kind have the same columns for users and items.
fn key_of(names: &[String], is_json: bool) -> String {
    let mut plain: Vec<String> =
        names.iter().map(|name| plain_name(name)).collect();
    plain.sort();
    if is_json || plain.len() > 8 {
        // Optional fields differ from file to file.
        plain.retain(|name| crate::columns::knows(name));
    }
    plain.join(",")
}

fn file_name(source: &Source) -> String {
    let name = source.shown.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The words of a file's name and of the folder that it is in.
fn words(source: &Source) -> Vec<String> {
    let mut path: PathBuf = source.shown.clone();
    let name = file_name(source);
    path.pop();
    let folder = Path::new(&path).file_name().unwrap_or_default();
    let folder = folder.to_string_lossy();
    let all = [name.as_str(), folder.as_ref()];
    let mut words = Vec::new();
    for name in all {
        for word in name.split(|c: char| !c.is_alphanumeric()) {
            words.push(word.to_lowercase());
        }
    }
    words
}
