//! Voxel types of NIfTI: those that are read, and the names of those that are not.

use std::fmt;

use nifti::NiftiType;

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
const READ: [(NiftiType, Datatype, usize, &str); 10] = [
    (NiftiType::Uint8, Datatype::U8, 8, "uint8"),
    (NiftiType::Int8, Datatype::I8, 8, "int8"),
    (NiftiType::Uint16, Datatype::U16, 16, "uint16"),
    (NiftiType::Int16, Datatype::I16, 16, "int16"),
    (NiftiType::Uint32, Datatype::U32, 32, "uint32"),
    (NiftiType::Int32, Datatype::I32, 32, "int32"),
    (NiftiType::Float32, Datatype::F32, 32, "float32"),
    (NiftiType::Uint64, Datatype::U64, 64, "uint64"),
    (NiftiType::Int64, Datatype::I64, 64, "int64"),
    (NiftiType::Float64, Datatype::F64, 64, "float64"),
];

/// `(NIfTI code, name)` of types that are not read: no real numbers, or wider than f64.
const KNOWN: [(i16, &str); 8] = [
    (1, "binary"),
    (NiftiType::Complex64 as i16, "complex64"),
    (NiftiType::Rgb24 as i16, "rgb24"),
    (NiftiType::Float128 as i16, "float128"),
    (NiftiType::Complex128 as i16, "complex128"),
    (NiftiType::Complex256 as i16, "complex256"),
    (NiftiType::Rgba32 as i16, "rgba32"),
    (0, "unknown"),
];

impl Datatype {
    /// The type of a NIfTI code; the name of the code's type where it is not read.
    pub(super) fn from_code(code: i16) -> Result<Self, &'static str> {
        let known = KNOWN.iter().find(|(own, _)| *own == code);
        let read = READ.iter().find(|(own, ..)| *own as i16 == code);
        read.map(|(_, datatype, ..)| *datatype).ok_or(known.map_or("undefined", |(_, name)| name))
    }

    pub(super) fn bytes_per_voxel(self) -> usize {
        self.bits_per_voxel() / 8
    }

    /// Bits of a voxel: what a header's `bitpix` must be.
    pub(super) fn bits_per_voxel(self) -> usize {
        self.table_row().2
    }

    /// The name that NumPy and NIfTI give it.
    pub fn name(self) -> &'static str {
        self.table_row().3
    }

    fn table_row(self) -> &'static (NiftiType, Self, usize, &'static str) {
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
            assert_eq!(Datatype::from_code(code as i16), Ok(datatype));
            assert_eq!((datatype.bits_per_voxel(), datatype.name()), (bits, name));
        }
    }

    #[test]
    fn what_is_not_read_is_named() {
        assert_eq!(Datatype::from_code(32), Err("complex64"));
        assert_eq!(Datatype::from_code(999), Err("undefined"));
    }
}
