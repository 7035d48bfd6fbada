//! How fast a machine is, measured, and how long a job will take on it.

use serde::{Deserialize, Serialize};

use crate::cost::body::Body;
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
    /// Weights of that backbone's blocks; 0 in records from before it was kept.
    #[serde(default)]
    pub block_weights: f64,
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
    /// The rate of each part, with one backbone or more.
    pub rates: Vec<Rate>,
}

impl Rate {
    /// True for what an earlier version measured, which counted some parts'
    /// operations otherwise.
    pub fn is_counted_otherwise(&self) -> bool {
        self.block_weights <= 0.0
    }

    /// Weights of the blocks, which were one of GPT-2's or two where it is not
    /// said.
    fn block_weights(&self) -> f64 {
        if self.block_weights > 0.0 {
            return self.block_weights;
        }
        let square = self.n_embd * self.n_embd;
        12.0 * square.max(1) as f64
    }
}

impl Calibration {
    /// How long each part of a job on a language model of these sizes will
    /// take, in seconds, if early stopping does not end it; `None` where a rate
    /// is missing or the data set's texts were not counted.
    pub fn estimate(
        &self,
        spec: &TrainSpec,
        counts: &Counts,
        body: &Body,
    ) -> Option<Vec<(Part, f64)>> {
        let mut estimates = Vec::new();
        for (part, n_operations) in operations(spec, counts, body)? {
            if n_operations > 0.0 {
                let seconds = self.seconds(part, body.block_weights())?;
                estimates.push((part, seconds * n_operations));
            }
        }
        Some(estimates)
    }

    /// Seconds an operation where a backbone's blocks have so many weights. The
    /// more a token computes, the less counts what is done beside it: between
    /// two backbones that were measured in proportion to the logarithms of
    /// their weights, outside of them as at the nearest.
    fn seconds(&self, part: Part, block_weights: f64) -> Option<f64> {
        let mut measured: Vec<(f64, f64)> = self
            .rates
            .iter()
            .filter(|rate| rate.part == part)
            .map(|rate| (rate.block_weights().ln(), rate.seconds))
            .collect();
        measured.sort_by(|one, other| one.0.total_cmp(&other.0));
        let at = block_weights.ln();
        let above = measured.iter().find(|(size, _)| *size >= at);
        let below = measured.iter().rev().find(|(size, _)| *size <= at);
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
    use crate::backbone::RandomBackbone;
    use crate::ids::DatasetId;

    fn calibration(rates: &[(Part, usize, f64)]) -> Calibration {
        let rate = |&(part, n_embd, seconds)| Rate {
            part,
            n_embd,
            block_weights: 0.0,
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
    fn a_rate_between_two_backbones_lies_between_theirs() {
        let mut machine = calibration(&[
            (Part::Content, 256, 4.0),
            (Part::Content, 1024, 2.0),
        ]);
        let of_width = |n_embd: f64| 12.0 * n_embd * n_embd;
        let seconds = |machine: &Calibration, n_embd| {
            machine.seconds(Part::Content, of_width(n_embd)).unwrap()
        };
        assert!((seconds(&machine, 512.0) - 3.0).abs() < 1e-9);
        assert_eq!(seconds(&machine, 64.0), 4.0);
        assert_eq!(seconds(&machine, 2048.0), 2.0);
        assert_eq!(machine.seconds(Part::Ease, 1.0), None);
        machine.rates[0].block_weights = of_width(512.0);
        assert_eq!(seconds(&machine, 512.0), 4.0, "what is kept counts");
    }

    #[test]
    fn thirty_narrow_blocks_are_as_quick_as_two_wide_ones() {
        let machine = calibration(&[
            (Part::Finetuning, 256, 4.0),
            (Part::Finetuning, 768, 2.0),
        ]);
        let deep = Body::from(&RandomBackbone {
            n_embd: 576,
            n_layer: 30,
            ..RandomBackbone::default()
        });
        let seconds = machine.seconds(Part::Finetuning, deep.block_weights());
        assert_eq!(seconds, Some(2.0), "a token computes more than in both");
    }

    /// A machine on which each operation takes as long, whatever the width.
    fn steady_machine() -> Calibration {
        let rates: Vec<_> = Part::ALL
            .into_iter()
            .map(|part| (part, 256, 1e-11))
            .collect();
        calibration(&rates)
    }

    fn spec() -> TrainSpec {
        TrainSpec::new(DatasetId::new("d").unwrap())
    }

    fn of_blocks(n_layer: usize) -> Body {
        Body::from(&RandomBackbone {
            n_layer,
            ..RandomBackbone::default()
        })
    }

    /// Seconds of finetuning.
    fn finetuning(spec: &TrainSpec, body: &Body) -> f64 {
        let parts = steady_machine().estimate(spec, &counts(), body).unwrap();
        let is_finetuning = |part: &&(Part, f64)| part.0 == Part::Finetuning;
        parts.iter().find(is_finetuning).unwrap().1
    }

    #[test]
    fn a_job_takes_in_proportion_to_its_epochs() {
        let (mut spec, body) = (spec(), of_blocks(1));
        let once = finetuning(&spec, &body);
        spec.finetuning.epochs *= 3;
        assert!((finetuning(&spec, &body) / once - 3.0).abs() < 1e-9);
    }

    #[test]
    fn each_block_of_a_body_takes_as_long_as_the_one_before() {
        let seconds = [2, 3, 30].map(|n| finetuning(&spec(), &of_blocks(n)));
        let one = seconds[1] - seconds[0];
        let more = seconds[2] - seconds[1];
        assert!((more / one - 27.0).abs() < 1e-6, "{seconds:?}");
    }

    #[test]
    fn nothing_is_said_of_what_is_not_known() {
        let (machine, body) = (calibration(&[]), of_blocks(1));
        let known = machine.estimate(&spec(), &counts(), &body);
        assert_eq!(known, None, "no rates");
        let uncounted = Counts {
            text_lengths: Vec::new(),
            ..counts()
        };
        let known = steady_machine().estimate(&spec(), &uncounted, &body);
        assert_eq!(known, None, "no lengths");
    }
}
