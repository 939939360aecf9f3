//! Checked NIfTI headers: every field that voxels or geometry depend on is valid, and no length
//! exceeds what the file can hold.
//!
//! Lengths are taken as millimetres whatever `xyzt_units` says, as the other readers do.

use std::path::Path;

use crate::base::CaseError;
use crate::brats::bytes::MORE_VOXELS;
use crate::brats::datatype::Datatype;
use crate::brats::fields::{HeaderFields, field_error};
use crate::brats::placement;
use crate::volume::{Affine, Dims};

/// Linear scaling of stored voxels: `value = raw * slope + inter`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct VoxelScaling {
    pub(super) slope: f64,
    pub(super) inter: f64,
}

/// Checked header of a NIfTI file.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Extent as in the file, fastest axis first, one to seven axes.
    pub shape: Vec<usize>,
    /// Type of the stored voxels.
    pub datatype: Datatype,
    /// Voxel edges in mm, fastest axis first: the size of `pixdim`.
    pub spacing_mm: [f64; 3],
    /// World-from-voxel affine, RAS+, in mm: sform, else qform, else from `pixdim` alone.
    pub world_from_voxel: Affine,
    /// True if the voxels lie in an `.img` beside the header.
    pub(super) pair: bool,
    pub(super) big_endian: bool,
    pub(super) vox_offset: usize,
    pub(super) scaling: Option<VoxelScaling>,
}

impl Header {
    /// Reads and checks the start of a file's content.
    pub(super) fn parse(path: &Path, head: &[u8]) -> Result<Self, CaseError> {
        let fields = HeaderFields::parse(path, head)?;
        let shape = parse_shape(path, &fields)?;
        let spacing_mm = placement::voxel_spacing(path, &fields, shape.len())?;
        Ok(Self {
            datatype: parse_datatype(path, &fields)?,
            world_from_voxel: placement::world_from_voxel(path, &fields, &shape, spacing_mm)?,
            pair: fields.pair,
            big_endian: fields.big_endian,
            vox_offset: parse_vox_offset(path, &fields)?,
            scaling: parse_scaling(path, &fields)?,
            shape,
            spacing_mm,
        })
    }

    /// Number of voxels over all axes; `check_length` has checked that the product fits.
    pub fn voxel_count(&self) -> usize {
        self.shape.iter().product()
    }

    /// The extent of one of `volumes` volumes along the fourth axis: other axes after the third must be
    /// of length 1, and absent ones are.
    pub(super) fn volume_dims(&self, path: &Path, volumes: usize) -> Result<Dims, CaseError> {
        let axis = |i: usize| self.shape.get(i).copied().unwrap_or(1);
        let dims = Dims::from_nifti([axis(0), axis(1), axis(2)]);
        if axis(3) == volumes && self.voxel_count() == dims.voxel_count() * volumes {
            return Ok(dims);
        }
        let (problem, remedy) = match volumes {
            1 => (
                "more than one volume".to_owned(),
                "split it into one file per modality, or, for images, write order = [\"flair\", \"t1\", \
                 \"t1ce\", \"t2\"] in dataset.toml, as its volumes are (docs/datasets.md)",
            ),
            _ => (
                format!("not the {volumes} volumes that the dataset's order names"),
                "write an order with a name for each volume in dataset.toml, \"-\" for one that is not \
                 used (docs/datasets.md)",
            ),
        };
        Err(field_error(path, "dim", format!("is {}: {problem}", self.shape_text()), remedy))
    }

    /// The shape as users know it: `240x240x155`.
    pub fn shape_text(&self) -> String {
        let lengths: Vec<String> = self.shape.iter().map(ToString::to_string).collect();
        lengths.join("x")
    }

    /// Refuses a volume of more than `most` voxels, whether its file holds them or not: a few MB may.
    pub(super) fn check_voxels(&self, path: &Path, most: usize) -> Result<(), CaseError> {
        let voxels = self.shape.iter().try_fold(1usize, |all, length| all.checked_mul(*length));
        if voxels.is_some_and(|voxels| voxels <= most) {
            return Ok(());
        }
        let voxels = voxels.map_or("over 2^64".to_owned(), |voxels| voxels.to_string());
        let problem = format!("is {}: {voxels} voxels, the limit is {most}", self.shape_text());
        Err(field_error(path, "dim", problem, MORE_VOXELS))
    }

    /// Refuses a header that claims more than the `ceiling` of bytes that its file can hold, before
    /// anything of that size is allocated.
    pub(super) fn check_length(&self, path: &Path, ceiling: u64) -> Result<(), CaseError> {
        let offset = self.vox_offset as u64;
        if offset > ceiling {
            return Err(field_error(
                path,
                "vox_offset",
                format!("is {offset}, the file holds at most {ceiling} bytes"),
                "the header is damaged or the file was cut off: convert it again",
            ));
        }
        let voxel_bytes = self.datatype.bytes_per_voxel() as u64;
        let lengths = self.shape.iter().map(|length| *length as u64);
        let needed = lengths.into_iter().try_fold(voxel_bytes, u64::checked_mul);
        if needed.is_some_and(|bytes| bytes <= ceiling - offset) {
            return Ok(());
        }
        let claimed = needed.map_or("over 2^64".to_owned(), |bytes| bytes.to_string());
        Err(field_error(
            path,
            "dim",
            format!(
                "is {}: {claimed} bytes of {} from byte {offset} on, the file holds at most \
                 {ceiling}",
                self.shape_text(),
                self.datatype,
            ),
            "the header is damaged or the file was cut off: convert or download it again",
        ))
    }
}

fn parse_shape(path: &Path, fields: &HeaderFields) -> Result<Vec<usize>, CaseError> {
    let rank = match usize::try_from(fields.dim[0]) {
        Ok(rank @ 1..=7) => rank,
        _ => {
            let problem = format!("is {}, not 1 to 7 axes", fields.dim[0]);
            return Err(field_error(path, "dim[0]", problem, "convert the file again"));
        }
    };
    let mut shape = Vec::with_capacity(rank);
    for (axis, &length) in fields.dim.iter().enumerate().skip(1).take(rank) {
        match usize::try_from(length) {
            Ok(length) if length > 0 => shape.push(length),
            _ => {
                let problem = format!("is {length}, no length of an axis");
                let remedy = "convert the file again";
                return Err(field_error(path, &format!("dim[{axis}]"), problem, remedy));
            }
        }
    }
    Ok(shape)
}

fn parse_datatype(path: &Path, fields: &HeaderFields) -> Result<Datatype, CaseError> {
    let code = fields.datatype;
    let datatype = Datatype::from_code(code).map_err(|name| {
        let problem = format!("is {code} ({name}), no real number type that is read");
        field_error(path, "datatype", problem, "convert the voxels to int16 or float32")
    })?;
    if usize::try_from(fields.bitpix) != Ok(datatype.bits_per_voxel()) {
        let bits = datatype.bits_per_voxel();
        let problem = format!("is {}, but {datatype} has {bits}", fields.bitpix);
        return Err(field_error(
            path,
            "bitpix",
            problem,
            "the header is damaged: convert it again",
        ));
    }
    Ok(datatype)
}

fn parse_vox_offset(path: &Path, fields: &HeaderFields) -> Result<usize, CaseError> {
    let offset = fields.vox_offset;
    let least = if fields.pair { 0 } else { fields.header_bytes };
    // Doubles count exactly up to 2^53; no file is longer.
    let countable = offset >= least as f64 && offset < 2f64.powi(53) && offset.fract() == 0.0;
    if countable {
        return Ok(offset as usize);
    }
    let problem = format!("is {offset}, not a whole number of at least {least} bytes");
    Err(field_error(path, "vox_offset", problem, "the header is damaged: convert the file again"))
}

/// A slope of 0 or none at all means that the voxels are stored as they are (nifti1.h); the
/// intercept is then ignored too.
fn parse_scaling(path: &Path, fields: &HeaderFields) -> Result<Option<VoxelScaling>, CaseError> {
    let slope = fields.scl_slope;
    let inter = fields.scl_inter;
    if slope == 0.0 || !slope.is_finite() {
        return Ok(None);
    }
    if !inter.is_finite() {
        let problem = format!("is {inter} beside a slope of {slope}");
        return Err(field_error(
            path,
            "scl_inter",
            problem,
            "set scl_slope to 0, or the intercept",
        ));
    }
    let identity = slope == 1.0 && inter == 0.0;
    Ok((!identity).then_some(VoxelScaling { slope, inter }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A valid little-endian NIfTI-1 header of 2x3x4 int16 voxels, with some bytes replaced.
    fn parsed(changes: &[(usize, &[u8])]) -> Result<Header, CaseError> {
        let mut head = vec![0u8; 352];
        let dim = [3i16, 2, 3, 4, 1, 1, 1, 1].map(i16::to_le_bytes);
        let pixdim = [1f32; 8].map(f32::to_le_bytes);
        let valid: [(usize, &[u8]); 9] = [
            (0, &348i32.to_le_bytes()),
            (40, dim.as_flattened()),
            (70, &4i16.to_le_bytes()),
            (72, &16i16.to_le_bytes()),
            (76, pixdim.as_flattened()),
            (108, &352f32.to_le_bytes()),
            (112, &1f32.to_le_bytes()),
            (344, b"n+1\0"),
            (348, &[0; 4]),
        ];
        for (at, bytes) in valid.iter().chain(changes) {
            head[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        Header::parse(Path::new("a.nii"), &head)
    }

    #[track_caller]
    fn refused(changes: &[(usize, &[u8])], expected: &str) {
        let error = parsed(changes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.starts_with("a.nii: ") && error.contains("; "), "{error}");
    }

    #[test]
    fn a_valid_header_is_read() {
        let header = parsed(&[]).unwrap();
        assert_eq!(header.shape_text(), "2x3x4");
        assert_eq!((header.voxel_count(), header.vox_offset, header.scaling), (24, 352, None));
        assert_eq!(header.volume_dims(Path::new("a"), 1).unwrap(), Dims([4, 3, 2]));
    }

    #[test]
    fn each_impossible_field_is_refused_by_name_and_value() {
        refused(&[(40, &0i16.to_le_bytes())], "dim[0]: is 0");
        refused(&[(40, &8i16.to_le_bytes())], "dim[0]: is 8");
        refused(&[(42, &(-3i16).to_le_bytes())], "dim[1]: is -3");
        refused(&[(46, &0i16.to_le_bytes())], "dim[3]: is 0");
        refused(&[(70, &32i16.to_le_bytes())], "datatype: is 32 (complex64)");
        refused(&[(72, &8i16.to_le_bytes())], "bitpix: is 8, but int16 has 16");
        refused(&[(108, &f32::NAN.to_le_bytes())], "vox_offset: is NaN");
        refused(&[(108, &352.5f32.to_le_bytes())], "vox_offset: is 352.5");
        refused(&[(108, &(-1f32).to_le_bytes())], "vox_offset: is -1");
        refused(&[(108, &1e30f32.to_le_bytes())], "vox_offset: is 1");
        refused(&[(116, &f32::NAN.to_le_bytes())], "scl_inter: is NaN");
    }

    #[test]
    fn a_slope_of_zero_or_nan_scales_nothing() {
        for slope in [0.0, f32::NAN] {
            let changes = [(112, &slope.to_le_bytes()[..]), (116, &5f32.to_le_bytes())];
            assert_eq!(parsed(&changes).unwrap().scaling, None);
        }
        let scaled = parsed(&[(112, &0.5f32.to_le_bytes())]).unwrap();
        assert_eq!(scaled.scaling, Some(VoxelScaling { slope: 0.5, inter: 0.0 }));
    }

    #[test]
    fn lengths_are_held_against_the_file() {
        let header = parsed(&[]).unwrap();
        let path = Path::new("a.nii");
        assert!(header.check_length(path, 352 + 48).is_ok());
        assert!(header.check_length(path, 352 + 47).unwrap_err().to_string().contains("2x3x4"));
        assert!(header.check_length(path, 351).unwrap_err().to_string().contains("vox_offset"));
        let huge = [7i16, 32767, 32767, 32767, 32767, 32767, 32767, 32767].map(i16::to_le_bytes);
        let beyond = parsed(&[(40, huge.as_flattened())]).unwrap();
        assert!(beyond.check_length(path, u64::MAX).unwrap_err().to_string().contains("2^64"));
    }

    #[test]
    fn more_voxels_than_are_wanted_are_refused_however_many_there_are() {
        let path = Path::new("a.nii");
        let header = parsed(&[]).unwrap();
        assert!(header.check_voxels(path, 24).is_ok());
        let refused = header.check_voxels(path, 23).unwrap_err().to_string();
        assert!(refused.contains("is 2x3x4: 24 voxels, the limit is 23"), "{refused}");
        assert!(refused.contains("data.max_voxels"), "{refused}");
        let huge = [7i16, 32767, 32767, 32767, 32767, 32767, 32767, 32767].map(i16::to_le_bytes);
        let beyond = parsed(&[(40, huge.as_flattened())]).unwrap();
        assert!(beyond.check_voxels(path, usize::MAX).unwrap_err().to_string().contains("2^64"));
    }

    #[test]
    fn a_trailing_axis_of_one_is_dropped_and_four_volumes_are_refused() {
        let path = Path::new("a.nii");
        let one = parsed(&[(40, &4i16.to_le_bytes())]).unwrap();
        assert_eq!(one.shape, [2, 3, 4, 1]);
        assert_eq!(one.volume_dims(path, 1).unwrap(), Dims([4, 3, 2]));
        let four = parsed(&[(40, &4i16.to_le_bytes()), (48, &4i16.to_le_bytes())]).unwrap();
        assert!(four.volume_dims(path, 1).unwrap_err().to_string().contains("2x3x4x4"));
    }

    proptest! {
        /// Voxels are allocated only after this check, in this number.
        #[test]
        fn no_header_passes_that_claims_more_than_its_file_holds(
            flips in proptest::collection::vec((0usize..352, any::<u8>()), 0..6),
            ceiling in 0u64..100_000,
        ) {
            let bytes: Vec<(usize, [u8; 1])> = flips.into_iter().map(|(at, b)| (at, [b])).collect();
            let changes: Vec<(usize, &[u8])> = bytes.iter().map(|(at, b)| (*at, &b[..])).collect();
            let Ok(header) = parsed(&changes) else { return Ok(()) };
            if header.check_length(Path::new("a.nii"), ceiling).is_ok() {
                let end = header.vox_offset + header.voxel_count() * header.datatype.bytes_per_voxel();
                prop_assert!(end as u64 <= ceiling);
            }
        }
    }
}
