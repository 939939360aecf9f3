//! A case read and prepared in the memory of others is the case read and prepared in fresh memory,
//! whatever the others were; and the memory does not grow with their number.
#![allow(clippy::unwrap_used)] // a helper of a test may fail like the test itself

use std::fs;
use std::path::Path;

use gliaflow::internals::brats::{
    CaseFiles, CaseReader, discover_cases, source_grid, write_intensities, write_labels,
    write_scalars,
};
use gliaflow::internals::buffers::CaseBuffers;
use gliaflow::internals::cache::{PreprocessConfig, prepare_in_buffers};
use gliaflow::internals::volume::{Affine, Dims};

const LPS: [[f64; 4]; 3] = [[-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
const PIR: [[f64; 4]; 3] = [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0]];

/// A case whose volumes differ from each other and from those of another seed.
fn write_case(root: &Path, id: &str, shape: [usize; 3], rows: [[f64; 4]; 3], seed: usize) {
    let folder = root.join(id);
    fs::create_dir_all(&folder).unwrap();
    let [x, y, z] = rows;
    let source = source_grid(Dims::from_nifti(shape), Affine([x, y, z, [0.0, 0.0, 0.0, 1.0]]));
    let voxels = source.dims.voxel_count();
    let value = |place: usize| (place * 31 + seed) % 977;
    for (modality, ending) in ["t1", "t1ce", "t2", "flair"].into_iter().enumerate() {
        let path = folder.join(format!("{id}_{ending}.nii.gz"));
        let values: Vec<i16> = (0..voxels).map(|place| value(place + modality) as i16).collect();
        write_intensities(&path, &values, &source).unwrap();
    }
    let labels: Vec<u8> = (0..voxels).map(|place| [0, 1, 2, 4][value(place) % 4]).collect();
    write_labels(&folder.join(format!("{id}_seg.nii.gz")), &labels, &source).unwrap();
}

/// Puts what is not the usual type in the place of two files: a modality of fractions, labels of
/// int16.
fn make_unusual(root: &Path, id: &str) {
    let path = |ending: &str| root.join(id).join(format!("{id}_{ending}.nii.gz"));
    let case = &CaseReader::default()
        .read(&discover_cases(&root.join(id), None).unwrap().cases[0])
        .unwrap();
    let values: Vec<f32> = case.images[2].iter().map(|value| value as f32 / 2.0).collect();
    write_scalars(&path("t2"), &case.source.to_file_order(&values), &case.source).unwrap();
    let labels: Vec<i16> =
        case.labels.as_ref().unwrap().iter().map(|l| i16::from(*l % 3)).collect();
    write_intensities(&path("seg"), &case.source.to_file_order(&labels), &case.source).unwrap();
}

/// As many kinds of cases as there are paths through the reader, larger and smaller ones in turn.
fn cohort(root: &Path) -> Vec<CaseFiles> {
    write_case(root, "a", [12, 11, 10], LPS, 1);
    write_case(root, "b", [3, 4, 5], PIR, 2);
    write_case(root, "c", [9, 14, 8], PIR, 3);
    make_unusual(root, "c");
    write_case(root, "d", [5, 5, 5], LPS, 4);
    make_unusual(root, "d");
    discover_cases(root, None).unwrap().cases
}

#[test]
fn what_was_in_a_buffer_before_is_seen_by_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let config = PreprocessConfig::default();
    let shelf = CaseBuffers::default();
    let reader = CaseReader::new(shelf.clone());
    let cases = cohort(folder.path());
    for files in cases.iter().chain(cases.iter().rev()) {
        let fresh = CaseReader::default().read(files).unwrap();
        let case = reader.read(files).unwrap();
        assert_eq!(case.images, fresh.images, "{}", files.id);
        assert_eq!(case.labels, fresh.labels, "{}", files.id);
        assert_eq!(case.fingerprint, fresh.fingerprint, "{}", files.id);
        assert_eq!(case.bytes_read, fresh.bytes_read, "{}", files.id);
        let contents = prepare_in_buffers(&shelf, &case, &config).unwrap();
        assert_eq!(
            contents,
            prepare_in_buffers(&CaseBuffers::default(), &fresh, &config).unwrap(),
            "{}",
            files.id
        );
        shelf.give_back_case(case);
        contents.give_back(&shelf);
    }
}

#[test]
fn a_second_round_takes_no_memory_that_the_first_has_not_left() {
    let folder = tempfile::tempdir().unwrap();
    let config = PreprocessConfig::default();
    let shelf = CaseBuffers::for_cases(100);
    let reader = CaseReader::new(shelf.clone());
    let cases = cohort(folder.path());
    let mut waiting = Vec::new();
    for files in cases.iter().chain(&cases).chain(&cases) {
        let case = reader.read(files).unwrap();
        let contents = prepare_in_buffers(&shelf, &case, &config).unwrap();
        shelf.give_back_case(case);
        contents.give_back(&shelf);
        waiting.push([shelf.bytes.len(), shelf.intensities.len(), shelf.interleaved.len()]);
    }
    assert!(waiting[0].iter().all(|buffers| *buffers > 0), "{waiting:?}");
    assert_eq!(waiting[cases.len() - 1], waiting[3 * cases.len() - 1], "{waiting:?}");
}
