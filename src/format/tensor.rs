//! Element types of stored tensors, and NPY headers, byte for byte.
//!
//! A tensor is stored as an NPY file of version 1.0: C order, little-endian. Its header follows from type, shape and length
//! alone, so that it can be checked by writing it again. Large tensors begin at a multiple of [`DATA_ALIGN`] in the shard,
//! which direct I/O can read into place.

use crate::error::{Error, ErrorKind, Result};

/// Where the elements of large tensors begin is a multiple of this, in bytes.
pub(crate) const DATA_ALIGN: u64 = 4096;
/// Tensors of this many bytes are large.
const LARGE_BYTES: u64 = 64 << 10;
/// Most axes of a tensor: NumPy's limit.
pub(crate) const MAX_AXES: usize = 32;
/// NPY's own alignment of the header's length.
const NPY_ALIGN: u64 = 64;
/// Magic, version and the length of the rest.
const PREFIX_BYTES: usize = 10;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TensorType {
    /// One byte, 0 or 1.
    Bool,
    /// 8-bit integer.
    Int8,
    /// 16-bit integer.
    Int16,
    /// 32-bit integer.
    Int32,
    /// 64-bit integer.
    Int64,
    /// 8-bit unsigned integer.
    UInt8,
    /// 16-bit unsigned integer.
    UInt16,
    /// 32-bit unsigned integer.
    UInt32,
    /// 64-bit unsigned integer.
    UInt64,
    /// IEEE 754 binary16.
    Float16,
    /// The upper half of a binary32.
    Bfloat16,
    /// IEEE 754 binary32.
    Float32,
    /// IEEE 754 binary64.
    Float64,
}

impl TensorType {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Bool,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::UInt8,
        Self::UInt16,
        Self::UInt32,
        Self::UInt64,
        Self::Float16,
        Self::Bfloat16,
        Self::Float32,
        Self::Float64,
    ];

    /// NumPy's name, `bfloat16` for what NumPy lacks.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::UInt8 => "uint8",
            Self::UInt16 => "uint16",
            Self::UInt32 => "uint32",
            Self::UInt64 => "uint64",
            Self::Float16 => "float16",
            Self::Bfloat16 => "bfloat16",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
        }
    }

    /// The type of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// Bytes of one element.
    pub fn size_bytes(self) -> usize {
        match self {
            Self::Bool | Self::Int8 | Self::UInt8 => 1,
            Self::Int16 | Self::UInt16 | Self::Float16 | Self::Bfloat16 => 2,
            Self::Int32 | Self::UInt32 | Self::Float32 => 4,
            Self::Int64 | Self::UInt64 | Self::Float64 => 8,
        }
    }

    /// The `descr` of an NPY header. `bfloat16` has the one that `ml_dtypes` writes.
    fn npy_descr(self) -> &'static str {
        match self {
            Self::Bool => "|b1",
            Self::Int8 => "|i1",
            Self::Int16 => "<i2",
            Self::Int32 => "<i4",
            Self::Int64 => "<i8",
            Self::UInt8 => "|u1",
            Self::UInt16 => "<u2",
            Self::UInt32 => "<u4",
            Self::UInt64 => "<u8",
            Self::Float16 => "<f2",
            Self::Bfloat16 => "<V2",
            Self::Float32 => "<f4",
            Self::Float64 => "<f8",
        }
    }

    /// Bytes of a tensor of that shape.
    ///
    /// # Errors
    /// `InvalidArgument` for more than 32 axes or 2^63 bytes, also where an axis of no length hides the others.
    pub fn num_bytes(self, shape: &[u64]) -> Result<u64> {
        // Strides and sides are products of some of the axes: they must fit whatever the others are.
        let extent = shape.iter().try_fold(self.size_bytes() as u64, |bytes, &axis| bytes.checked_mul(axis.max(1)));
        match extent.filter(|&bytes| i64::try_from(bytes).is_ok()) {
            Some(bytes) if shape.len() <= MAX_AXES => Ok(if shape.contains(&0) { 0 } else { bytes }),
            _ => Err(Error::invalid(format!("a tensor of shape {shape:?} and type {} is too large", self.name()))),
        }
    }
}

impl std::fmt::Display for TensorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for TensorType {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        Self::parse(name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::new(ErrorKind::InvalidArgument, format!("dtype '{name}' is none of {known}"))
        })
    }
}

/// The NPY header of a tensor whose file begins at `start` of the shard.
pub(crate) fn npy_header(dtype: TensorType, shape: &[u64], start: u64) -> Result<Vec<u8>> {
    let align = if dtype.num_bytes(shape)? >= LARGE_BYTES { DATA_ALIGN } else { NPY_ALIGN };
    let shortest = (PREFIX_BYTES + description(dtype, shape).len() + 1) as u64;
    let end = start.checked_add(shortest).and_then(|end| end.checked_next_multiple_of(align));
    let len = end.map(|end| end - start).ok_or_else(|| Error::invalid("the shard is too long"))?;
    npy_header_of_len(dtype, shape, len as usize).ok_or_else(|| Error::invalid("the shape is too long"))
}

/// The NPY header that has `len` bytes, or `None` where there is none.
pub(crate) fn npy_header_of_len(dtype: TensorType, shape: &[u64], len: usize) -> Option<Vec<u8>> {
    let text = description(dtype, shape);
    let rest = len.checked_sub(PREFIX_BYTES)?;
    let spaces = rest.checked_sub(text.len() + 1)?;
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend(u16::try_from(rest).ok()?.to_le_bytes());
    header.extend(text.as_bytes());
    header.resize(header.len() + spaces, b' ');
    header.push(b'\n');
    Some(header)
}

/// The dictionary of the header, as NumPy writes it.
fn description(dtype: TensorType, shape: &[u64]) -> String {
    let axes = match shape {
        [one] => format!("({one},)"),
        axes => format!("({})", axes.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
    };
    format!("{{'descr': '{}', 'fortran_order': False, 'shape': {axes}, }}", dtype.npy_descr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_what_numpy_writes() {
        let header = npy_header(TensorType::Float32, &[3, 4], 0).unwrap();
        assert_eq!(header.len(), 128);
        assert!(
            header
                .starts_with(b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } ")
        );
        assert!(header.ends_with(b" \n"));
        let one = npy_header(TensorType::Bool, &[7], 0).unwrap();
        assert!(String::from_utf8_lossy(&one).contains("'descr': '|b1', 'fortran_order': False, 'shape': (7,), }"));
        let none = npy_header(TensorType::Int64, &[], 0).unwrap();
        assert!(String::from_utf8_lossy(&none).contains("'shape': (), }"));
    }

    #[test]
    fn the_elements_of_large_tensors_begin_at_a_page() {
        for start in [512_u64, 1024, 4096, 5632] {
            let header = npy_header(TensorType::UInt8, &[1 << 16], start).unwrap();
            assert_eq!((start + header.len() as u64) % DATA_ALIGN, 0);
            let small = npy_header(TensorType::UInt8, &[(1 << 16) - 1], start).unwrap();
            assert_eq!((small.len(), small.len() % 64), (128, 0));
            assert_eq!(npy_header_of_len(TensorType::UInt8, &[1 << 16], header.len()), Some(header));
        }
    }

    #[test]
    fn shapes_beyond_reason_are_refused_and_those_of_no_elements_are_not() {
        assert_eq!(TensorType::Float64.num_bytes(&[]).unwrap(), 8);
        assert_eq!(TensorType::Float64.num_bytes(&[3, 0]).unwrap(), 0);
        for shape in [vec![u64::MAX], vec![1 << 32, 1 << 32], vec![1; 33], vec![0, 1 << 63], vec![1 << 40, 0, 1 << 40]]
        {
            assert_eq!(TensorType::Float64.num_bytes(&shape).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
    }

    #[test]
    fn names_parse_back() {
        for dtype in TensorType::ALL {
            assert_eq!(dtype.name().parse::<TensorType>().unwrap(), dtype);
        }
        assert!("complex64".parse::<TensorType>().is_err());
    }
}
