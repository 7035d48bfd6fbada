//! How numbers are encoded (reference: ggml's `dequantize_row_*`): plain, or in
//! blocks of 32 that share a scale and, in some, an offset.

use burn::tensor::{bf16, f16};

/// An encoding that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    F32,
    F16,
    Bf16,
    /// Four bits a number, around 8.
    Q4_0,
    /// Four bits a number above an offset.
    Q4_1,
    /// Five bits a number, around 16.
    Q5_0,
    /// Five bits a number above an offset.
    Q5_1,
    /// Eight bits a number.
    Q8_0,
}

/// Numbers of a block.
const BLOCK: usize = 32;

/// The names of encodings by number, as ggml has them; absent numbers are of
/// encodings that were given up.
const NAMES: [(u32, &str); 24] = [
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (6, "Q5_0"),
    (7, "Q5_1"),
    (8, "Q8_0"),
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (12, "Q4_K"),
    (13, "Q5_K"),
    (14, "Q6_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (29, "IQ1_M"),
    (30, "BF16"),
];

impl Encoding {
    /// The encoding of a number in the file; one that is not read here is an
    /// error that names it.
    pub(crate) fn numbered(number: u32) -> Result<Self, String> {
        match number {
            0 => Ok(Self::F32),
            1 => Ok(Self::F16),
            2 => Ok(Self::Q4_0),
            3 => Ok(Self::Q4_1),
            6 => Ok(Self::Q5_0),
            7 => Ok(Self::Q5_1),
            8 => Ok(Self::Q8_0),
            30 => Ok(Self::Bf16),
            other => {
                let known = NAMES.iter().find(|(number, _)| *number == other);
                let name = match known {
                    Some((_, name)) => format!("is quantised as {name}"),
                    None => format!("has the unknown encoding {other}"),
                };
                Err(format!(
                    "{name}; take a file of the same model in one of those \
                     that are read here: F32, F16, BF16, Q4_0, Q4_1, Q5_0, \
                     Q5_1, Q8_0"
                ))
            }
        }
    }

    /// What ggml calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
        }
    }

    /// Bytes of a block, and how many numbers it holds.
    fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (4, 1),
            Self::F16 | Self::Bf16 => (2, 1),
            Self::Q4_0 => (2 + 16, BLOCK),
            Self::Q4_1 => (4 + 16, BLOCK),
            Self::Q5_0 => (2 + 4 + 16, BLOCK),
            Self::Q5_1 => (4 + 4 + 16, BLOCK),
            Self::Q8_0 => (2 + 32, BLOCK),
        }
    }

    /// Bytes of so many numbers; none where they do not fill blocks.
    pub(crate) fn n_bytes(self, n_values: usize) -> Option<usize> {
        let (n_bytes, n_in_block) = self.block();
        if !n_values.is_multiple_of(n_in_block) {
            return None;
        }
        (n_values / n_in_block).checked_mul(n_bytes)
    }

    /// The numbers of whole blocks.
    pub(crate) fn values(self, bytes: &[u8]) -> Vec<f32> {
        let (n_bytes, n_in_block) = self.block();
        let blocks = bytes.chunks_exact(n_bytes);
        let mut values = Vec::with_capacity(blocks.len() * n_in_block);
        for block in blocks {
            self.push_block(block, &mut values);
        }
        values
    }

    fn push_block(self, block: &[u8], to: &mut Vec<f32>) {
        match self {
            Self::F32 => {
                to.push(f32::from_le_bytes([
                    block[0], block[1], block[2], block[3],
                ]));
            }
            Self::F16 => to.push(half(block)),
            Self::Bf16 => {
                to.push(bf16::from_le_bytes([block[0], block[1]]).to_f32());
            }
            Self::Q4_0 => {
                let scale = half(block);
                push_nibbles(&block[2..], 0, to, |q| scale * (q - 8.0));
            }
            Self::Q4_1 => {
                let (scale, offset) = (half(block), half(&block[2..]));
                push_nibbles(&block[4..], 0, to, |q| scale * q + offset);
            }
            Self::Q5_0 => {
                let (scale, fifth) = (half(block), bits(&block[2..]));
                push_nibbles(&block[6..], fifth, to, |q| scale * (q - 16.0));
            }
            Self::Q5_1 => {
                let (scale, offset) = (half(block), half(&block[2..]));
                let fifth = bits(&block[4..]);
                push_nibbles(&block[8..], fifth, to, |q| scale * q + offset);
            }
            Self::Q8_0 => {
                let scale = half(block);
                let numbers = block[2..].iter();
                to.extend(numbers.map(|q| scale * f32::from(q.cast_signed())));
            }
        }
    }
}

/// The first two bytes as a number.
fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// The first four bytes as bits.
fn bits(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// The numbers of a block: the lower four bits of all bytes, then the upper
/// ones, each with its fifth bit above them.
fn push_nibbles(
    bytes: &[u8],
    fifth: u32,
    to: &mut Vec<f32>,
    number: impl Fn(f32) -> f32,
) {
    for (place, byte) in bytes.iter().enumerate() {
        let high = (fifth >> place & 1) << 4;
        to.push(number((u32::from(byte & 0xf) | high) as f32));
    }
    for (place, byte) in bytes.iter().enumerate() {
        let high = (fifth >> (place + BLOCK / 2) & 1) << 4;
        to.push(number((u32::from(byte >> 4) | high) as f32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f16_bytes(value: f32) -> [u8; 2] {
        f16::from_f32(value).to_le_bytes()
    }

    #[test]
    fn four_bits_are_the_lower_halves_then_the_upper_ones() {
        // Byte n holds n below and 15 - n above.
        let packed: Vec<u8> = (0..16).map(|n| n | (15 - n) << 4).collect();
        let block = [f16_bytes(0.5).to_vec(), packed].concat();
        let values = Encoding::Q4_0.values(&block);
        assert_eq!((values[0], values[15]), (-4.0, 3.5));
        assert_eq!((values[16], values[31]), (3.5, -4.0));
    }

    #[test]
    fn an_offset_is_added_and_a_fifth_bit_counts_sixteen() {
        let packed = vec![0x21_u8; 16];
        // The fifth bit of the first number and of the last.
        let fifth = (1_u32 | 1 << 31).to_le_bytes().to_vec();
        let scales = [f16_bytes(2.0), f16_bytes(-1.0)].concat();
        let values = Encoding::Q5_1.values(&[scales, fifth, packed].concat());
        assert_eq!((values[0], values[1]), (2.0 * 17.0 - 1.0, 1.0));
        assert_eq!((values[16], values[31]), (3.0, 2.0 * 18.0 - 1.0));
    }

    #[test]
    fn numbers_that_do_not_fill_blocks_have_no_size() {
        assert_eq!(Encoding::Q8_0.n_bytes(64), Some(68));
        assert_eq!(Encoding::Q8_0.n_bytes(33), None);
        assert_eq!(Encoding::Bf16.n_bytes(33), Some(66));
    }

    #[test]
    fn an_encoding_that_is_not_read_is_refused_by_name() {
        let refused = Encoding::numbered(12).unwrap_err();
        assert!(
            refused.contains("Q4_K") && refused.contains("Q4_1"),
            "{refused}"
        );
    }
}
