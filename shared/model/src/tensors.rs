//! Safetensors files: read tensor by tensor, written atomically.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, TensorInfo, TensorView};

use crate::error::Error;
use crate::foreign;

/// A tensor to be written.
#[derive(Debug, Clone)]
pub struct NamedTensor<'a> {
    name: String,
    shape: Vec<usize>,
    values: Values<'a>,
}

/// The numbers of a tensor in row-major order.
#[derive(Debug, Clone)]
enum Values<'a> {
    F32(Cow<'a, [f32]>),
    I32(Cow<'a, [i32]>),
}

impl<'a> NamedTensor<'a> {
    /// A tensor of row-major f32 `values` with the given dimensions.
    pub fn f32(
        name: impl Into<String>,
        shape: Vec<usize>,
        values: impl Into<Cow<'a, [f32]>>,
    ) -> Self {
        Self {
            name: name.into(),
            shape,
            values: Values::F32(values.into()),
        }
    }

    /// A tensor of row-major i32 `values` with the given dimensions.
    pub fn i32(
        name: impl Into<String>,
        shape: Vec<usize>,
        values: impl Into<Cow<'a, [i32]>>,
    ) -> Self {
        Self {
            name: name.into(),
            shape,
            values: Values::I32(values.into()),
        }
    }
}

impl Values<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::I32(_) => Dtype::I32,
        }
    }

    /// The numbers as a file has them, little-endian.
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(values) => values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
            Self::I32(values) => values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        }
    }
}

/// A safetensors file: its header in memory, its tensors on the disk until they
/// are asked for.
///
/// A model is read tensor by tensor: reading it takes the memory of one more
/// tensor, not of all of them again.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    file: File,
    header: Metadata,
    /// Where the tensors begin, in bytes.
    start: u64,
}

/// The types of numbers that [`TensorFile::f32`] reads.
const FLOATS: [Dtype; 4] = [Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::F64];

/// The longest header that is read, in bytes: the format's own limit.
const MAX_HEADER: u64 = 100_000_000;

impl TensorFile {
    /// Reads the header of `path`; a truncated or foreign file is an error that
    /// names it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(Error::file(path))?;
        let n_bytes = file.metadata().map_err(Error::file(path))?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length)
            .map_err(|e| incomplete(path, &e.to_string()))?;

        let header_length = u64::from_le_bytes(length).min(MAX_HEADER);
        let mut header = Vec::new();
        (&file)
            .take(header_length)
            .read_to_end(&mut header)
            .map_err(Error::file(path))?;

        let start = (length.len() + header.len()) as u64;
        let header: Metadata = serde_json::from_slice(&header)
            .map_err(|e| incomplete(path, &e.to_string()))?;

        let expected = start + header.data_len() as u64;
        if n_bytes != expected {
            let reason =
                format!("it has {n_bytes} bytes, its header says {expected}");
            return Err(incomplete(path, &reason));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            header,
            start,
        })
    }

    /// The path from which the file was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of its tensors.
    pub fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    /// The dimensions of a tensor, as the header says; none where there is no
    /// such tensor.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.header.info(name)?.shape)
    }

    /// The float type of a tensor's numbers, as the format calls it. Another
    /// type, which [`Self::f32`] would not read, is an error.
    pub(crate) fn float_type(&self, name: &str) -> Result<String, Error> {
        let dtype = self.info(name)?.dtype;
        if FLOATS.contains(&dtype) {
            return Ok(format!("{dtype:?}"));
        }
        Err(self.no_float(name, dtype))
    }

    fn info(&self, name: &str) -> Result<&TensorInfo, Error> {
        self.header.info(name).ok_or_else(|| Error::Missing {
            path: self.path.clone(),
            name: name.to_owned(),
        })
    }

    fn read(&self, name: &str) -> Result<(&TensorInfo, Vec<u8>), Error> {
        let info = self.info(name)?;
        let (from, to) = info.data_offsets;
        let mut bytes = vec![0; to - from];
        self.file
            .read_exact_at(&mut bytes, self.start + from as u64)
            .map_err(Error::file(&self.path))?;
        Ok((info, bytes))
    }

    /// Shape and values of a tensor of any float type.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other type is refused, also one that is yet to come"
    )]
    pub fn f32(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>), Error> {
        let (info, bytes) = self.read(name)?;
        let values = match info.dtype {
            Dtype::F32 => words(&bytes).map(f32::from_le_bytes).collect(),
            Dtype::F64 => words(&bytes)
                .map(|word| f64::from_le_bytes(word) as f32)
                .collect(),
            Dtype::F16 => words(&bytes)
                .map(|word| burn::tensor::f16::from_le_bytes(word).to_f32())
                .collect(),
            Dtype::BF16 => words(&bytes)
                .map(|word| burn::tensor::bf16::from_le_bytes(word).to_f32())
                .collect(),
            other => return Err(self.no_float(name, other)),
        };
        Ok((info.shape.clone(), values))
    }

    /// Shape and values of an i32 tensor.
    pub fn i32(&self, name: &str) -> Result<(Vec<usize>, Vec<i32>), Error> {
        let (info, bytes) = self.read(name)?;
        if info.dtype != Dtype::I32 {
            let found = format!("{:?}", info.dtype);
            return Err(self.wrong_type(name, &found, "I32"));
        }
        let values = words(&bytes).map(i32::from_le_bytes).collect();
        Ok((info.shape.clone(), values))
    }

    /// Shape and values of an integer tensor of four or eight bytes an entry.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other type is refused, also one that is yet to come"
    )]
    pub fn integers(
        &self,
        name: &str,
    ) -> Result<(Vec<usize>, Vec<i64>), Error> {
        let (info, bytes) = self.read(name)?;
        let values = match info.dtype {
            Dtype::I32 => words(&bytes)
                .map(|word| i32::from_le_bytes(word).into())
                .collect(),
            Dtype::I64 => words(&bytes).map(i64::from_le_bytes).collect(),
            other => {
                return Err(self.wrong_type(
                    name,
                    &format!("{other:?}"),
                    "I32 or I64",
                ));
            }
        };
        Ok((info.shape.clone(), values))
    }

    fn no_float(&self, name: &str, found: Dtype) -> Error {
        let expected =
            "F32, F16, BF16 or F64; take the file that was not quantised";
        self.wrong_type(name, &format!("{found:?}"), expected)
    }

    fn wrong_type(&self, name: &str, found: &str, expected: &str) -> Error {
        let reason =
            format!("tensor `{name}` is of type {found}, expected {expected}");
        Error::malformed(&self.path, reason)
    }
}

fn incomplete(path: &Path, why: &str) -> Error {
    if let Some(advice) = foreign::explain(path) {
        return Error::malformed(path, advice);
    }
    let reason =
        format!("not a complete safetensors file ({why}); download it again");
    Error::malformed(path, reason)
}

/// The numbers of a tensor, each as its `N` bytes.
fn words<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    data.as_chunks::<N>().0.iter().copied()
}

/// Writes a safetensors file under a temporary name and renames it: it is there
/// whole or not at all.
pub fn write_tensors(
    path: &Path,
    tensors: &[NamedTensor<'_>],
) -> Result<(), Error> {
    let bytes = tensors.iter().map(|tensor| tensor.values.bytes());
    let bytes: Vec<Vec<u8>> = bytes.collect();
    let mut views = Vec::with_capacity(tensors.len());
    for (tensor, bytes) in tensors.iter().zip(&bytes) {
        let dtype = tensor.values.dtype();
        let view = TensorView::new(dtype, tensor.shape.clone(), bytes)
            .map_err(|e| {
                Error::malformed(path, format!("tensor `{}`: {e}", tensor.name))
            })?;
        views.push((tensor.name.clone(), view));
    }

    // transformers reads a file only when it says which framework it is for.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let file = safetensors::serialize(views, Some(metadata))
        .map_err(|e| Error::malformed(path, e.to_string()))?;
    write_atomically(path, &file)
}

/// Writes a file under a temporary name beside its place, flushes it and
/// renames it.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("partial");
    write_and_flush(&temporary, bytes)
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(Error::file(path))
}

fn write_and_flush(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
