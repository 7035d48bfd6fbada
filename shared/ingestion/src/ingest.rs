//! A data set into the artifact store and its histories beside it: both or
//! neither.

use dataset::{Dataset, ImportRecord, Report};
use domain::ArtifactId;
use storage::{Artifacts, Kind};

use crate::error::Error;
use crate::replaced::Replaced;
use crate::seeding::{HistoryKeeper, Seeding};

/// What became of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingested {
    /// The hash of its content.
    pub id: ArtifactId,
    /// How many events were new to the histories.
    pub n_seeded: usize,
    /// How many events of earlier data sets of this name were taken back.
    pub n_replaced: usize,
}

/// A data set that is stored, and whose histories are not seeded yet.
#[derive(Debug)]
pub struct Ingestion<'a> {
    artifacts: &'a Artifacts,
    dataset: &'a Dataset,
    id: ArtifactId,
    /// Whether it had been stored before.
    was_there: bool,
    /// What its import said.
    record: ImportRecord,
}

impl<'a> Ingestion<'a> {
    /// Writes a data set into the artifact store, and beside it what its import
    /// said.
    ///
    /// # Errors
    /// The files cannot be written or stored; nothing is left then.
    pub async fn begin(
        artifacts: &'a Artifacts,
        dataset: &'a Dataset,
        report: &Report,
    ) -> Result<Self, Error> {
        let before = artifacts.list(Kind::Dataset).await?;
        let staging = tempfile::tempdir()?;
        dataset.write(staging.path())?;
        let id = artifacts.put(Kind::Dataset, staging.path()).await?;
        let record = ImportRecord::of(dataset, report);
        note(artifacts, &id, &record).await;
        Ok(Self {
            artifacts,
            dataset,
            was_there: before.contains(&id),
            record,
            id,
        })
    }

    /// The hash of the data set's content.
    pub fn id(&self) -> &ArtifactId {
        &self.id
    }

    /// Seeds the histories, and takes back what earlier data sets of the same
    /// name and catalogue seeded and this one does not have: the file was
    /// corrected.
    ///
    /// # Errors
    /// The histories cannot be written; the data set is removed then, unless it
    /// had been stored before.
    pub async fn seed<K: HistoryKeeper>(
        mut self,
        seeding: &mut Seeding<K>,
    ) -> Result<Ingested, Error> {
        match self.record(seeding).await {
            Ok((n_seeded, n_replaced)) => {
                self.record.is_seeded = true;
                note(self.artifacts, &self.id, &self.record).await;
                Ok(Ingested {
                    id: self.id,
                    n_seeded,
                    n_replaced,
                })
            }
            Err(error) => {
                self.withdraw().await?;
                Err(error)
            }
        }
    }

    /// Removes the data set again, unless it had been stored before.
    ///
    /// # Errors
    /// It cannot be removed.
    pub async fn withdraw(self) -> Result<(), Error> {
        if !self.was_there {
            self.artifacts.delete(Kind::Dataset, &self.id).await?;
        }
        Ok(())
    }

    async fn record<K: HistoryKeeper>(
        &self,
        seeding: &mut Seeding<K>,
    ) -> Result<(usize, usize), Error> {
        let dataset = self.dataset;
        let n_seeded = seeding.record(dataset).await;
        let n_seeded = n_seeded.map_err(Error::Seeding)?;
        let mut n_replaced = 0;
        let replaced = Replaced::all_by(dataset, self.artifacts);
        for old in replaced.await? {
            if let Some(old) = old.dataset() {
                let taken_back = seeding.forget_replaced(&old, dataset).await;
                n_replaced += taken_back.map_err(Error::Replacing)?;
            }
        }
        Ok((n_seeded, n_replaced))
    }
}

/// Keeps what an import said beside the data set; everything but what people
/// look at works without it.
async fn note(artifacts: &Artifacts, id: &ArtifactId, record: &ImportRecord) {
    let noted = match serde_json::to_vec(record) {
        Ok(bytes) => {
            let note = (ImportRecord::FILE, bytes);
            let noted = artifacts.annotate(Kind::Dataset, id, note).await;
            noted.map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = noted {
        tracing::warn!(%id, error, "what an import said is not kept");
    }
}
