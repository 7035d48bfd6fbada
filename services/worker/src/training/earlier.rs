//! The version that a job starts from, `start_from`: its rows where users and
//! items are the same, and what its job chose.
//!
//! A model cannot be measured on what it has learned from. So a measured fit
//! starts from the rows of the version's own measured fit, and learns from each
//! held-out interaction that the version had learned from; the final fit starts
//! from the rows that are served.

use std::collections::HashMap;
use std::path::Path;

use dataset::{Dataset, Split};
use domain::{ModelManifest, TableInit, TrainSpec};
use model::{
    Backbone, FitKind, MEASURED_SPLITS, RowMap, RowPair, Table, Tables,
    TokenTables, Vocabulary, has_measured, read_manifest, read_tables,
};

use crate::contract::input::EarlierVersion;
use crate::disk;
use crate::error::Error;
use crate::evaluation::choices::Choices;

/// A version that a job starts from: its manifest, ids and choices. Its tables
/// are read by [`Earlier::rows`].
pub(crate) struct Earlier<'a> {
    version: &'a EarlierVersion,
    manifest: ModelManifest,
    vocabulary: Vocabulary,
    choices: Option<Choices>,
}

/// The rows of an earlier version, and which of them belong to the users and
/// items of a job.
#[derive(Debug)]
pub(crate) struct EarlierRows {
    tables: Tables,
    /// The earlier row of each user of the job; none of new ones.
    users: Vec<Option<u32>>,
    /// The earlier row of each item of the job; none of new ones.
    items: Vec<Option<u32>>,
    choices: Option<Choices>,
    /// What the earlier job asked for.
    spec: TrainSpec,
}

/// All splits of a data set, in the order of their numbers.
const ALL: [Split; 3] = [Split::Train, Split::Valid, Split::Test];
/// Writes the splits of a measured fit that learns from more than its data set
/// says.
pub(super) fn write_splits(
    folder: &Path,
    dataset: &Dataset,
) -> Result<(), Error> {
    let splits = dataset.interactions.splits.iter();
    let bytes: Vec<u8> = splits.map(|&split| split as u8).collect();
    disk::write(&folder.join(MEASURED_SPLITS), &bytes)
}

impl<'a> Earlier<'a> {
    pub(crate) fn open(version: &'a EarlierVersion) -> Result<Self, Error> {
        let folder = &version.model;
        Ok(Self {
            version,
            manifest: read_manifest(folder).map_err(Error::Earlier)?,
            vocabulary: Vocabulary::read(folder).map_err(Error::Earlier)?,
            choices: Choices::read(folder)?,
        })
    }

    /// Learns from what the version has learned from, where the data set holds
    /// it out; returns how many interactions these are.
    pub(crate) fn learn_again(
        &self,
        dataset: &mut Dataset,
    ) -> Result<usize, Error> {
        let mut before = Dataset::read_without_texts(&self.version.dataset)
            .map_err(Error::Data)?;
        if let Some(splits) = self.splits_of_its_fit(&before)? {
            before.interactions.splits = splits;
        }
        let n_learned = dataset.learn_from(&before, self.learned());
        let n_left = dataset.manifest.n_test;
        tracing::info!(
            n_learned,
            n_left,
            "held-out interactions that the earlier version learned from are learned from"
        );
        if n_learned > 0 && n_left == 0 {
            tracing::warn!("nothing is left to measure the model on");
        }
        Ok(n_learned)
    }

    /// The splits that its data set had in its measured fit; `None` where these
    /// are the stored ones.
    fn splits_of_its_fit(
        &self,
        before: &Dataset,
    ) -> Result<Option<Vec<Split>>, Error> {
        let path = self.version.model.join(MEASURED_SPLITS);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = std::fs::read(&path).map_err(Error::file(&path))?;
        let mut splits = Vec::with_capacity(bytes.len());
        for byte in bytes {
            splits.extend(ALL.get(usize::from(byte)));
        }
        if splits.len() != before.interactions.splits.len() {
            return Err(Error::damaged(
                &path,
                "it has not one split for each interaction of the data set",
            ));
        }
        Ok(Some(splits))
    }

    /// The splits of its data set that its measured fit has learned from.
    fn learned(&self) -> &'static [Split] {
        let is_measured_fit =
            !self.manifest.is_final_fit || has_measured(&self.version.model);
        if is_measured_fit { &ALL[..1] } else { &ALL }
    }

    /// The rows of one of its fits, for the users and items of a job.
    pub(super) fn rows(
        &self,
        fit: FitKind,
        dataset: &Dataset,
        backbone: &Backbone,
    ) -> Result<EarlierRows, Error> {
        let folder = &self.version.model;
        let tables = read_tables(folder, fit).map_err(Error::Earlier)?;
        let width = tables.collaborative.items.width();
        let n_embd = backbone.n_embd();
        if width != n_embd {
            return Err(Error::Spec(format!(
                "start_from: the rows of that version are {width} wide, the backbone of this job is {n_embd} wide"
            )));
        }
        let known = &self.vocabulary;
        let users = dataset.users.iter().map(|user| user.as_str());
        let items = dataset.items.iter().map(|item| item.id.as_str());
        Ok(EarlierRows {
            tables,
            users: places(known.users.iter().map(|user| user.as_str()), users),
            items: places(
                known.items.iter().map(|item| item.id.as_str()),
                items,
            ),
            choices: self.choices.clone(),
            spec: self.manifest.spec.clone(),
        })
    }
}

/// The place of each wanted id among those that are known.
fn places<'a>(
    known: impl Iterator<Item = &'a str>,
    wanted: impl Iterator<Item = &'a str>,
) -> Vec<Option<u32>> {
    let known: HashMap<&str, u32> = known.zip(0..).collect();
    wanted.map(|id| known.get(id).copied()).collect()
}

impl EarlierRows {
    /// What its job chose, where this one asks for the same.
    pub(super) fn choices_for(&self, spec: &TrainSpec) -> Option<&Choices> {
        let is_same = self.spec.reading == spec.reading
            && self.spec.init == spec.init
            && self.spec.spectral_rank == spec.spectral_rank
            && self.spec.wants_ease() == spec.wants_ease();
        self.choices.as_ref().filter(|_| is_same)
    }

    /// The earlier rows for whom they are known; for the others what `fresh`
    /// rows become under the map from those of the known ones to theirs.
    pub(super) fn carried_on(&self, fresh: &Tables) -> Tables {
        Tables {
            collaborative: self.carried_on_pair(
                &fresh.collaborative,
                &self.tables.collaborative,
            ),
            content: self.carried_on_pair(&fresh.content, &self.tables.content),
        }
    }

    fn carried_on_pair(
        &self,
        fresh: &TokenTables,
        earlier: &TokenTables,
    ) -> TokenTables {
        let (users, items) = (&self.users, &self.items);
        // Rows that were drawn at random mean nothing in any direction.
        if self.spec.init == TableInit::Normal {
            return TokenTables {
                users: replaced(&fresh.users, &earlier.users, users),
                items: replaced(&fresh.items, &earlier.items, items),
            };
        }
        TokenTables {
            users: mapped(&fresh.users, &earlier.users, users),
            items: mapped(&fresh.items, &earlier.items, items),
        }
    }
}

/// The earlier rows; for the new ones what their fresh rows become under the map
/// from the fresh rows of the known ones to their earlier rows.
fn mapped(fresh: &Table, earlier: &Table, places: &[Option<u32>]) -> Table {
    let mut pairs = Vec::new();
    for (row, place) in (0..).zip(places) {
        pairs.extend(place.map(|to| RowPair { from: row, to }));
    }
    if pairs.len() == places.len() {
        return replaced(fresh, earlier, places);
    }
    let Some(map) = RowMap::fit(fresh, earlier, &pairs) else {
        tracing::warn!(
            "no map to the earlier rows: new ones start as if from nothing"
        );
        return replaced(fresh, earlier, places);
    };
    let mut values = Vec::with_capacity(places.len() * fresh.width());
    for (row, place) in (0..).zip(places) {
        match place {
            Some(place) => values.extend_from_slice(&earlier.row(*place)),
            None => values.extend(map.row(&fresh.row(row))),
        }
    }
    Table::new(values, fresh.width())
}

/// The earlier rows; the fresh ones where there are none.
fn replaced(fresh: &Table, earlier: &Table, places: &[Option<u32>]) -> Table {
    let mut values = Vec::with_capacity(places.len() * fresh.width());
    for (row, place) in (0..).zip(places) {
        match place {
            Some(place) => values.extend_from_slice(&earlier.row(*place)),
            None => values.extend_from_slice(&fresh.row(row)),
        }
    }
    Table::new(values, fresh.width())
}
