//! The backbones that a job here may name: what lies below the backbone root,
//! a hub's kept revisions among it.
//!
//! A worker tells their sizes when it asks for work. They are in a
//! `config.json` or a GGUF file's header, which is read again when it changes.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use domain::{BackboneLocation, Body, SeenBackbone};
use model::Backbone;

use crate::backbones::hub;
use crate::disk;

/// Most backbones that are told, the first by name.
const MOST_TOLD: usize = 64;
/// The longest name that is told, in bytes.
const LONGEST_NAME: usize = 256;
/// Folders in folders that are looked into: as deep as a hub's revisions are.
const DEEPEST: usize = 5;
/// Most files and folders that one look passes.
const MOST_ENTRIES: usize = 4096;

/// The sizes that the last look read, by the file that they are in.
pub(crate) type SizesRead = BTreeMap<PathBuf, SizesOfFile>;

/// What a file said about a backbone's sizes, and when.
#[derive(Debug, Clone)]
pub(crate) struct SizesOfFile {
    modified: Option<SystemTime>,
    n_bytes: u64,
    /// Absent where the file is of no backbone that is computed here.
    body: Option<Body>,
}

/// What a look at the backbone root finds.
#[derive(Debug)]
pub(crate) struct Look {
    /// The backbones, by name.
    pub(crate) backbones: Vec<SeenBackbone>,
    /// What the next look need not read again.
    pub(crate) read: SizesRead,
}

/// Looks for backbones below a root.
pub(crate) fn look(root: &Path, before: &SizesRead) -> Look {
    let mut found = Look {
        backbones: Vec::new(),
        read: SizesRead::new(),
    };
    for place in places(root) {
        if found.backbones.len() == MOST_TOLD {
            break;
        }
        let Ok(metadata) = fs::metadata(&place.sizes) else {
            continue;
        };
        let kept = found.read.get(&place.sizes);
        let kept = kept.or_else(|| before.get(&place.sizes));
        let sizes = match kept {
            Some(kept) if kept.is_of(&metadata) => kept.clone(),
            _ => SizesOfFile::read(&place, &metadata),
        };
        if let Some(body) = sizes.body {
            let location = place.location;
            found.backbones.push(SeenBackbone { location, body });
        }
        found.read.insert(place.sizes, sizes);
    }
    found
}

impl SizesOfFile {
    fn read(place: &Place, metadata: &Metadata) -> Self {
        let body = Backbone::read_body(&place.path);
        if let Err(error) = &body {
            let (error, backbone) = (service::chain(error), &place.location);
            tracing::info!(%backbone, error, "jobs cannot name it");
        }
        Self {
            modified: metadata.modified().ok(),
            n_bytes: metadata.len(),
            body: body.ok(),
        }
    }

    /// True when nobody wrote to the file since.
    fn is_of(&self, metadata: &Metadata) -> bool {
        let modified = metadata.modified().ok();
        self.modified == modified && self.n_bytes == metadata.len()
    }
}

/// Where a backbone may be.
struct Place {
    location: BackboneLocation,
    /// The folder or GGUF file that the location means.
    path: PathBuf,
    /// The file that says its sizes.
    sizes: PathBuf,
}

/// A walk through the folders below a root.
struct Walk {
    /// The root without links.
    root: PathBuf,
    /// How many files and folders it may still pass.
    n_left: usize,
    places: Vec<Place>,
}

/// Every place below the root that looks like a backbone's, by name.
fn places(root: &Path) -> Vec<Place> {
    let Ok(root) = root.canonicalize() else {
        return Vec::new();
    };
    let mut walk = Walk {
        root,
        n_left: MOST_ENTRIES,
        places: Vec::new(),
    };
    walk.enter("", 0);
    walk.places
        .sort_by_cached_key(|place| place.location.to_string());
    walk.places
}

impl Walk {
    /// Passes the entries of a folder, named from the root on.
    fn enter(&mut self, folder: &str, depth: usize) {
        let Ok(path) = self.root.join(folder).canonicalize() else {
            return;
        };
        let config = path.join("config.json");
        let has_config = config.is_file();
        if has_config {
            self.add(folder, config);
        }
        let mut gguf_files = Vec::new();
        for name in entries(&path) {
            if self.n_left == 0 {
                return;
            }
            self.n_left -= 1;
            let below = match folder {
                "" => name,
                folder => format!("{folder}/{name}"),
            };
            let entry = self.root.join(&below).canonicalize();
            let Some(entry) = entry.ok().filter(|it| self.is_inside(it)) else {
                continue;
            };
            // A link back is followed no second time.
            let leads_back = path.starts_with(&entry);
            if entry.is_dir() && depth < DEEPEST && !leads_back {
                self.enter(&below, depth + 1);
            } else if entry.is_file() && model::is_gguf(below.as_ref()) {
                self.add(&below, entry.clone());
                gguf_files.push(entry);
            }
        }
        if let ([file], false) = (&*gguf_files, has_config) {
            self.add(folder, file.clone());
        }
    }

    /// Adds a place, if a job can name it.
    fn add(&mut self, name: &str, sizes: PathBuf) {
        let path = self.root.join(name);
        let name = hub::named(name).unwrap_or_else(|| name.to_owned());
        if name.len() > LONGEST_NAME {
            return;
        }
        if let Ok(location) = BackboneLocation::new(&name) {
            self.places.push(Place {
                location,
                path,
                sizes,
            });
        }
    }

    /// False where a link led out of the root: no job may go there.
    fn is_inside(&self, resolved: &Path) -> bool {
        resolved.starts_with(&self.root)
    }
}

/// Names in a folder, ascending; without hidden ones and those in the making.
fn entries(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
            && !disk::is_in_the_making(Path::new(&name))
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"vocab_size": 9, "n_embd": 8, "n_layer": 1,
        "n_head": 2, "n_positions": 16}"#;

    fn write_config(root: &Path, folder: &str, config: &str) {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.json"), config).unwrap();
    }

    fn names(look: &Look) -> Vec<String> {
        let backbones = look.backbones.iter();
        backbones.map(|seen| seen.location.to_string()).collect()
    }

    #[test]
    fn what_a_job_may_name_is_found_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        write_config(&root, "own/small", CONFIG);
        write_config(&root, "plain", CONFIG);
        write_config(&root, "other", r#"{"model_type": "mamba2"}"#);
        write_config(&root, ".hidden", CONFIG);
        write_config(&root, "partial-1", CONFIG);
        write_config(&root, "a/b/c/d/e/f", CONFIG);
        write_config(&root, "hub/own/tiny/revisions/v1", CONFIG);
        write_config(folder.path(), "outside", CONFIG);
        let outside = folder.path().join("outside");
        std::os::unix::fs::symlink(outside, root.join("leads-out")).unwrap();
        std::os::unix::fs::symlink(&root, root.join("circle")).unwrap();
        let found = look(&root, &SizesRead::new());
        assert_eq!(names(&found), ["hf://own/tiny@v1", "own/small", "plain"]);
        assert_eq!(found.backbones[0].body.n_positions(), 16);
    }

    #[test]
    fn sizes_are_read_again_only_where_the_file_changed() {
        let root = tempfile::tempdir().unwrap();
        write_config(root.path(), "a", CONFIG);
        let first = look(root.path(), &SizesRead::new());
        let mut marked = first.read;
        for sizes in marked.values_mut() {
            sizes.body = None;
        }
        let kept = look(root.path(), &marked);
        assert!(
            kept.backbones.is_empty(),
            "what was read before is believed"
        );
        write_config(root.path(), "a", &CONFIG.replace("16", "128"));
        let again = look(root.path(), &marked);
        assert_eq!(again.backbones[0].body.n_positions(), 128);
    }

    #[test]
    fn many_backbones_are_told_up_to_a_number() {
        let root = tempfile::tempdir().unwrap();
        for number in 0..=MOST_TOLD {
            write_config(root.path(), &format!("{number:03}"), CONFIG);
        }
        let found = look(root.path(), &SizesRead::new());
        assert_eq!(names(&found).len(), MOST_TOLD);
        assert_eq!(names(&found)[0], "000");
    }
}
