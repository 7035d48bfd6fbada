//! How fast a machine is, measured, and how long a job will take on it.

use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::cost::operations::{Counts, operations};
use crate::cost::part::Part;
use crate::train_spec::TrainSpec;

/// The seconds that a machine takes for a floating-point operation of a part,
/// all that is done beside it included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// The part that was measured.
    pub part: Part,
    /// Width of the backbone that it was measured with.
    pub n_embd: usize,
    /// How many seconds an operation takes.
    pub seconds: f64,
    /// Real tokens a second; 0 where no rows are learned.
    pub tokens_per_second: f64,
}

/// What a machine does in a second, measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The device that computed.
    pub device: String,
    /// What it computed in: `f32` or `bf16`.
    pub precision: String,
    /// Cores that it may use.
    pub n_threads: usize,
    /// Products of two f32 matrices, in operations a second.
    pub gemm_f32: f64,
    /// The same in bf16; absent where the device has no bf16 in hardware.
    pub gemm_bf16: Option<f64>,
    /// The rate of each part, at one width or more.
    pub rates: Vec<Rate>,
}

impl Calibration {
    /// How long each part of a job will take, in seconds, if early stopping
    /// does not end it; `None` where a rate is missing or the backbone's shape
    /// is not known.
    pub fn estimate(
        &self,
        spec: &TrainSpec,
        counts: &Counts,
    ) -> Option<Vec<(Part, f64)>> {
        let Backbone::Random(backbone) = &spec.backbone else {
            return None;
        };
        let mut estimates = Vec::new();
        for (part, n_operations) in operations(spec, counts)? {
            if n_operations > 0.0 {
                let seconds = self.seconds(part, backbone.n_embd)?;
                estimates.push((part, seconds * n_operations));
            }
        }
        Some(estimates)
    }

    /// Seconds an operation at a width: between two that were measured in
    /// proportion to the widths' logarithms, outside of them as at the nearest.
    fn seconds(&self, part: Part, n_embd: usize) -> Option<f64> {
        let mut measured: Vec<(f64, f64)> = self
            .rates
            .iter()
            .filter(|rate| rate.part == part)
            .map(|rate| ((rate.n_embd as f64).ln(), rate.seconds))
            .collect();
        measured.sort_by(|one, other| one.0.total_cmp(&other.0));
        let at = (n_embd as f64).ln();
        let above = measured.iter().find(|(width, _)| *width >= at);
        let below = measured.iter().rev().find(|(width, _)| *width <= at);
        match (below, above) {
            (Some(&(low, slow)), Some(&(high, fast))) if high > low => {
                Some(slow + (fast - slow) * (at - low) / (high - low))
            }
            (Some((_, seconds)), _) | (None, Some((_, seconds))) => {
                Some(*seconds)
            }
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::BackboneLocation;
    use crate::ids::DatasetId;

    fn calibration(rates: &[(Part, usize, f64)]) -> Calibration {
        let rate = |&(part, n_embd, seconds)| Rate {
            part,
            n_embd,
            seconds,
            tokens_per_second: 0.0,
        };
        Calibration {
            device: "flex".to_owned(),
            precision: "f32".to_owned(),
            n_threads: 2,
            gemm_f32: 1e11,
            gemm_bf16: None,
            rates: rates.iter().map(rate).collect(),
        }
    }

    fn counts() -> Counts {
        Counts {
            n_users: 100,
            n_items: 50,
            n_train: 1_000,
            n_valid: 100,
            n_test: 100,
            text_lengths: vec![0, 0, 40],
        }
    }

    #[test]
    fn a_rate_between_two_widths_lies_between_theirs() {
        let machine = calibration(&[
            (Part::Content, 256, 4.0),
            (Part::Content, 1024, 2.0),
        ]);
        assert_eq!(machine.seconds(Part::Content, 512), Some(3.0));
        assert_eq!(machine.seconds(Part::Content, 64), Some(4.0));
        assert_eq!(machine.seconds(Part::Content, 2048), Some(2.0));
        assert_eq!(machine.seconds(Part::Ease, 256), None);
    }

    #[test]
    fn a_job_takes_in_proportion_to_its_epochs() {
        let rates: Vec<_> = Part::ALL
            .into_iter()
            .map(|part| (part, 256, 1e-11))
            .collect();
        let mut spec = TrainSpec::new(DatasetId::new("d").unwrap());
        let finetuning = |spec: &TrainSpec| {
            let parts = calibration(&rates).estimate(spec, &counts()).unwrap();
            parts
                .into_iter()
                .find(|(part, _)| *part == Part::Finetuning)
                .unwrap()
                .1
        };
        let once = finetuning(&spec);
        spec.finetuning.epochs *= 3;
        assert!((finetuning(&spec) / once - 3.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_said_of_what_is_not_known() {
        let machine = calibration(&[]);
        let spec = TrainSpec::new(DatasetId::new("d").unwrap());
        assert_eq!(machine.estimate(&spec, &counts()), None, "no rates");
        let uncounted = Counts {
            text_lengths: Vec::new(),
            ..counts()
        };
        assert_eq!(operations(&spec, &uncounted), None, "no lengths");
        let files = TrainSpec {
            backbone: Backbone::Path(BackboneLocation::new("gpt2").unwrap()),
            ..spec
        };
        assert_eq!(operations(&files, &counts()), None, "no shape");
    }
}
