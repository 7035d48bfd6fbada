//! The version that a job starts from, `start_from`: its rows where users and
//! items are the same, and what its job chose.
//!
//! A model cannot be measured on what it has learned from. So a measured fit
//! starts from the rows of the version's own measured fit, and learns from each
//! held-out interaction that the version had learned from; the final fit starts
//! from the rows that are served.

use std::collections::HashMap;

use dataset::{Dataset, Split};
use domain::{LEARNED_BEFORE, ModelManifest, TrainSpec};
use model::{
    Backbone, FitKind, RowMap, RowPair, Table, Tables, TokenTables, Vocabulary,
    has_measured, read_manifest, read_tables,
};

use crate::contract::input::EarlierVersion;
use crate::error::Error;
use crate::evaluation::choices::Choices;

/// A version that a job starts from, without its numbers.
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

/// All splits of a data set.
const ALL: [Split; 3] = [Split::Train, Split::Valid, Split::Test];

impl<'a> Earlier<'a> {
    pub(crate) fn open(version: &'a EarlierVersion) -> Result<Self, Error> {
        let folder = &version.model;
        Ok(Self {
            version,
            manifest: read_manifest(folder).map_err(Error::Earlier)?,
            vocabulary: Vocabulary::read(folder).map_err(Error::Earlier)?,
            choices: Choices::read(folder),
        })
    }

    /// Learns from what the version has learned from, where the data set holds
    /// it out; returns how many interactions these are.
    pub(crate) fn leave_out_learned(
        &self,
        dataset: &mut Dataset,
    ) -> Result<usize, Error> {
        let before = Dataset::read_without_texts(&self.version.dataset)
            .map_err(Error::Data)?;
        let n_learned = dataset.learn_from(&before, self.learned());
        tracing::info!(
            n_learned,
            "held-out interactions that the earlier version learned from are learned from"
        );
        Ok(n_learned)
    }

    /// The splits of its data set that its measured fit has learned from.
    fn learned(&self) -> &'static [Split] {
        let metrics = &self.manifest.metrics;
        let n_before = metrics.get(LEARNED_BEFORE).copied();
        let is_measured_fit =
            !self.manifest.is_final_fit || has_measured(&self.version.model);
        // Which interactions it had taken over is not known any more.
        if is_measured_fit && n_before.unwrap_or(0.0) == 0.0 {
            &ALL[..1]
        } else {
            &ALL
        }
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
        TokenTables {
            users: carried_on(&fresh.users, &earlier.users, &self.users),
            items: carried_on(&fresh.items, &earlier.items, &self.items),
        }
    }
}

fn carried_on(fresh: &Table, earlier: &Table, places: &[Option<u32>]) -> Table {
    let mut pairs = Vec::new();
    for (row, place) in (0..).zip(places) {
        pairs.extend(place.map(|to| RowPair { from: row, to }));
    }
    let is_complete = pairs.len() == places.len();
    let map = if is_complete {
        None
    } else {
        RowMap::fit(fresh, earlier, &pairs)
    };
    let mut values = Vec::with_capacity(places.len() * fresh.width());
    for (row, place) in (0..).zip(places) {
        match (place, &map) {
            (Some(place), _) => values.extend_from_slice(&earlier.row(*place)),
            (None, Some(map)) => values.extend(map.row(&fresh.row(row))),
            (None, None) => values.extend_from_slice(&fresh.row(row)),
        }
    }
    Table::new(values, fresh.width())
}
