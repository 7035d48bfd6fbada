//! Rotary positions (reference: `LlamaRotaryEmbedding`,
//! `_compute_llama3_parameters`): how far each pair of a head's entries is
//! turned at each position.

use std::f64::consts::TAU;

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::backbone::kernels::Rotation;
use crate::backbone::layout::Layout;
use crate::backbone::llama::config::{Rope, RopeScaling};

/// Cosines and sines of all positions `[positions, head_dim / 2]`.
#[derive(Debug, Clone)]
pub(crate) struct Rotations {
    cos: Tensor<2>,
    sin: Tensor<2>,
}

/// The rotations of the tokens of a batch.
pub(crate) struct BatchRotations {
    /// The rotations of all tokens.
    pub(crate) of_tokens: Rotation,
    /// Those of the tokens that are read.
    pub(crate) of_read: Rotation,
}

impl Rope {
    /// Radians a position for each pair of a head's entries.
    fn frequencies(&self) -> Vec<f64> {
        let n_pairs = self.head_dim / 2;
        let mut frequencies = Vec::with_capacity(n_pairs);
        for pair in 0..n_pairs {
            let exponent = 2.0 * pair as f64 / self.head_dim as f64;
            frequencies.push(self.scaled(self.theta.powf(-exponent)));
        }
        frequencies
    }

    fn scaled(&self, frequency: f64) -> f64 {
        let RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_positions,
        } = self.scaling
        else {
            return frequency;
        };
        let wavelength = TAU / frequency;
        if wavelength < original_positions / high_freq_factor {
            return frequency;
        }
        if wavelength > original_positions / low_freq_factor {
            return frequency / factor;
        }
        let smooth = (original_positions / wavelength - low_freq_factor)
            / (high_freq_factor - low_freq_factor);
        (1.0 - smooth) * frequency / factor + smooth * frequency
    }

    /// The rotations at the first `n_positions` positions.
    pub(crate) fn rotations(
        &self,
        n_positions: usize,
        device: &Device,
    ) -> Rotations {
        let frequencies = self.frequencies();
        let mut cos = Vec::with_capacity(n_positions * frequencies.len());
        let mut sin = Vec::with_capacity(n_positions * frequencies.len());
        for position in 0..n_positions {
            for frequency in &frequencies {
                let angle = position as f64 * frequency;
                cos.push(angle.cos() as f32);
                sin.push(angle.sin() as f32);
            }
        }
        let shape = [n_positions, frequencies.len()];
        Rotations {
            cos: Tensor::from_data(TensorData::new(cos, shape), device),
            sin: Tensor::from_data(TensorData::new(sin, shape), device),
        }
    }
}

impl Rotations {
    /// The rotations of a batch's tokens, each at its position within its
    /// document.
    pub(crate) fn of_batch(&self, layout: &Layout) -> BatchRotations {
        BatchRotations {
            of_tokens: self.at(layout.positions.clone()),
            of_read: self.at(layout
                .queries(true)
                .gather_indices(layout.positions.clone())),
        }
    }

    fn at(&self, positions: Tensor<1, Int>) -> Rotation {
        Rotation {
            cos: self.cos.clone().select(0, positions.clone()),
            sin: self.sin.clone().select(0, positions),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn llama_3() -> Rope {
        Rope {
            theta: 500_000.0,
            scaling: RopeScaling::Llama3 {
                factor: 32.0,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_positions: 8_192.0,
            },
            head_dim: 64,
        }
    }

    #[test]
    fn short_waves_stay_and_long_ones_are_stretched() {
        let plain = Rope {
            scaling: RopeScaling::Plain,
            ..llama_3()
        };
        let (scaled, plain) = (llama_3().frequencies(), plain.frequencies());
        assert_eq!(scaled[0], plain[0]);
        assert_eq!(scaled[31], plain[31] / 32.0);
        let is_between = |pair: usize| {
            scaled[pair] < plain[pair] && scaled[pair] > plain[pair] / 32.0
        };
        assert!((0..32).any(is_between), "the two are joined smoothly");
    }
}
