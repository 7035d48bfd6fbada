//! Writes a finished job's files into its scratch folder: the model, and the
//! backbone beside it. A disk that is full is waited for.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use dataset::Dataset;
use domain::{Part, TrainSpec};
use model::{
    Artifact, TextReader, copy_measured, new_manifest, write_measured,
};

use crate::contract::input::{Input, Trained};
use crate::contract::progress::Progress;
use crate::disk;
use crate::error::Error;
use crate::evaluation::choices::Evaluated;
use crate::evaluation::choose::Chosen;
use crate::material::corpus::Corpus;

/// How long a full disk is waited for with a trained model at hand.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// A model that is ready to be written.
pub(crate) struct Finished {
    pub(crate) chosen: Chosen,
    pub(crate) metrics: BTreeMap<String, f64>,
    /// What the model was fitted on.
    pub(crate) corpus: Corpus,
    /// True where that is all interactions, and the metrics are those of the
    /// model before.
    pub(crate) is_final_fit: bool,
}

impl Finished {
    /// What is kept of a measured model for the final fit.
    pub(crate) fn into_evaluated(self, spec: &TrainSpec) -> Evaluated {
        Evaluated {
            choices: self.chosen.choices(spec),
            metrics: self.metrics,
        }
    }
}

/// Keeps the numbers of a measured model in the scratch folder, for the files of
/// the model that is fitted finally.
pub(crate) fn keep_measured(
    chosen: &Chosen,
    scratch: &Path,
) -> Result<(), Error> {
    let partner = chosen.partner.as_ref();
    let light = partner.map(|partner| &partner.light.weights);
    Ok(write_measured(scratch, &chosen.candidate.tables, light)?)
}

/// Writes a finished job's files.
pub(crate) fn write(
    finished: Finished,
    input: &Input,
    dataset: &Dataset,
    progress: &mut Progress,
) -> Result<Trained, Error> {
    let Finished {
        chosen,
        metrics,
        corpus,
        is_final_fit,
    } = finished;
    progress.begins(Part::Saving);
    let popularity = corpus.histories.popularity();
    let choices = chosen.choices(&input.spec);
    let texts = chosen.text_map;
    let texts = texts.map(|map| TextReader::new(corpus.counted_words, map));
    let candidate = chosen.candidate;
    let backbone = input.scratch.join("backbone");
    write_folder(&backbone, progress, |folder| {
        candidate.backbone.write(folder).map_err(Error::from)
    })?;
    let mut manifest = new_manifest(
        dataset.manifest.catalog.clone(),
        input.spec.clone(),
        storage::content_id(&backbone)?,
        &candidate.tables,
    );
    manifest.metrics = metrics.clone();
    manifest.is_final_fit = is_final_fit;
    manifest.known_user = chosen.known_user;
    manifest.new_user = chosen.new_user;
    let mut light = None;
    if let Some(partner) = chosen.partner {
        manifest.light_weight = partner.weight;
        light = Some(partner.light.weights);
    }
    let model = input.scratch.join("model");
    let artifact = Artifact {
        manifest,
        tables: candidate.tables,
        light,
        popularity: Some(popularity),
        texts,
        users: dataset.users.clone(),
        items: dataset.items.clone(),
    };
    write_folder(&model, progress, |folder| {
        artifact.write(folder)?;
        copy_measured(&input.scratch, folder)?;
        choices.write(folder)
    })?;
    // Beginning a part ends the one before: what writing took is noted.
    progress.begins(Part::Saving);
    Ok(Trained {
        model,
        backbone,
        metrics,
    })
}

/// Writes a new folder; where the disk has no room for it, again and again for
/// a while.
fn write_folder(
    folder: &Path,
    progress: &Progress,
    write: impl Fn(&Path) -> Result<(), Error>,
) -> Result<(), Error> {
    let until = Instant::now() + PATIENCE;
    loop {
        disk::remove_folder(folder)?;
        let written = disk::new_folder(folder).and_then(|()| write(folder));
        match written {
            Err(error) if error.is_passing() && Instant::now() < until => {
                let error = service::chain(&error);
                tracing::warn!(error, "cannot write the model yet");
            }
            other => return other,
        }
        // Room for others meanwhile.
        disk::remove_folder(folder)?;
        progress.check()?;
        std::thread::sleep(PAUSE);
    }
}
