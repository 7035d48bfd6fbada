//! Writes a finished job's files into its scratch folder: the model, and the
//! backbone beside it.

use std::collections::BTreeMap;

use dataset::Dataset;
use model::{Artifact, CountedWords, TextReader, new_manifest};

use crate::contract::input::{Input, Trained};
use crate::disk::new_folder;
use crate::error::Error;
use crate::evaluation::choose::Chosen;

/// A model that is ready to be written.
pub(crate) struct Finished {
    pub(crate) chosen: Chosen,
    pub(crate) metrics: BTreeMap<String, f64>,
    /// Training interactions of each item.
    pub(crate) popularity: Vec<u32>,
    /// The words of the items' texts.
    pub(crate) counted_words: CountedWords,
}

pub(crate) fn write(
    finished: Finished,
    input: &Input,
    dataset: &Dataset,
) -> Result<Trained, Error> {
    let Finished {
        chosen,
        metrics,
        popularity,
        counted_words,
    } = finished;
    let texts = chosen.text_map;
    let texts = texts.map(|map| TextReader::new(counted_words, map));
    let candidate = chosen.candidate;
    let backbone = new_folder(&input.scratch, "backbone")?;
    candidate.backbone.write(&backbone)?;
    let mut manifest = new_manifest(
        dataset.manifest.catalog.clone(),
        input.spec.clone(),
        storage::content_id(&backbone)?,
        &candidate.tables,
    );
    manifest.metrics = metrics.clone();
    manifest.known_user = chosen.known_user;
    manifest.new_user = chosen.new_user;
    let mut light = None;
    if let Some(partner) = chosen.partner {
        manifest.light_weight = partner.weight;
        light = Some(partner.light.weights);
    }
    let model = new_folder(&input.scratch, "model")?;
    let artifact = Artifact {
        manifest,
        tables: candidate.tables,
        light,
        popularity: Some(popularity),
        texts,
        users: dataset.users.clone(),
        items: dataset.items.clone(),
    };
    artifact.write(&model)?;
    Ok(Trained {
        model,
        backbone,
        metrics,
    })
}
