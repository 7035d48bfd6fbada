//! The safetensors files of a folder: one with all weights, or the shards that
//! an index names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::backbone::config;
use crate::error::Error;
use crate::tensors::TensorFile;

/// The file that holds all weights.
pub(crate) const WHOLE: &str = "model.safetensors";
/// The file that names the shards of a checkpoint.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// How names of files end that only PyTorch reads.
const PICKLES: [&str; 3] = [".bin", ".pt", ".pth"];

/// The tensor files of a folder.
pub(crate) struct TensorFiles {
    /// The only one, or the index that names them.
    pub(crate) path: PathBuf,
    files: Vec<TensorFile>,
    /// The place of the file that has a tensor, by the tensor's name.
    place: BTreeMap<String, usize>,
}

impl TensorFiles {
    /// Reads the headers of a folder's files.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let (path, paths) = weight_files(folder)?;
        let mut files = Vec::new();
        for path in paths {
            files.push(TensorFile::open(&path)?);
        }

        let mut place = BTreeMap::new();
        for (number, file) in files.iter().enumerate() {
            for name in file.names() {
                place.insert(name, number);
            }
        }
        Ok(Self { path, files, place })
    }

    /// The names of all tensors.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.place.keys().map(|name| &**name)
    }

    /// Returns `prefix` where names begin with it, else an empty one.
    pub(crate) fn prefix(&self, prefix: &'static str) -> &'static str {
        let mut names = self.place.keys();
        let is_prefixed = names.any(|name| name.starts_with(prefix));
        if is_prefixed { prefix } else { "" }
    }

    /// The file that has a tensor.
    pub(crate) fn file_of(&self, name: &str) -> Option<&TensorFile> {
        let place = self.place.get(name)?;
        Some(&self.files[*place])
    }

    /// The file that has a tensor; an error where none has it.
    pub(crate) fn named(&self, name: &str) -> Result<&TensorFile, Error> {
        self.file_of(name).ok_or_else(|| Error::Missing {
            path: self.path.clone(),
            name: name.to_owned(),
        })
    }
}

/// The file that says where weights are, and the files with weights: one, or
/// the shards that the index names.
pub(crate) fn weight_files(
    folder: &Path,
) -> Result<(PathBuf, Vec<PathBuf>), Error> {
    let whole = folder.join(WHOLE);
    if whole.exists() {
        return Ok((whole.clone(), vec![whole]));
    }
    let index = folder.join(INDEX);
    if !index.exists() {
        return Err(no_weights(folder, &names_in(folder)));
    }
    let mut shards = Vec::new();
    for name in shard_names(folder)? {
        let shard = folder.join(name);
        if !shard.exists() {
            let advice = format!(
                "{INDEX} names it: download it, and every other file that the \
                 index names"
            );
            return Err(Error::absent(shard, &advice));
        }
        shards.push(shard);
    }
    Ok((index, shards))
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    names
}

/// The error for a folder, here or on a hub, without weights that are read
/// here; it says what the folder has instead, by the names of its files.
pub fn no_weights(folder: &Path, names: &[String]) -> Error {
    if let Some(name) = first_ending(names, &PICKLES) {
        let reason = format!(
            "its weights are in `{name}`, a pickle, which is not read here; \
             convert it: `AutoModelForCausalLM.from_pretrained(folder)\
             .save_pretrained(folder, safe_serialization=True)`"
        );
        return Error::malformed(folder, reason);
    }
    if let Some(name) = first_ending(names, &[".safetensors"]) {
        let reason = format!(
            "it has `{name}`, and neither {WHOLE} nor {INDEX}, which names \
             shards; download the one that belongs to it, or call a file that \
             has all weights {WHOLE}"
        );
        return Error::malformed(folder, reason);
    }
    let advice = format!(
        "a backbone's weights are {WHOLE}, or shards that {INDEX} names, or \
         one GGUF file"
    );
    Error::absent(folder.join(WHOLE), &advice)
}

fn first_ending<'a>(names: &'a [String], ends: &[&str]) -> Option<&'a String> {
    let mut names = names.iter();
    names.find(|name| ends.iter().any(|end| name.ends_with(end)))
}

/// What `model.safetensors.index.json` says.
#[derive(Deserialize)]
struct Index {
    /// The file that holds a tensor, by the tensor's name.
    weight_map: BTreeMap<String, String>,
}

/// The files beside `model.safetensors.index.json` that it names, each once. An
/// index that names none, or something that is not a safetensors file beside
/// it, is an error.
pub fn shard_names(folder: &Path) -> Result<BTreeSet<String>, Error> {
    let path = folder.join(INDEX);
    let index: Index = config::read_json(&path, "it names the shards")?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    for name in &names {
        let is_hidden = name.starts_with('.');
        let leads_elsewhere = name.contains(['/', '\\']);
        if is_hidden || leads_elsewhere || !name.ends_with(".safetensors") {
            let reason = format!(
                "shard `{name}` is not a safetensors file beside the index; \
                 put the shards there and name them without a folder"
            );
            return Err(Error::malformed(&path, reason));
        }
    }

    if names.is_empty() {
        let reason = "it names no shard; download it again";
        return Err(Error::malformed(&path, reason));
    }
    Ok(names)
}
