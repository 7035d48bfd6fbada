//! A trained model as files: everything that serving needs, self-describing and immutable.
//!
//! `model.json` (the manifest), `tables.safetensors`, `users.json`, `items.jsonl`,
//! `popularity.json`, for a hybrid `light.safetensors`.
//! The backbone is kept once for all models that share it, in a folder of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use domain::{ArtifactId, Catalog, Item, ModelManifest as Manifest, TrainSpec, UserId, UserToken};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::backbone::decoder::Backbone;
use crate::error::Error;
use crate::light::ease::ItemWeights;
use crate::tensors::{TensorFile, write_atomically, write_tensors};
use crate::tokens::prompt;
use crate::tokens::tables::{Tables, TokenTables};

/// Version of the file layout.
const FORMAT: u32 = 2;
const LIGHT: &str = "light.safetensors";
const POPULARITY: &str = "popularity.json";

/// A model without its backbone, in memory.
#[derive(Debug)]
pub struct Artifact {
    /// What it is.
    pub manifest: Manifest,
    /// What was learned.
    pub tables: Tables,
    /// The light model of a hybrid.
    pub light: Option<ItemWeights>,
    /// Training interactions of each item; absent in models that were trained before this was kept.
    pub popularity: Option<Vec<u32>>,
    /// External user ids by row, ascending.
    pub users: Vec<UserId>,
    /// Items by row, ascending by id.
    pub items: Vec<Item>,
}

/// The manifest of a model that was just trained.
pub fn new_manifest(
    catalog: Catalog,
    spec: TrainSpec,
    backbone: ArtifactId,
    tables: &Tables,
    metrics: BTreeMap<String, f64>,
) -> Manifest {
    let dataset = spec.dataset.clone();
    let rows_sha256 = rows_hash(&tables.collaborative);
    let prompt_template = prompt::TEMPLATE_VERSION;
    Manifest {
        format: FORMAT,
        prompt_template,
        catalog,
        dataset,
        spec,
        backbone: Some(backbone),
        rows_sha256,
        light_weight: 0.0,
        known_user: UserToken::Own,
        new_user: UserToken::Absent,
        metrics,
    }
}

/// Hash of the served rows, users before items: tells rows from elsewhere (a cache) from wrong
/// ones.
pub fn rows_hash(tables: &TokenTables) -> String {
    let mut hash = Sha256::new();
    for table in [&tables.users, &tables.items] {
        table.values().chunks(1 << 16).for_each(|part| {
            hash.update(
                part.iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect::<Vec<u8>>(),
            );
        });
    }
    hex::encode(hash.finalize())
}

/// Reads `model.json`, which says what the rest is; a foreign format is refused.
pub fn read_manifest(folder: &Path) -> Result<Manifest, Error> {
    let path = folder.join("model.json");
    let bytes = std::fs::read(&path).map_err(Error::file(&path))?;
    let malformed = |e: serde_json::Error| Error::malformed(&path, e.to_string());
    let version: Version = serde_json::from_slice(&bytes).map_err(malformed)?;
    if version.format != FORMAT || version.prompt_template != prompt::TEMPLATE_VERSION {
        let reason = format!(
            "format {} with prompt template {}; this program reads format {FORMAT} with template {}: retrain the model",
            version.format,
            version.prompt_template,
            prompt::TEMPLATE_VERSION
        );
        return Err(Error::malformed(path, reason));
    }
    serde_json::from_slice(&bytes).map_err(malformed)
}

/// What must be right before the rest of a manifest means anything.
#[derive(Deserialize)]
struct Version {
    format: u32,
    prompt_template: u32,
}

impl Artifact {
    /// Writes the files into an existing folder.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        write_tensors(&folder.join("tables.safetensors"), &self.tables.tensors(""))?;
        if let Some(light) = &self.light {
            light.write(&folder.join(LIGHT))?;
        }
        if let Some(popularity) = &self.popularity {
            write_atomically(&folder.join(POPULARITY), &json(popularity))?;
        }
        write_atomically(&folder.join("users.json"), &json(&self.users))?;
        let lines: Vec<u8> = self
            .items
            .iter()
            .flat_map(|item| [json(item), b"\n".to_vec()].concat())
            .collect();
        write_atomically(&folder.join("items.jsonl"), &lines)?;
        write_atomically(&folder.join("model.json"), &json(&self.manifest))
    }

    /// Reads and cross-checks the files.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let manifest = read_manifest(folder)?;
        let path = folder.join("users.json");
        let bytes = std::fs::read(&path).map_err(Error::file(&path))?;
        let users: Vec<UserId> =
            serde_json::from_slice(&bytes).map_err(|e| Error::malformed(&path, e.to_string()))?;
        let items = read_items(&folder.join("items.jsonl"))?;
        let path = folder.join("tables.safetensors");
        let tables = Tables::read(&TensorFile::open(&path)?, "")?;
        for (what, found, expected) in [
            (
                "user rows",
                tables.collaborative.users.n_rows(),
                users.len(),
            ),
            (
                "item rows",
                tables.collaborative.items.n_rows(),
                items.len(),
            ),
        ] {
            if found != expected {
                return Err(Error::malformed(
                    &path,
                    format!("{found} {what}, the vocabulary has {expected}"),
                ));
            }
        }
        let is_hybrid = manifest.light_weight > 0.0;
        let light = is_hybrid
            .then(|| ItemWeights::read(&folder.join(LIGHT), items.len()))
            .transpose()?;
        let popularity = read_popularity(&folder.join(POPULARITY), items.len())?;
        Ok(Self {
            manifest,
            tables,
            light,
            popularity,
            users,
            items,
        })
    }

    /// Checks that the tables fit the backbone.
    pub fn check_backbone(&self, backbone: &Backbone) -> Result<(), Error> {
        let (width, n_embd) = (self.tables.collaborative.items.width(), backbone.n_embd());
        if n_embd != width {
            let reason = format!("n_embd is {n_embd}, the model's tables are {width} wide");
            let backbone = self.manifest.backbone.as_ref();
            let id = backbone.map_or("of a light model alone", ArtifactId::as_str);
            return Err(Error::malformed(format!("backbone {id}"), reason));
        }
        Ok(())
    }
}

fn read_popularity(path: &Path, n_items: usize) -> Result<Option<Vec<u32>>, Error> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(Error::file(path))?;
    let popularity: Vec<u32> =
        serde_json::from_slice(&bytes).map_err(|e| Error::malformed(path, e.to_string()))?;
    if popularity.len() != n_items {
        return Err(Error::malformed(
            path,
            format!("{} counts, the catalogue has {n_items}", popularity.len()),
        ));
    }
    Ok(Some(popularity))
}

fn read_items(path: &Path) -> Result<Vec<Item>, Error> {
    let file = std::fs::File::open(path).map_err(Error::file(path))?;
    let mut items = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(Error::file(path))?;
        items.push(serde_json::from_str(&line).map_err(|e| Error::malformed(path, e.to_string()))?);
    }
    Ok(items)
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data becomes JSON")
}
