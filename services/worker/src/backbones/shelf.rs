//! The backbones that are below a root: listed, described, removed. A damaged
//! one is listed with what is wrong with it, and hides no other.

use std::path::{Path, PathBuf};

use domain::BackboneLocation;
use model::BackboneFacts;

use crate::backbones::hub::{self, CACHE};
use crate::backbones::known::KnownBackbone;
use crate::backbones::source::check_name;
use crate::disk::{self, is_in_the_making};
use crate::error::Error;

/// A backbone that is there, whole or not.
#[derive(Debug)]
pub struct Shelved {
    /// What `backbone.path` in a specification calls it.
    pub name: String,
    /// What its files say, or what is wrong with them.
    pub found: Result<Description, Error>,
}

/// What is known about a backbone without reading its weights.
#[derive(Debug, Clone)]
pub struct Description {
    /// Where its files are.
    pub path: PathBuf,
    /// What the files that are computed with say.
    pub facts: BackboneFacts,
    /// Size of all its files, in bytes.
    pub n_bytes: u64,
    /// The licence that its files name, if they name one.
    pub licence: Option<String>,
}

/// Folders in folders that are looked through.
const MOST_NESTED: usize = 4;

/// Everything below a root, by name; nothing where there is no root.
pub fn list(root: &Path) -> Result<Vec<Shelved>, Error> {
    let mut names = Vec::new();
    if root.exists() {
        collect(root, Path::new(""), &mut names)?;
    }
    let mut shelved = Vec::with_capacity(names.len());
    for name in names {
        let found = read(&root.join(&name));
        let written = name.to_string_lossy();
        let cached = hub::named(&written);
        let name = cached.unwrap_or_else(|| written.into_owned());
        shelved.push(Shelved { name, found });
    }
    shelved.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(shelved)
}

/// The backbone that a specification's `backbone.path` names.
pub fn describe(root: &Path, name: &str) -> Result<Description, Error> {
    let path = match BackboneLocation::new(name) {
        Ok(BackboneLocation::Folder(path)) => root.join(path),
        Ok(BackboneLocation::Hub { repo, revision }) => {
            hub::place(root, &repo, &revision)
        }
        Ok(BackboneLocation::Artifact(_)) | Err(_) => root.join(name),
    };
    if !path.exists() {
        return Err(missing(root, name));
    }
    read(&path)
}

/// Removes a backbone that was added.
pub fn remove(root: &Path, name: &str) -> Result<(), Error> {
    let path = root.join(name);
    if check_name(name).is_err() || !path.exists() {
        return Err(missing(root, name));
    }
    if path.is_file() {
        return std::fs::remove_file(&path).map_err(Error::file(&path));
    }
    disk::remove_folder(&path)
}

/// The error for a backbone that is not below a root.
pub(crate) fn missing(root: &Path, name: &str) -> Error {
    let root = root.display();
    let advice = match KnownBackbone::named(name) {
        Some(known) => format!(
            "`cllm4rec backbone add {} --root {root}` fetches it",
            known.name
        ),
        None => format!(
            "`cllm4rec backbone list --root {root}` shows what is there, `cllm4rec backbone add` \
             adds one"
        ),
    };
    Error::NoBackbone {
        path: format!("{root}/{name}").into(),
        advice,
    }
}

/// Adds the places of all backbones in a folder, relative to the root.
fn collect(
    root: &Path,
    within: &Path,
    names: &mut Vec<PathBuf>,
) -> Result<(), Error> {
    let depth = within.components().count();
    for path in disk::entries(&root.join(within))? {
        let name = within.join(path.file_name().unwrap_or_default());
        let has_inner_folders = depth < MOST_NESTED && has_folders_only(&path);
        if is_in_the_making(&path)
            || is_hidden(&path)
            || is_empty_cache(&name, &path)
        {
            continue;
        }
        if path.is_dir() && has_inner_folders {
            collect(root, &name, names)?;
        } else if path.is_dir() || model::is_gguf(&path) {
            names.push(name);
        }
    }
    Ok(())
}

/// No specification can name what begins with a dot.
fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with('.')
}

/// True for a folder of folders: an owner's, a repository's.
fn has_folders_only(path: &Path) -> bool {
    let entries = disk::entries(path).unwrap_or_default();
    !entries.is_empty() && entries.iter().all(|path| path.is_dir())
}

fn is_empty_cache(name: &Path, path: &Path) -> bool {
    let is_cache = name.starts_with(CACHE);
    is_cache && disk::entries(path).is_ok_and(|entries| entries.is_empty())
}

fn read(path: &Path) -> Result<Description, Error> {
    let facts = BackboneFacts::read(path).map_err(Error::Backbone)?;
    let mut n_bytes = 0;
    let files = if path.is_file() {
        vec![path.to_owned()]
    } else {
        disk::entries(path)?
    };
    for file in files {
        n_bytes += file.metadata().map_err(Error::file(&file))?.len();
    }
    let licence = facts.licence.clone().or_else(|| licence_beside(path));
    Ok(Description {
        path: path.to_owned(),
        facts,
        n_bytes,
        licence,
    })
}

/// The licence that a model card's front matter names, or the first words of a
/// LICENSE file.
fn licence_beside(folder: &Path) -> Option<String> {
    if let Ok(card) = std::fs::read_to_string(folder.join("README.md"))
        && let Some(licence) = front_matter_licence(&card)
    {
        return Some(licence);
    }
    let text = std::fs::read_to_string(folder.join("LICENSE")).ok()?;
    let first = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(first.to_owned())
}

fn front_matter_licence(card: &str) -> Option<String> {
    let matter = card.strip_prefix("---")?.split("\n---").next()?;
    match front_matter_field(matter, "license:") {
        Some(licence) if licence != "other" => Some(licence),
        other => front_matter_field(matter, "license_name:").or(other),
    }
}

/// The value of a field, without quotes.
fn front_matter_field(matter: &str, name: &str) -> Option<String> {
    let found = matter.lines().find_map(|line| line.strip_prefix(name))?;
    let value = found.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_cards_licence_is_in_its_front_matter() {
        for (card, licence) in [
            ("---\nlicense: apache-2.0\n---\n# x", Some("apache-2.0")),
            (
                "---\nlicense: other\nlicense_name: 'qwen-research'\n---\n",
                Some("qwen-research"),
            ),
            ("---\ntags: [a]\n---\nlicense: mit", None),
            ("# no front matter\nlicense: mit", None),
        ] {
            assert_eq!(front_matter_licence(card).as_deref(), licence);
        }
    }
}
