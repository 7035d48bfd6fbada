//! The container (reference: ggml's `docs/gguf.md`): a header of typed values
//! and of tensors by name, then the tensors.
//!
//! Whatever a file says about its own sizes is compared with how long it is
//! before memory is taken for it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::backbone::gguf::blocks::Encoding;
use crate::error::Error;
use crate::tensors::TensorHeader;

/// A GGUF file: its header in memory, its tensors on the disk until they are
/// asked for.
#[derive(Debug)]
pub(crate) struct GgufFile {
    path: PathBuf,
    file: File,
    values: BTreeMap<String, Value>,
    tensors: BTreeMap<String, TensorPlace>,
    /// Where the tensors begin, in bytes.
    start: u64,
}

/// A value of the header.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Integer(i128),
    Float(f64),
    Bool(bool),
    Text(String),
    List(Vec<Value>),
}

/// Where a tensor lies, and how.
#[derive(Debug)]
struct TensorPlace {
    /// Row-major, the last dimension is the one whose entries are neighbours.
    shape: Vec<usize>,
    /// As the file numbers them.
    encoding: u32,
    /// From where the tensors begin, in bytes.
    offset: u64,
}

const MAGIC: &[u8; 4] = b"GGUF";
/// Versions of the container that are read; 1 had 32-bit sizes.
const VERSIONS: [u32; 2] = [2, 3];
/// Where tensors begin unless the header says otherwise: multiples of this.
const ALIGNMENT: u64 = 32;
/// The dimensions that a tensor of a language model can have.
const MOST_DIMENSIONS: u32 = 4;
/// Lists in lists that are followed.
const MOST_NESTED: usize = 4;

impl GgufFile {
    /// Reads the header.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::file(path))?;
        let n_bytes = file.metadata().map_err(Error::file(path))?.len();
        let mut header = Header {
            reader: BufReader::new(&file),
            position: 0,
            n_bytes,
        };
        let parsed = header.parse();
        let (values, tensors) = parsed.map_err(|reason| {
            let reason = format!("not a complete GGUF file ({reason})");
            Error::malformed(path, reason)
        })?;
        let alignment = match values.get("general.alignment") {
            Some(Value::Integer(n)) => u64::try_from(*n).unwrap_or(ALIGNMENT),
            _ => ALIGNMENT,
        };
        let start = header.position.next_multiple_of(alignment.max(1));
        Ok(Self {
            path: path.to_owned(),
            file,
            values,
            tensors,
            start,
        })
    }

    /// Where it came from.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A value of the header.
    pub(crate) fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// True when it has a tensor.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The shape of a tensor, where there is one of this name.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.tensors.get(name)?.shape)
    }

    /// What the header says about a tensor, and that the file is long enough
    /// for it.
    pub(crate) fn header(&self, name: &str) -> Result<TensorHeader, Error> {
        let place = self.place(name)?;
        let encoding = self.encoding(name, place)?;
        self.extent(name, place, encoding)?;
        Ok(TensorHeader {
            shape: place.shape.clone(),
            encoding: format!("{encoding:?}").to_uppercase(),
        })
    }

    /// Shape and values of a tensor, dequantised.
    pub(crate) fn f32(
        &self,
        name: &str,
    ) -> Result<(Vec<usize>, Vec<f32>), Error> {
        let place = self.place(name)?;
        let encoding = self.encoding(name, place)?;
        let Extent { from, n_bytes } = self.extent(name, place, encoding)?;
        let mut bytes = vec![0; n_bytes];
        self.file
            .read_exact_at(&mut bytes, from)
            .map_err(Error::file(&self.path))?;
        Ok((place.shape.clone(), encoding.values(&bytes)))
    }

    fn place(&self, name: &str) -> Result<&TensorPlace, Error> {
        self.tensors.get(name).ok_or_else(|| Error::Missing {
            path: self.path.clone(),
            name: name.to_owned(),
        })
    }

    fn encoding(
        &self,
        name: &str,
        place: &TensorPlace,
    ) -> Result<Encoding, Error> {
        Encoding::numbered(place.encoding).map_err(|reason| {
            let reason = format!("tensor `{name}` {reason}");
            Error::malformed(&self.path, reason)
        })
    }

    /// Where a tensor's bytes are; an error where the file ends before them.
    fn extent(
        &self,
        name: &str,
        place: &TensorPlace,
        encoding: Encoding,
    ) -> Result<Extent, Error> {
        let n_file = self.file.metadata().map_err(Error::file(&self.path))?;
        let n_values = place
            .shape
            .iter()
            .try_fold(1_usize, |product, &n| product.checked_mul(n));
        let n_bytes = n_values.and_then(|n| encoding.n_bytes(n));
        let from = self.start.checked_add(place.offset);
        let fits = |from: u64, n: usize| {
            from.checked_add(n as u64)
                .is_some_and(|end| end <= n_file.len())
        };
        match (from, n_bytes) {
            (Some(from), Some(n_bytes)) if fits(from, n_bytes) => {
                Ok(Extent { from, n_bytes })
            }
            _ => {
                let reason = format!(
                    "tensor `{name}` of shape {:?} does not fit the file",
                    place.shape
                );
                Err(Error::malformed(&self.path, reason))
            }
        }
    }
}

/// Where a tensor's bytes are.
struct Extent {
    from: u64,
    n_bytes: usize,
}

type Parsed = (BTreeMap<String, Value>, BTreeMap<String, TensorPlace>);

/// A header that is being read.
struct Header<R> {
    reader: R,
    /// Bytes that were read.
    position: u64,
    /// How long the file is.
    n_bytes: u64,
}

impl<R: Read> Header<R> {
    fn parse(&mut self) -> Result<Parsed, String> {
        if self.array()? != *MAGIC {
            return Err("it does not begin with `GGUF`".to_owned());
        }
        let version = self.u32()?;
        if !VERSIONS.contains(&version) {
            return Err(format!(
                "its version is {version}; what is read here: {VERSIONS:?}"
            ));
        }
        let n_tensors = self.count()?;
        let n_values = self.count()?;
        let mut values = BTreeMap::new();
        for _ in 0..n_values {
            let key = self.text()?;
            let kind = self.u32()?;
            values.insert(key, self.value(kind, 0)?);
        }
        let mut tensors = BTreeMap::new();
        for _ in 0..n_tensors {
            let name = self.text()?;
            let place = self.tensor()?;
            tensors.insert(name, place);
        }
        Ok((values, tensors))
    }

    fn tensor(&mut self) -> Result<TensorPlace, String> {
        let n_dimensions = self.u32()?;
        if n_dimensions > MOST_DIMENSIONS {
            return Err(format!("a tensor of {n_dimensions} dimensions"));
        }
        let mut shape = Vec::new();
        for _ in 0..n_dimensions {
            let n = self.u64()?;
            shape.push(usize::try_from(n).map_err(|e| e.to_string())?);
        }
        // The file names the dimension of neighbours first.
        shape.reverse();
        Ok(TensorPlace {
            shape,
            encoding: self.u32()?,
            offset: self.u64()?,
        })
    }

    fn value(&mut self, kind: u32, depth: usize) -> Result<Value, String> {
        Ok(match kind {
            0 => Value::Integer(u8::from_le_bytes(self.array()?).into()),
            1 => Value::Integer(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Integer(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Integer(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Integer(self.u32()?.into()),
            5 => Value::Integer(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array()?).into()),
            7 => Value::Bool(self.array()? != [0_u8]),
            8 => Value::Text(self.text()?),
            9 if depth < MOST_NESTED => self.list(depth)?,
            10 => Value::Integer(self.u64()?.into()),
            11 => Value::Integer(i64::from_le_bytes(self.array()?).into()),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            other => {
                return Err(format!("a value of the unknown type {other}"));
            }
        })
    }

    fn list(&mut self, depth: usize) -> Result<Value, String> {
        let kind = self.u32()?;
        let n = self.count()?;
        let mut values = Vec::new();
        for _ in 0..n {
            values.push(self.value(kind, depth + 1)?);
        }
        Ok(Value::List(values))
    }

    fn text(&mut self) -> Result<String, String> {
        let n = self.count()?;
        let mut bytes = vec![0; n];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).map_err(|e| e.to_string())
    }

    /// A number of things, each of which takes a byte or more of what is left.
    fn count(&mut self) -> Result<usize, String> {
        let n = self.u64()?;
        let n_left = self.n_bytes.saturating_sub(self.position);
        if n > n_left {
            return Err(format!("it counts {n} things in {n_left} bytes"));
        }
        usize::try_from(n).map_err(|e| e.to_string())
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), String> {
        self.position += bytes.len() as u64;
        self.reader.read_exact(bytes).map_err(|e| e.to_string())
    }
}
