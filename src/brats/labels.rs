//! Label volumes: whole numbers of any stored type, mapped by the dataset's scheme to canonical
//! labels. Any other value is an error with its count, never background.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::base::{CaseError, Reason, reserve_values};
use crate::brats::datatype::Datatype;
use crate::brats::read::{DEFAULT_MAX_VOXELS, RawVolume};
use crate::brats::{bytes, narrow, scheme};
use crate::buffers::CaseBuffers;
use crate::volume::{LabelScheme, Voxels};

/// Largest distance of a stored label from a whole number: scaled by a slope of 0.99999997, say.
const ROUNDING: f64 = 1e-3;

/// Voxels tested together; nearly all such runs are background.
const RUN: usize = 64;

/// Reads the labels of a file: canonical, in the order of its voxels.
pub(super) fn read_labels(
    packed: &RawVolume,
    scheme: LabelScheme,
    buffers: &CaseBuffers,
) -> Result<Vec<u8>, CaseError> {
    let RawVolume { path, raw, header, .. } = packed;
    if header.datatype != Datatype::U8 || header.scaling.is_some() {
        let voxels = narrow::decode_voxels(packed, buffers)?;
        let labels = canonical_labels(path, &voxels, scheme, buffers.bytes.take())?;
        if let Voxels::I16(values) = voxels {
            buffers.intensities.give_back(values.into_buffer());
        }
        return Ok(labels);
    }
    let known = canonical_label_table(scheme);
    let count = header.voxel_count();
    let mut labels = buffers.bytes.take();
    reserve_values(&mut labels, count).map_err(|error| error.to_case_error(path.display()))?;
    let mut all_known = true;
    let map_piece = |place: usize, piece: &[u8]| {
        if place == 0 {
            labels.clear();
            all_known = true;
        }
        all_known = all_known && map_labels(piece, &mut labels, |value| known[usize::from(value)]);
    };
    let mut stored = buffers.bytes.take();
    let offset = header.vox_offset;
    let lead = bytes::decompress_visiting(path, raw, offset, count, &mut stored, map_piece)?;
    if !all_known {
        let values = stored[lead..].iter().map(|value| f64::from(*value));
        return Err(unknown_label_error(path, values, scheme));
    }
    buffers.bytes.give_back(stored);
    Ok(labels)
}

/// Reads the values of a label file, each rounded to a whole number; fractions are passed over, the
/// reading of labels refuses them.
pub(super) fn read_label_values(path: &Path) -> Result<BTreeSet<i64>, CaseError> {
    let buffers = CaseBuffers::default();
    let packed = RawVolume::read(path, DEFAULT_MAX_VOXELS, &buffers)?;
    let mut values = BTreeSet::new();
    let mut last = None;
    for value in narrow::decode_voxels(&packed, &buffers)?.iter() {
        // Labels come in runs, and a set is slow.
        if last != Some(value) {
            last = Some(value);
            values.extend(nearest_whole(value));
        }
    }
    Ok(values)
}

/// Canonical label of each stored byte.
fn canonical_label_table(scheme: LabelScheme) -> [Option<u8>; 256] {
    std::array::from_fn(|value| scheme.to_canonical(value as u8))
}

/// Replaces the content of `labels` by canonical ones, in the order of the voxels.
fn canonical_labels(
    path: &Path,
    voxels: &Voxels,
    scheme: LabelScheme,
    mut labels: Vec<u8>,
) -> Result<Vec<u8>, CaseError> {
    let known = canonical_label_table(scheme);
    reserve_values(&mut labels, voxels.len())
        .map_err(|error| error.to_case_error(path.display()))?;
    let all_known = match voxels {
        Voxels::I16(values) => map_labels(values, &mut labels, |value| {
            usize::try_from(value).ok().and_then(|place| known.get(place).copied().flatten())
        }),
        Voxels::F32(values) => {
            map_labels(values, &mut labels, |value| label_of_real(f64::from(value), &known))
        }
        Voxels::F64(values) => {
            map_labels(values, &mut labels, |value| label_of_real(value, &known))
        }
    };
    if all_known { Ok(labels) } else { Err(unknown_label_error(path, voxels.iter(), scheme)) }
}

/// Appends the label of every value to `labels`; false if one has none.
fn map_labels<T: Copy + Default + PartialEq>(
    values: &[T],
    labels: &mut Vec<u8>,
    label: impl Fn(T) -> Option<u8>,
) -> bool {
    for run in values.chunks(RUN) {
        // All of a run are compared, which the compiler makes vectors of.
        if run.iter().fold(true, |all, value| all & (*value == T::default())) {
            labels.resize(labels.len() + run.len(), 0);
            continue;
        }
        for value in run {
            match label(*value) {
                Some(label) => labels.push(label),
                None => return false,
            }
        }
    }
    true
}

fn label_of_real(value: f64, known: &[Option<u8>; 256]) -> Option<u8> {
    let whole = nearest_whole(value)?;
    usize::try_from(whole).ok().and_then(|place| known.get(place).copied().flatten())
}

fn nearest_whole(value: f64) -> Option<i64> {
    let nearest = value.round();
    ((value - nearest).abs() <= ROUNDING).then_some(nearest as i64)
}

/// Error of a volume in which a value has no label. Its second pass is paid by defective files
/// only.
fn unknown_label_error(
    path: &Path,
    values: impl Iterator<Item = f64>,
    scheme: LabelScheme,
) -> CaseError {
    let mut counts = BTreeMap::<i64, usize>::new();
    let mut fraction = None;
    let mut fractions = 0usize;
    for value in values {
        match nearest_whole(value) {
            Some(whole) => *counts.entry(whole).or_default() += 1,
            None => {
                fraction.get_or_insert(value);
                fractions += 1;
            }
        }
    }
    if let Some(value) = fraction {
        return CaseError::new(
            Reason::Label,
            path.display(),
            format!("label {value} is no whole number; {} such", voxels_text(fractions)),
            "resample labels with nearest neighbour, or threshold the probabilities",
        );
    }
    let is_known = |value: i64| u8::try_from(value).ok().and_then(|v| scheme.to_canonical(v));
    let strange: Vec<String> = counts
        .iter()
        .filter(|(value, _)| is_known(**value).is_none())
        .map(|(value, count)| format!("label {value} in {}", voxels_text(*count)))
        .collect();
    CaseError::new(
        Reason::Label,
        path.display(),
        format!("has {}; {}", first_few_text(&strange), scheme::definition_text(scheme)),
        scheme::other_schemes_text(scheme, counts.into_keys()),
    )
}

fn voxels_text(count: usize) -> String {
    if count == 1 { "1 voxel".to_owned() } else { format!("{count} voxels") }
}

/// Joins the first few of the values: a file of noise has thousands.
fn first_few_text(strange: &[String]) -> String {
    const SHOWN: usize = 5;
    let text = strange[..strange.len().min(SHOWN)].join(", ");
    match strange.len().saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text} and {more} more values"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brats::{write_labels, write_scalars};
    use crate::volume::{Affine, Dims, SourceGrid};

    fn of(voxels: Voxels) -> Result<Vec<u8>, String> {
        let path = Path::new("a_seg.nii.gz");
        canonical_labels(path, &voxels, LabelScheme::Brats2018, vec![9])
            .map_err(|error| error.to_string())
    }

    #[test]
    fn labels_of_any_type_become_canonical() {
        let mut values = vec![0i16; 200];
        values[70] = 4;
        values[199] = 1;
        let labels = of(Voxels::from_whole(values)).unwrap();
        assert_eq!((labels[70], labels[199], labels.len()), (3, 1, 200));
        assert_eq!(labels.iter().filter(|label| **label == 0).count(), 198);
        assert_eq!(of(Voxels::F32(vec![1.9999, 0.0])).unwrap(), [2, 0]);
        assert_eq!(of(Voxels::F64(vec![3.9999999, -1e-9])).unwrap(), [3, 0]);
    }

    #[test]
    fn bytes_of_a_file_are_read_as_other_types_are_or_refused_with_the_same_words() {
        let scheme = LabelScheme::Brats2018;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a_seg.nii.gz");
        let dims = Dims([20, 40, 50]);
        let mut affine = [[0.0; 4]; 4];
        (0..4).for_each(|axis| affine[axis][axis] = [-1.0, -1.0, 1.0, 1.0][axis]);
        let source = SourceGrid::canonical(dims, Affine(affine));
        let buffers = CaseBuffers::default();
        let mut stored = vec![0u8; dims.voxel_count()];
        for (start, value) in [(63, [1, 4, 2, 4]), (30_000, [1; 4]), (63, [5, 1, 5, 255])] {
            stored[start..start + 4].copy_from_slice(&value);
            write_labels(&path, &stored, &source).unwrap();
            let as_voxels =
                Voxels::from_whole(stored.iter().map(|value| i16::from(*value)).collect());
            let wanted = canonical_labels(&path, &as_voxels, scheme, vec![9]);
            let packed = RawVolume::read(&path, DEFAULT_MAX_VOXELS, &buffers).unwrap();
            let found = read_labels(&packed, scheme, &buffers);
            let text = |result: Result<Vec<u8>, CaseError>| result.map_err(|e| e.to_string());
            let (found, wanted) = (text(found), text(wanted));
            assert!(found == wanted, "{:?}, {:?}", found.err(), wanted.err());
        }
    }

    #[test]
    fn an_unknown_value_is_named_with_its_count() {
        let error = of(Voxels::from_whole(vec![0, 5, 1, 5, -7, 300])).unwrap_err();
        assert!(error.contains("label -7 in 1 voxel, label 5 in 2 voxels"), "{error}");
        assert!(error.contains("label 300 in 1 voxel; this dataset defines 0, 1, 2, 4"), "{error}");
        let many = of(Voxels::from_whole((5..=104).collect())).unwrap_err();
        assert!(many.contains("and 95 more values"), "{many}");
        assert!(of(Voxels::F32(vec![3.0])).unwrap_err().contains("label 3 in 1 voxel"));
    }

    #[test]
    fn an_unknown_value_names_the_schemes_that_know_it_and_how_to_ask_for_them() {
        for scheme in LabelScheme::ALL {
            let others = LabelScheme::ALL.into_iter().filter(|other| *other != scheme);
            for other in others {
                let values: Vec<i16> = other.file_values().into_iter().map(i16::from).collect();
                let path = Path::new("a_seg.nii.gz");
                let read =
                    canonical_labels(path, &Voxels::from_whole(values.clone()), scheme, vec![]);
                let Err(error) = read else {
                    assert!(scheme.defines_all(values.into_iter().map(i64::from)));
                    continue;
                };
                let text = error.to_string();
                assert!(text.contains(other.name()) && text.contains("--labels"), "{text}");
                assert!(text.contains("data.labels") && !text.contains("correct"), "{text}");
            }
        }
        // A 4 of BraTS 2024 without a 3 in the same case, in a folder named as both years are.
        let cavity = Voxels::from_whole(vec![0, 1, 2, 4]);
        let path = Path::new("BraTS-GLI-00001-000-seg.nii.gz");
        let error = canonical_labels(path, &cavity, LabelScheme::Brats2023, vec![]).unwrap_err();
        assert!(error.to_string().contains("as with --labels brats2024 "), "{error}");
        let error = of(Voxels::from_whole(vec![0, 7])).unwrap_err();
        assert!(error.contains("no scheme defines all of its values"), "{error}");
    }

    #[test]
    fn the_values_of_a_file_are_found_whatever_its_type() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.nii.gz");
        let mut affine = [[0.0; 4]; 4];
        (0..4).for_each(|place| affine[place][place] = 1.0);
        let grid = SourceGrid::canonical(Dims([1, 2, 4]), Affine(affine));
        write_labels(&path, &[0, 0, 4, 4, 1, 0, 4, 250], &grid).unwrap();
        assert_eq!(read_label_values(&path).unwrap(), BTreeSet::from([0, 1, 4, 250]));
        write_scalars(&path, &[0.0, 0.5, 3.0, 3.0, -1.0, 0.0, 1.9999, 0.0], &grid).unwrap();
        assert_eq!(read_label_values(&path).unwrap(), BTreeSet::from([-1, 0, 2, 3]));
    }

    #[test]
    fn a_fraction_is_named_with_its_count() {
        let error = of(Voxels::F32(vec![0.0, 0.5, 1.0, 0.5])).unwrap_err();
        assert!(error.contains("label 0.5 is no whole number; 2 voxels such"), "{error}");
        assert!(of(Voxels::F64(vec![f64::NAN])).unwrap_err().contains("label NaN"));
        assert!(of(Voxels::F64(vec![f64::INFINITY])).unwrap_err().contains("label inf"));
    }
}
