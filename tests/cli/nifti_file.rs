//! A NIfTI-1 file read the plain way, so that the binary's own reader is not its witness.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// NIfTI's code of uint8.
pub(crate) const UINT8: i16 = 2;
/// NIfTI's code of float32.
#[cfg(feature = "train")]
pub(crate) const FLOAT32: i16 = 16;
/// NIfTI's code of int16.
pub(crate) const INT16: i16 = 4;

/// The little-endian bytes of a `.nii.gz`, inflated.
pub(crate) struct NiftiFile(Vec<u8>);

/// Changes single precision fields of a `.nii.gz`, named by their places in the header.
pub(crate) fn edit_floats(
    path: &Path,
    places: impl IntoIterator<Item = usize>,
    edit: impl Fn(f32) -> f32,
) {
    let NiftiFile(mut content) = NiftiFile::open(path);
    for at in places {
        let field: [u8; 4] = content[at..at + 4].try_into().unwrap();
        content[at..at + 4].copy_from_slice(&edit(f32::from_le_bytes(field)).to_le_bytes());
    }
    let mut encoder = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
    encoder.write_all(&content).unwrap();
    encoder.finish().unwrap();
}

impl NiftiFile {
    pub(crate) fn open(path: &Path) -> Self {
        let mut bytes = Vec::new();
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        MultiGzDecoder::new(file).read_to_end(&mut bytes).unwrap();
        let file = Self(bytes);
        assert_eq!(i32::from_le_bytes(file.at(0)), 348, "{}", path.display());
        file
    }

    fn at<const N: usize>(&self, place: usize) -> [u8; N] {
        self.0[place..place + N].try_into().unwrap()
    }

    fn i16(&self, place: usize) -> i16 {
        i16::from_le_bytes(self.at(place))
    }

    fn f32(&self, place: usize) -> f64 {
        f32::from_le_bytes(self.at(place)).into()
    }

    /// `dim[1..=3]`.
    pub(crate) fn shape(&self) -> [usize; 3] {
        assert_eq!(self.i16(40), 3, "three axes");
        [1, 2, 3].map(|axis| usize::try_from(self.i16(40 + 2 * axis)).unwrap())
    }

    /// `datatype`.
    pub(crate) fn datatype(&self) -> i16 {
        self.i16(70)
    }

    /// `pixdim[1..=3]`.
    pub(crate) fn spacing(&self) -> [f64; 3] {
        [1, 2, 3].map(|axis| self.f32(76 + 4 * axis))
    }

    /// `srow_x`, `srow_y`, `srow_z`.
    pub(crate) fn affine(&self) -> [[f64; 4]; 3] {
        [280, 296, 312].map(|row| [0, 1, 2, 3].map(|column| self.f32(row + 4 * column)))
    }

    /// The bytes before the voxels.
    pub(crate) fn header(&self) -> &[u8] {
        &self.0[..self.f32(108) as usize]
    }

    /// The bytes of the voxels.
    #[cfg(feature = "train")]
    pub(crate) fn voxel_bytes(&self) -> &[u8] {
        &self.0[self.header().len()..]
    }

    /// The stored values of a file of float32.
    #[cfg(feature = "train")]
    pub(crate) fn floats(&self) -> Vec<f32> {
        assert_eq!(self.datatype(), FLOAT32);
        self.voxel_bytes().as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
    }

    /// The stored values of a file of uint8 or int16.
    pub(crate) fn values(&self) -> Vec<i64> {
        let start = self.f32(108) as usize;
        match self.datatype() {
            UINT8 => self.0[start..].iter().map(|&value| value.into()).collect(),
            INT16 => self.0[start..]
                .chunks_exact(2)
                .map(|pair| i16::from_le_bytes([pair[0], pair[1]]).into())
                .collect(),
            other => panic!("datatype {other}"),
        }
    }
}
