//! World-from-voxel affine of a file: the first of sform, qform and pixdim that the header sets
//! (nifti1.h, "METHOD 3", "METHOD 2", "METHOD 1").

use std::path::Path;

use crate::base::CaseError;
use crate::brats::fields::{HeaderFields, field_error};
use crate::brats::qform::Qform;
use crate::volume::Affine;

/// A grid whose volume is smaller than this share of its edges' product is flat.
const FLAT: f64 = 1e-6;

/// Voxel edges in mm. The sign of `pixdim` means nothing; axes that the file lacks count as 1.
///
/// # Errors
/// If an edge is zero or no number, even where the sform does not need it: statistics and crops in
/// mm do.
pub(super) fn voxel_spacing(
    path: &Path,
    fields: &HeaderFields,
    rank: usize,
) -> Result<[f64; 3], CaseError> {
    let mut spacing = [1.0; 3];
    for (axis, edge) in spacing.iter_mut().enumerate().take(rank) {
        let stored = fields.pixdim[axis + 1];
        if stored == 0.0 || !stored.is_finite() {
            return Err(field_error(
                path,
                &format!("pixdim[{}]", axis + 1),
                format!("is {stored}, no length of a voxel"),
                "set the voxel size in mm (fslchpixdim, nibabel's set_zooms)",
            ));
        }
        *edge = stored.abs();
    }
    Ok(spacing)
}

/// World-from-voxel affine, RAS+, in mm.
///
/// # Errors
/// If the form that the header sets is no invertible map.
pub(super) fn world_from_voxel(
    path: &Path,
    fields: &HeaderFields,
    shape: &[usize],
    spacing: [f64; 3],
) -> Result<Affine, CaseError> {
    if fields.sform_code > 0 {
        let [x, y, z] = fields.srow;
        return check_invertible(path, "srow", Affine([x, y, z, [0.0, 0.0, 0.0, 1.0]]));
    }
    if fields.qform_code > 0 {
        let qfac = if fields.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
        let form = Qform { quaternion: fields.quatern, offset: fields.qoffset, spacing, qfac };
        return match form.world_from_voxel() {
            Some(affine) => check_invertible(path, "qform", affine),
            None => Err(field_error(
                path,
                "quatern",
                format!("is {:?}, no rotation", fields.quatern),
                "write the orientation again, as sform or as qform",
            )),
        };
    }
    Ok(default_world_from_voxel(shape, spacing))
}

/// World-from-voxel affine of a file without sform and qform: the centre of the grid is the world's
/// origin, and x runs to the left, as Analyze had it (nibabel's base affine).
fn default_world_from_voxel(shape: &[usize], spacing: [f64; 3]) -> Affine {
    let [sx, sy, sz] = spacing;
    let mut affine = [[0.0, 0.0, 0.0, 1.0]; 4];
    for (axis, step) in [-sx, sy, sz].into_iter().enumerate() {
        let last = shape.get(axis).map_or(0.0, |length| *length as f64 - 1.0);
        affine[axis][axis] = step;
        affine[axis][3] = -step * last / 2.0;
    }
    Affine(affine)
}

fn check_invertible(path: &Path, field: &str, affine: Affine) -> Result<Affine, CaseError> {
    let remedy = "write the orientation again, as sform or as qform";
    if let Some(value) = affine.0.iter().flatten().find(|value| !value.is_finite()) {
        return Err(field_error(path, field, format!("holds {value}"), remedy));
    }
    let edges: f64 = affine.spacing_mm().iter().product();
    // Written so that an overflow to infinity or NaN is refused as well.
    if affine.determinant().abs() > FLAT * edges && edges.is_finite() {
        return Ok(affine);
    }
    let [x, y, z, _] = affine.0;
    Err(field_error(path, field, format!("is singular: {x:?} {y:?} {z:?}"), remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> HeaderFields {
        HeaderFields {
            header_bytes: 348,
            big_endian: false,
            pair: false,
            dim: [3, 49, 56, 52, 1, 1, 1, 1],
            datatype: 4,
            bitpix: 16,
            pixdim: [1.0; 8],
            vox_offset: 352.0,
            scl_slope: 0.0,
            scl_inter: 0.0,
            qform_code: 0,
            sform_code: 0,
            quatern: [0.0, 0.0, 1.0],
            qoffset: [-76.0, 166.0, 87.0],
            srow: [[2.0, 0.0, 0.0, 5.0], [0.0, 2.0, 0.0, 6.0], [0.0, 0.0, 2.0, 7.0]],
        }
    }

    fn placed(fields: &HeaderFields) -> Result<[[f64; 4]; 4], CaseError> {
        let path = Path::new("a.nii");
        let spacing = voxel_spacing(path, fields, 3)?;
        world_from_voxel(path, fields, &[49, 56, 52], spacing).map(|affine| affine.0)
    }

    #[test]
    fn sform_wins_over_qform_and_qform_over_pixdim() {
        let sform = HeaderFields { sform_code: 1, qform_code: 1, ..fields() };
        assert_eq!(placed(&sform).unwrap()[0], [2.0, 0.0, 0.0, 5.0]);
        let qform = HeaderFields { qform_code: 1, ..fields() };
        assert_eq!(placed(&qform).unwrap()[0], [-1.0, 0.0, 0.0, -76.0]);
        let rows = placed(&fields()).unwrap();
        assert_eq!(rows[0], [-1.0, 0.0, 0.0, 24.0]);
        assert_eq!(rows[1], [0.0, 1.0, 0.0, -27.5]);
        assert_eq!(rows[2], [0.0, 0.0, 1.0, -25.5]);
    }

    #[test]
    fn a_negative_qfac_mirrors_the_third_axis_and_zero_does_not() {
        let mut own = HeaderFields { qform_code: 1, ..fields() };
        own.pixdim[0] = 0.0;
        assert_eq!(placed(&own).unwrap()[2], [0.0, 0.0, 1.0, 87.0]);
        own.pixdim[0] = -1.0;
        assert_eq!(placed(&own).unwrap()[2], [0.0, 0.0, -1.0, 87.0]);
    }

    #[test]
    fn a_voxel_without_size_is_refused_and_a_negative_one_is_taken_by_size() {
        let mut own = HeaderFields { sform_code: 1, ..fields() };
        own.pixdim[1] = -3.0;
        assert_eq!(voxel_spacing(Path::new("a"), &own, 3).unwrap(), [3.0, 1.0, 1.0]);
        own.pixdim[2] = 0.0;
        assert!(placed(&own).unwrap_err().to_string().contains("pixdim[2]: is 0"));
        own.pixdim[2] = f64::NAN;
        assert!(placed(&own).unwrap_err().to_string().contains("pixdim[2]: is NaN"));
        assert!(
            voxel_spacing(Path::new("a"), &own, 1).is_ok(),
            "an axis that is not there needs none"
        );
    }

    #[test]
    fn a_form_that_is_no_map_is_refused() {
        let mut own = HeaderFields { sform_code: 1, ..fields() };
        own.srow[0] = [0.0; 4];
        assert!(placed(&own).unwrap_err().to_string().contains("srow: is singular"));
        own.srow[0] = [f64::NAN, 0.0, 0.0, 0.0];
        assert!(placed(&own).unwrap_err().to_string().contains("srow: holds NaN"));
        own.srow[0] = [1e200, 0.0, 0.0, 0.0];
        assert!(placed(&own).unwrap_err().to_string().contains("singular"));
        let long = HeaderFields { qform_code: 1, quatern: [1.0, 1.0, 0.0], ..fields() };
        assert!(placed(&long).unwrap_err().to_string().contains("quatern"));
    }
}
