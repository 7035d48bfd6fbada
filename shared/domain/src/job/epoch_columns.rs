//! Epochs' reports as they are stored: a job has many, of few stages, so that
//! each field is a column. An earlier program wrote a list of reports; that is
//! read too.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::job::progress::EpochReport;

/// Reports, a column a field.
#[derive(Default, Serialize, Deserialize)]
struct Columns {
    /// Names of the stages.
    stages: Vec<String>,
    /// Each report's stage: its place in `stages`.
    stage: Vec<usize>,
    epoch: Vec<usize>,
    loss: Vec<f64>,
    /// NDCG@100 on validation behind the report's place, where it was
    /// measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    valid: Vec<(usize, f64)>,
}

/// What may be stored.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Columns(Columns),
    List(Vec<EpochReport>),
}

impl Columns {
    fn push(&mut self, report: &EpochReport) {
        let known = self.stages.iter().position(|name| *name == report.stage);
        let stage = known.unwrap_or_else(|| {
            self.stages.push(report.stage.clone());
            self.stages.len() - 1
        });
        if let Some(ndcg) = report.valid_ndcg_100 {
            self.valid.push((self.loss.len(), ndcg));
        }

        self.stage.push(stage);
        self.epoch.push(report.epoch);
        self.loss.push(report.loss);
    }

    /// The reports; `None` where the columns do not fit each other.
    fn reports(self) -> Option<Vec<EpochReport>> {
        let valid: BTreeMap<usize, f64> = self.valid.into_iter().collect();
        let mut reports = Vec::with_capacity(self.loss.len());
        for (place, loss) in self.loss.into_iter().enumerate() {
            let stage = *self.stage.get(place)?;
            reports.push(EpochReport {
                stage: self.stages.get(stage)?.clone(),
                epoch: *self.epoch.get(place)?,
                loss,
                valid_ndcg_100: valid.get(&place).copied(),
            });
        }

        Some(reports)
    }
}

pub(super) fn serialize<S: Serializer>(
    reports: &[EpochReport],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut columns = Columns::default();
    for report in reports {
        columns.push(report);
    }

    columns.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    stored: D,
) -> Result<Vec<EpochReport>, D::Error> {
    match Stored::deserialize(stored)? {
        Stored::List(reports) => Ok(reports),
        Stored::Columns(columns) => columns
            .reports()
            .ok_or_else(|| D::Error::custom("a column of epochs is short")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Progress;

    #[test]
    fn columns_and_a_list_are_read_as_what_was_written() {
        let report = |stage: &str, epoch: usize, valid| EpochReport {
            stage: stage.to_owned(),
            epoch,
            loss: std::f64::consts::PI / epoch as f64,
            valid_ndcg_100: valid,
        };
        let mut epochs = Vec::new();
        for epoch in 1..=9 {
            // Two stages alternate.
            epochs.push(report("content", epoch, None));
            epochs.push(report("collaborative", epoch, None));
        }
        for epoch in 1..=90 {
            let valid = (epoch % 5 == 0).then_some(0.1 / epoch as f64);
            epochs.push(report("finetuning", epoch, valid));
        }
        let progress = Progress {
            epochs: epochs.clone(),
            ..Progress::default()
        };
        let text = serde_json::to_string(&progress).unwrap();
        let read: Progress = serde_json::from_str(&text).unwrap();
        assert_eq!(read, progress);
        let list = serde_json::to_string(&epochs).unwrap();
        assert!(3 * text.len() < 2 * list.len());
        let earlier = format!("{{\"epochs\":{list}}}");
        let read: Progress = serde_json::from_str(&earlier).unwrap();
        assert_eq!(read, progress);
    }
}
