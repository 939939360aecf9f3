//! The voxel types of NIfTI: which are read, and the names of those that are not.

use std::fmt;

/// A voxel type that is read. The order is by width, then unsigned, signed, float.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datatype {
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 16 bits.
    U16,
    /// Signed, 16 bits: what BraTS stores.
    I16,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 32 bits.
    I32,
    /// Single precision.
    F32,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 64 bits.
    I64,
    /// Double precision.
    F64,
}

/// `(NIfTI code, type, bits, name)`.
const READ: [(i16, Datatype, usize, &str); 10] = [
    (2, Datatype::U8, 8, "uint8"),
    (256, Datatype::I8, 8, "int8"),
    (512, Datatype::U16, 16, "uint16"),
    (4, Datatype::I16, 16, "int16"),
    (768, Datatype::U32, 32, "uint32"),
    (8, Datatype::I32, 32, "int32"),
    (16, Datatype::F32, 32, "float32"),
    (1280, Datatype::U64, 64, "uint64"),
    (1024, Datatype::I64, 64, "int64"),
    (64, Datatype::F64, 64, "float64"),
];

/// `(NIfTI code, name)` of what holds no real number, or one that no machine of ours computes with.
const KNOWN: [(i16, &str); 8] = [
    (1, "binary"),
    (32, "complex64"),
    (128, "rgb24"),
    (1536, "float128"),
    (1792, "complex128"),
    (2048, "complex256"),
    (2304, "rgba32"),
    (0, "unknown"),
];

impl Datatype {
    /// The type of a NIfTI code; the name of the code's type where it is not read.
    pub(super) fn from_code(code: i16) -> Result<Self, &'static str> {
        let known = KNOWN.iter().find(|(own, _)| *own == code);
        let read = READ.iter().find(|(own, ..)| *own == code);
        read.map(|(_, datatype, ..)| *datatype).ok_or(known.map_or("undefined", |(_, name)| name))
    }

    /// Bytes of a voxel.
    pub(super) fn bytes(self) -> usize {
        self.bits() / 8
    }

    /// Bits of a voxel: what a header's `bitpix` must be.
    pub(super) fn bits(self) -> usize {
        self.row().2
    }

    /// The name that NumPy and NIfTI give it.
    pub fn name(self) -> &'static str {
        self.row().3
    }

    fn row(self) -> &'static (i16, Self, usize, &'static str) {
        &READ[self as usize]
    }
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_finds_its_own_row() {
        for (code, datatype, bits, name) in READ {
            assert_eq!(Datatype::from_code(code), Ok(datatype));
            assert_eq!((datatype.bits(), datatype.name()), (bits, name));
        }
    }

    #[test]
    fn what_is_not_read_is_named() {
        assert_eq!(Datatype::from_code(32), Err("complex64"));
        assert_eq!(Datatype::from_code(999), Err("undefined"));
    }
}
