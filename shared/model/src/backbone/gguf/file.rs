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
use crate::foreign;

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
/// Tensors, and values beside them.
const MOST_NAMES: usize = 1 << 16;
/// Values in all lists together: an entry takes more memory than bytes of the
/// file, and the largest vocabularies have a quarter of a million words.
const MOST_LISTED: usize = 1 << 22;
/// The longest text, in bytes.
const MOST_TEXT: usize = 1 << 24;

impl GgufFile {
    /// Reads the header.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::file(path))?;
        let n_bytes = file.metadata().map_err(Error::file(path))?.len();
        let mut header = Header {
            reader: BufReader::new(&file),
            position: 0,
            n_bytes,
            n_listed: 0,
        };
        let parsed = header.parse();
        let (values, tensors) =
            parsed.map_err(|reason| incomplete(path, &reason))?;
        let alignment = match values.get("general.alignment") {
            Some(Value::Integer(n)) => u64::try_from(*n).ok(),
            _ => Some(ALIGNMENT),
        };
        let start = alignment
            .filter(|n| *n > 0)
            .and_then(|n| header.position.checked_next_multiple_of(n))
            .ok_or_else(|| {
                incomplete(path, "its general.alignment is no alignment")
            })?;
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

    /// The names of its tensors.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(|name| &**name)
    }

    /// True when it has a tensor.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The shape of a tensor, where there is one of this name.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.tensors.get(name)?.shape)
    }

    /// How a tensor's numbers are kept, as ggml calls it. An encoding that is
    /// not read here, or a file too short for the tensor, is an error.
    pub(crate) fn encoding(&self, name: &str) -> Result<&'static str, Error> {
        Ok(self.bytes_of(name)?.encoding.name())
    }

    /// Shape and values of a tensor, dequantised.
    pub(crate) fn f32(
        &self,
        name: &str,
    ) -> Result<(Vec<usize>, Vec<f32>), Error> {
        let place = self.bytes_of(name)?;
        let mut bytes = vec![0; place.n_bytes];
        self.file
            .read_exact_at(&mut bytes, place.from)
            .map_err(Error::file(&self.path))?;
        Ok((place.shape.to_vec(), place.encoding.values(&bytes)))
    }

    /// The bytes that a tensor is read from, all of which the file has.
    fn bytes_of(&self, name: &str) -> Result<TensorBytes<'_>, Error> {
        let place = self.tensors.get(name).ok_or_else(|| Error::Missing {
            path: self.path.clone(),
            name: name.to_owned(),
        })?;
        let encoding =
            Encoding::numbered(place.encoding).map_err(|reason| {
                let reason = format!("tensor `{name}` {reason}");
                Error::malformed(&self.path, reason)
            })?;
        let file = self.file.metadata().map_err(Error::file(&self.path))?;
        let bytes = TensorBytes::new(place, encoding, self.start);
        match bytes {
            Some(bytes) if bytes.end() <= file.len() => Ok(bytes),
            _ => {
                let reason = format!(
                    "tensor `{name}` of shape {:?} does not fit the {} bytes \
                     of the file; download it again",
                    place.shape,
                    file.len()
                );
                Err(Error::malformed(&self.path, reason))
            }
        }
    }
}

/// Where in the file a tensor's bytes are.
struct TensorBytes<'a> {
    shape: &'a [usize],
    encoding: Encoding,
    from: u64,
    n_bytes: usize,
}

impl<'a> TensorBytes<'a> {
    /// None where no file can have them. Tensors begin at `start`.
    fn new(
        place: &'a TensorPlace,
        encoding: Encoding,
        start: u64,
    ) -> Option<Self> {
        let (row, n_rows) = place.shape.split_last()?;
        let n_rows = n_rows
            .iter()
            .try_fold(1_usize, |product, &n| product.checked_mul(n))?;
        let from = start.checked_add(place.offset)?;
        // A block does not go on in the next row.
        let n_bytes = encoding.n_bytes(*row)?.checked_mul(n_rows)?;
        from.checked_add(n_bytes as u64)?;
        Some(Self {
            shape: &place.shape,
            encoding,
            from,
            n_bytes,
        })
    }

    fn end(&self) -> u64 {
        self.from + self.n_bytes as u64
    }
}

fn incomplete(path: &Path, why: &str) -> Error {
    if let Some(advice) = foreign::explain(path) {
        return Error::malformed(path, advice);
    }
    let reason = format!("not a complete GGUF file ({why}); download it again");
    Error::malformed(path, reason)
}

type Parsed = (BTreeMap<String, Value>, BTreeMap<String, TensorPlace>);

/// A header that is being read.
struct Header<R> {
    reader: R,
    /// Bytes that were read.
    position: u64,
    /// How long the file is.
    n_bytes: u64,
    /// Values of lists that were read.
    n_listed: usize,
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
        if n_tensors.max(n_values) > MOST_NAMES {
            return Err(format!(
                "it names {n_tensors} tensors and {n_values} values"
            ));
        }
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
        self.n_listed = self.n_listed.saturating_add(n);
        if self.n_listed > MOST_LISTED {
            return Err(format!("its lists have over {MOST_LISTED} values"));
        }
        let mut values = Vec::new();
        for _ in 0..n {
            values.push(self.value(kind, depth + 1)?);
        }
        Ok(Value::List(values))
    }

    fn text(&mut self) -> Result<String, String> {
        let n = self.count()?;
        if n > MOST_TEXT {
            return Err(format!("a text of {n} bytes"));
        }
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
