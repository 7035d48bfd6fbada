//! How fast a worker's machine is.

use domain::{Calibration, Invalid, Part, Rate};

use crate::pb;

impl From<&Calibration> for pb::Calibration {
    fn from(machine: &Calibration) -> Self {
        Self {
            device: machine.device.clone(),
            precision: machine.precision.clone(),
            n_threads: u32::try_from(machine.n_threads).unwrap_or(u32::MAX),
            gemm_f32: machine.gemm_f32,
            gemm_bf16: machine.gemm_bf16,
            rates: machine.rates.iter().map(Into::into).collect(),
        }
    }
}

impl From<&Rate> for pb::Rate {
    fn from(rate: &Rate) -> Self {
        Self {
            part: rate.part.name().to_owned(),
            n_embd: u32::try_from(rate.n_embd).unwrap_or(u32::MAX),
            seconds: rate.seconds,
            tokens_per_second: rate.tokens_per_second,
            block_weights: rate.block_weights,
        }
    }
}

impl TryFrom<pb::Calibration> for Calibration {
    type Error = Invalid;

    /// A part that only a newer worker knows is left out; a rate that is no
    /// time is refused.
    fn try_from(machine: pb::Calibration) -> Result<Self, Invalid> {
        let mut rates = Vec::new();
        for rate in machine.rates {
            let is_time = rate.seconds.is_finite() && rate.seconds > 0.0;
            let is_number = rate.tokens_per_second.is_finite()
                && rate.block_weights.is_finite();
            if !(is_time && is_number) {
                let reason = format!(
                    "{} seconds for {} at {} tokens/s and {} weights",
                    rate.seconds,
                    rate.part,
                    rate.tokens_per_second,
                    rate.block_weights
                );
                return Err(Invalid::one("calibration.rates", reason));
            }

            if let Some(part) = Part::named(&rate.part) {
                let n_embd = rate.n_embd as usize;
                rates.push(Rate {
                    part,
                    n_embd,
                    seconds: rate.seconds,
                    tokens_per_second: rate.tokens_per_second,
                    block_weights: rate.block_weights,
                });
            }
        }

        for (name, speed) in [
            ("calibration.gemm_f32", Some(machine.gemm_f32)),
            ("calibration.gemm_bf16", machine.gemm_bf16),
        ] {
            let speed = speed.unwrap_or_default();
            if !speed.is_finite() {
                return Err(Invalid::one(name, format!("is {speed}")));
            }
        }

        Ok(Self {
            device: machine.device,
            precision: machine.precision,
            n_threads: machine.n_threads as usize,
            gemm_f32: machine.gemm_f32,
            gemm_bf16: machine.gemm_bf16,
            rates,
        })
    }
}
