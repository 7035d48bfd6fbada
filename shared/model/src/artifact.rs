//! A trained model as files: everything that serving needs, self-describing and
//! immutable.
//!
//! `model.json` (the manifest), `tables.safetensors`, `users.json`,
//! `items.jsonl`, `popularity.json`, for a hybrid `light.safetensors`, for a
//! model that reads texts `words.json` and `texts.safetensors`; beside them what
//! the worker keeps for later jobs, `choices.json` and the numbers of the fit that
//! was measured (`measured.rs`). The backbone is kept once for all models that share it, in a folder of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use domain::{
    ArtifactId, Catalog, Item, ModelManifest as Manifest, TrainSpec, UserId,
    UserToken,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::backbone::decoder::Backbone;
use crate::error::Error;
use crate::light::ease::ItemWeights;
use crate::reading::text_reader::TextReader;
use crate::tensors::{TensorFile, write_atomically, write_tensors};
use crate::tokens::prompt;
use crate::tokens::tables::{Tables, TokenTables};

/// Version of the file layout.
const FORMAT: u32 = 2;

const MANIFEST: &str = "model.json";
pub(crate) const TABLES: &str = "tables.safetensors";
const LIGHT: &str = "light.safetensors";
const POPULARITY: &str = "popularity.json";
const USERS: &str = "users.json";
const ITEMS: &str = "items.jsonl";

/// A model without its backbone, in memory.
#[derive(Debug)]
pub struct Artifact {
    /// What the model is: its format, its specification, its backbone and its
    /// metrics.
    pub manifest: Manifest,
    /// The learned rows of users and items.
    pub tables: Tables,
    /// The light model of a hybrid; absent in models that are none.
    pub light: Option<ItemWeights>,
    /// Training interactions of each item; absent in models that were trained
    /// before this was kept.
    pub popularity: Option<Vec<u32>>,
    /// Reads texts that came after training; absent in models that read none,
    /// or were trained before this was kept.
    pub texts: Option<TextReader>,
    /// External user ids by row, ascending.
    pub users: Vec<UserId>,
    /// Items by row, ascending by id.
    pub items: Vec<Item>,
}

/// The manifest of a model that was just trained. Metrics, the light model's
/// weight and the tokens of users are still to be filled in.
pub fn new_manifest(
    catalog: Catalog,
    spec: TrainSpec,
    backbone: ArtifactId,
    tables: &Tables,
) -> Manifest {
    Manifest {
        format: FORMAT,
        prompt_template: prompt::TEMPLATE_VERSION,
        catalog,
        dataset: spec.dataset.clone(),
        spec,
        backbone: Some(backbone),
        rows_sha256: rows_hash(&tables.collaborative),
        light_weight: 0.0,
        known_user: UserToken::Own,
        new_user: UserToken::Absent,
        metrics: BTreeMap::new(),
        is_final_fit: false,
    }
}

const HASHED_AT_ONCE: usize = 1 << 16;

/// Hash of the served rows, users before items: tells rows from elsewhere (a
/// cache) from wrong ones.
pub fn rows_hash(tables: &TokenTables) -> String {
    let mut hash = Sha256::new();
    for table in [&tables.users, &tables.items] {
        for part in table.values().chunks(HASHED_AT_ONCE) {
            let bytes = part.iter().flat_map(|value| value.to_le_bytes());
            hash.update(bytes.collect::<Vec<u8>>());
        }
    }
    hex::encode(hash.finalize())
}

/// Reads `model.json`, which says what the rest is; a foreign format is
/// refused.
pub fn read_manifest(folder: &Path) -> Result<Manifest, Error> {
    let path = folder.join(MANIFEST);
    let bytes = std::fs::read(&path).map_err(Error::file(&path))?;
    let version: Version = parse(&path, &bytes)?;
    let is_format = version.format == FORMAT;
    let is_template = version.prompt_template == prompt::TEMPLATE_VERSION;
    if !is_format || !is_template {
        let reason = format!(
            "format {} with prompt template {}; this program reads format {FORMAT} with template {}: retrain the model",
            version.format,
            version.prompt_template,
            prompt::TEMPLATE_VERSION
        );
        return Err(Error::malformed(path, reason));
    }
    parse(&path, &bytes)
}

/// What must be right before the rest of a manifest means anything.
#[derive(Deserialize)]
struct Version {
    format: u32,
    prompt_template: u32,
}

/// A model's users and items, by the rows that they have in its tables.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    /// External user ids by row, ascending.
    pub users: Vec<UserId>,
    /// Items by row, ascending by id.
    pub items: Vec<Item>,
}

impl Vocabulary {
    /// Reads the users and items of a model's folder.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        Ok(Self {
            users: read_json(&folder.join(USERS))?,
            items: read_items(&folder.join(ITEMS))?,
        })
    }
}

impl Artifact {
    /// Writes the files into an existing folder, the manifest last.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        write_tensors(&folder.join(TABLES), &self.tables.tensors(""))?;
        if let Some(light) = &self.light {
            light.write(&folder.join(LIGHT))?;
        }
        if let Some(popularity) = &self.popularity {
            write_atomically(&folder.join(POPULARITY), &json(popularity))?;
        }
        if let Some(texts) = &self.texts {
            texts.write(folder)?;
        }

        write_atomically(&folder.join(USERS), &json(&self.users))?;
        let mut lines = Vec::new();
        for item in &self.items {
            lines.extend(json(item));
            lines.push(b'\n');
        }
        write_atomically(&folder.join(ITEMS), &lines)?;
        write_atomically(&folder.join(MANIFEST), &json(&self.manifest))
    }

    /// Reads and cross-checks the files.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let manifest = read_manifest(folder)?;
        let Vocabulary { users, items } = Vocabulary::read(folder)?;
        let path = folder.join(TABLES);
        let tables = Tables::read(&TensorFile::open(&path)?, "")?;
        let served = &tables.collaborative;
        let n_users = served.users.n_rows();
        let n_items = served.items.n_rows();
        check_rows(&path, "user rows", n_users, users.len())?;
        check_rows(&path, "item rows", n_items, items.len())?;

        let light = if manifest.light_weight > 0.0 {
            let path = folder.join(LIGHT);
            Some(ItemWeights::read(&path, n_items)?)
        } else {
            None
        };

        let path = folder.join(POPULARITY);
        let popularity = read_popularity(&path, n_items)?;
        let width = served.items.width();
        let texts = TextReader::read(folder, n_items, width)?;
        Ok(Self {
            manifest,
            tables,
            light,
            popularity,
            texts,
            users,
            items,
        })
    }

    /// Checks that the tables fit the backbone.
    pub fn check_backbone(&self, backbone: &Backbone) -> Result<(), Error> {
        let width = self.tables.collaborative.items.width();
        let n_embd = backbone.n_embd();
        if n_embd != width {
            let reason = format!(
                "n_embd is {n_embd}, the model's tables are {width} wide"
            );
            let backbone = self.manifest.backbone.as_ref();
            let id =
                backbone.map_or("of a light model alone", ArtifactId::as_str);
            return Err(Error::malformed(format!("backbone {id}"), reason));
        }
        Ok(())
    }
}

fn check_rows(
    path: &Path,
    what: &str,
    found: usize,
    expected: usize,
) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    let reason = format!("{found} {what}, the vocabulary has {expected}");
    Err(Error::malformed(path, reason))
}

fn read_popularity(
    path: &Path,
    n_items: usize,
) -> Result<Option<Vec<u32>>, Error> {
    if !path.exists() {
        return Ok(None);
    }
    let popularity: Vec<u32> = read_json(path)?;
    let found = popularity.len();
    if found != n_items {
        let reason = format!("{found} counts, the catalogue has {n_items}");
        return Err(Error::malformed(path, reason));
    }
    Ok(Some(popularity))
}

fn read_items(path: &Path) -> Result<Vec<Item>, Error> {
    let file = File::open(path).map_err(Error::file(path))?;
    let mut items = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(Error::file(path))?;
        items.push(parse(path, line.as_bytes())?);
    }
    Ok(items)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = std::fs::read(path).map_err(Error::file(path))?;
    parse(path, &bytes)
}

fn parse<T: DeserializeOwned>(path: &Path, json: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(json)
        .map_err(|e| Error::malformed(path, e.to_string()))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data becomes JSON")
}
