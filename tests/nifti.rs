//! NIfTI written here and read back: every type, order and orientation; and nothing that is cut,
//! flipped or inflated is taken for a volume.
#![allow(clippy::unwrap_used)] // a helper of a test may fail like the test itself

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use gliaflow::internals::base::Reason;
use gliaflow::internals::brats::{
    CaseReader, discover_cases, read_labels_only, read_volume, source_grid, write_intensities,
    write_labels, write_scalars,
};
use gliaflow::internals::volume::{Affine, Dims, LabelScheme, SourceGrid, Voxels};
use proptest::prelude::*;

const LPS: [[f64; 3]; 3] = [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.5]];
const PIR: [[f64; 3]; 3] = [[0.0, 0.0, 1.0], [-2.0, 0.0, 0.0], [0.0, -0.5, 0.0]];
const SHEARED: [[f64; 3]; 3] = [[-1.0, 0.25, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]];

fn grid(shape: [usize; 3], rows: [[f64; 3]; 3]) -> SourceGrid {
    let [x, y, z] = rows.map(|[i, j, k]| [i, j, k, -12.5]);
    source_grid(Dims::from_nifti(shape), Affine([x, y, z, [0.0, 0.0, 0.0, 1.0]]))
}

/// A NIfTI-1 file with its voxels, field by field, in either byte order.
struct Raw {
    bytes: Vec<u8>,
    big: bool,
}

impl Raw {
    fn new(big: bool, shape: [i16; 3], datatype: i16, bits: i16) -> Self {
        let mut raw = Self { bytes: vec![0; 352], big };
        raw.put(0, 348i32.to_le_bytes());
        let dim = [3, shape[0], shape[1], shape[2], 1, 1, 1, 1];
        for (axis, length) in dim.into_iter().enumerate() {
            raw.put(40 + 2 * axis, length.to_le_bytes());
            raw.put(76 + 4 * axis, 1f32.to_le_bytes());
        }
        raw.put(70, datatype.to_le_bytes());
        raw.put(72, bits.to_le_bytes());
        raw.put(108, 352f32.to_le_bytes());
        raw.bytes[344..348].copy_from_slice(b"n+1\0");
        raw
    }

    /// Puts a little-endian number into the file's order.
    fn put<const N: usize>(&mut self, at: usize, mut number: [u8; N]) {
        if self.big {
            number.reverse();
        }
        self.bytes[at..at + N].copy_from_slice(&number);
    }

    fn append<const N: usize>(&mut self, numbers: impl IntoIterator<Item = [u8; N]>) {
        for number in numbers {
            self.bytes.extend([0; N]);
            self.put(self.bytes.len() - N, number);
        }
    }

    fn read(&self) -> Result<Voxels, String> {
        read_bytes(&self.bytes).map(|volume| volume.0)
    }
}

fn read_bytes(bytes: &[u8]) -> Result<(Voxels, Vec<usize>), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    fs::write(&path, bytes).unwrap();
    let volume = read_volume(&path).map_err(|error| error.to_string())?;
    Ok((volume.voxels, volume.header.shape))
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A small valid file as it is written, compressed or not.
fn small(name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let voxels: Vec<i16> = (0..210i32).map(|place| (place * place % 997 - 300) as i16).collect();
    write_intensities(&path, &voxels, &grid([5, 6, 7], LPS)).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let shape = [3, 4, 5];
    for (name, rows) in [("a.nii.gz", LPS), ("b.nii", PIR), ("c.nii.gz", SHEARED)] {
        let source = grid(shape, rows);
        let path = folder.path().join(name);
        let intensities: Vec<i16> = (0..60i32).map(|place| (place * 1100 - 32768) as i16).collect();
        write_intensities(&path, &intensities, &source).unwrap();
        let volume = read_volume(&path).unwrap();
        assert_eq!(volume.voxels, Voxels::from_whole(intensities));
        assert_eq!(volume.header.shape, shape);
        assert_eq!(
            volume.header.world_from_voxel, source.world_from_voxel,
            "exact in single precision"
        );
        assert_eq!(volume.bytes_read, fs::metadata(&path).unwrap().len());

        let labels: Vec<u8> = (0..60).map(|place| [0, 1, 2, 4][place % 4]).collect();
        write_labels(&path, &labels, &source).unwrap();
        let read = read_labels_only(&path, LabelScheme::Brats2018).unwrap();
        assert_eq!(read.source, source);
        let file_labels: Vec<u8> = source.to_file_order(&read.labels);
        let values = file_labels.iter().map(|label| LabelScheme::Brats2018.to_file(*label));
        assert_eq!(values.collect::<Vec<_>>(), labels);
        assert_eq!(read_volume(&path).unwrap().header.datatype.name(), "uint8");

        let scalars: Vec<f32> = (0..60).map(|place| place as f32 / 59.0).collect();
        write_scalars(&path, &scalars, &source).unwrap();
        assert_eq!(read_volume(&path).unwrap().voxels, Voxels::F32(scalars));
    }
}

/// Writes the values as one type in both orders and reads them back.
macro_rules! both_orders {
    ($number:ident, $code:expr, $values:expr) => {
        for big in [false, true] {
            let mut raw = Raw::new(big, [2, 1, 1], $code, 8 * size_of::<$number>() as i16);
            let values: [$number; 2] = $values;
            raw.append(values.map(|value| value.to_le_bytes()));
            let found: Vec<f64> = raw.read().unwrap().iter().collect();
            assert_eq!(found, values.map(|value| value as f64), "{} {big}", stringify!($number));
        }
    };
}

#[test]
fn every_type_is_read_in_both_byte_orders() {
    both_orders!(u8, 2, [0, 255]);
    both_orders!(i8, 256, [-128, 127]);
    both_orders!(u16, 512, [258, 65535]);
    both_orders!(i16, 4, [-32768, 258]);
    both_orders!(u32, 768, [u32::MAX, 66051]);
    both_orders!(i32, 8, [i32::MIN, 66051]);
    both_orders!(u64, 1280, [1 << 53, 66051]);
    both_orders!(i64, 1024, [-(1 << 53), 66051]);
    both_orders!(f32, 16, [-1.5e-30, 66051.0]);
    both_orders!(f64, 64, [0.1, -1e300]);
}

#[test]
fn voxels_start_where_vox_offset_says_even_without_an_extension() {
    let mut raw = Raw::new(false, [2, 1, 1], 4, 16);
    raw.put(108, 368f32.to_le_bytes());
    raw.bytes.extend([9; 16]);
    raw.append([7i16, -7].map(i16::to_le_bytes));
    assert_eq!(raw.read().unwrap(), Voxels::from_whole(vec![7, -7]));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for name in ["a.nii", "a.nii.gz"] {
        let whole = small(name);
        assert!(read_bytes(&whole).is_ok());
        for length in (0..whole.len()).step_by(37).chain([whole.len() - 1]) {
            let error = read_bytes(&whole[..length]).expect_err("cut");
            assert!(error.contains("a.nii") && error.contains("; "), "{name} {length}: {error}");
        }
    }
}

#[test]
fn dims_of_terabytes_are_refused_and_content_beyond_the_dims_is_left() {
    let mut huge = Raw::new(false, [32767, 32767, 16384], 4, 16);
    huge.bytes.resize(1 << 20, 0);
    for claimed in [huge.bytes.clone(), gzip(&huge.bytes)] {
        let error = read_bytes(&claimed).unwrap_err();
        assert!(error.contains("32767x32767x16384: 35182224637952 bytes"), "{error}");
    }
    let mut bomb = Raw::new(false, [2, 1, 1], 4, 16);
    bomb.bytes.resize(8 << 20, 0);
    assert_eq!(read_bytes(&gzip(&bomb.bytes)), Ok((Voxels::from_whole(vec![0, 0]), vec![2, 1, 1])));
}

#[test]
fn a_case_in_another_orientation_is_the_same_case() {
    let folder = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for (id, rows) in [("lps", LPS), ("pir", PIR)] {
        // The same patient: the value follows the canonical place.
        let shape = if id == "lps" { [3, 4, 5] } else { [4, 5, 3] };
        let source = grid(shape, rows);
        let canonical: Vec<i16> = (0..60).map(|place| place * 11 - 100).collect();
        let labels: Vec<u8> = (0..60).map(|place| u8::from(place == 7) * 4).collect();
        let place = |ending: &str| folder.path().join(id).join(format!("{id}_{ending}.nii.gz"));
        fs::create_dir(folder.path().join(id)).unwrap();
        for ending in ["t1", "t1ce", "t2", "flair"] {
            write_intensities(&place(ending), &source.to_file_order(&canonical), &source).unwrap();
        }
        write_labels(&place("seg"), &source.to_file_order(&labels), &source).unwrap();
        let dataset = discover_cases(&folder.path().join(id), None).unwrap();
        found.push(CaseReader::default().read(&dataset.cases[0]).unwrap());
    }
    let [lps, pir] = &found[..] else { panic!("two cases") };
    assert_eq!(lps.dims(), pir.dims());
    assert_eq!(lps.images, pir.images);
    assert_eq!(lps.labels, pir.labels);
    assert_eq!(lps.labels.as_ref().unwrap()[7], 3);
    assert_ne!(lps.fingerprint, pir.fingerprint);
}

#[test]
fn files_that_store_one_grid_in_different_orders_are_one_case() {
    let folder = tempfile::tempdir().unwrap();
    let case = folder.path().join("c");
    fs::create_dir(&case).unwrap();
    let canonical: Vec<i16> = (0..60).map(|place| place * 11 - 100).collect();
    let labels: Vec<u8> = (0..60).map(|place| u8::from(place == 7) * 4).collect();
    let lps = grid([3, 4, 5], LPS);
    // The same voxels, stored from left to right, and from head to foot along the fastest axis.
    let mut ras = lps;
    let mut turned = lps;
    let last = lps.world_from_voxel.0;
    for (row, [x, y, z, origin]) in last.into_iter().enumerate().take(3) {
        ras.world_from_voxel.0[row] = [-x, -y, z, origin + 2.0 * x + 3.0 * y];
        turned.world_from_voxel.0[row] = [-z, x, y, origin + 4.0 * z];
    }
    let ras = source_grid(Dims::from_nifti([3, 4, 5]), ras.world_from_voxel);
    let turned = source_grid(Dims::from_nifti([5, 3, 4]), turned.world_from_voxel);
    let path = |ending: &str| case.join(format!("c_{ending}.nii"));
    let orders = [("t1", lps), ("t1ce", ras), ("t2", turned), ("flair", lps)];
    for (ending, source) in orders {
        write_intensities(&path(ending), &source.to_file_order(&canonical), &source).unwrap();
    }
    write_labels(&path("seg"), &ras.to_file_order(&labels), &ras).unwrap();
    let read = CaseReader::default().read(&discover_cases(&case, None).unwrap().cases[0]).unwrap();
    assert_eq!(read.source, lps);
    for image in &read.images {
        assert_eq!(image, &Voxels::from_whole(canonical.clone()));
    }
    // Label 4 of the file is 3 in the canonical scheme.
    let wanted: Vec<u8> = (0..60).map(|place| u8::from(place == 7) * 3).collect();
    assert_eq!(read.labels, Some(wanted));
}

#[test]
fn files_of_a_case_must_agree_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let case = folder.path().join("c");
    fs::create_dir(&case).unwrap();
    let write = |ending: &str, offset: f64| {
        let mut source = grid([2, 2, 2], LPS);
        source.world_from_voxel.0[1][3] += offset;
        let path = case.join(format!("c_{ending}.nii"));
        write_intensities(&path, &[1; 8], &source).unwrap();
    };
    for ending in ["t1", "t1ce", "t2", "flair"] {
        write(ending, 0.0);
    }
    let files = &discover_cases(&case, None).unwrap().cases[0];
    assert!(CaseReader::default().read(files).is_ok());
    write("t2", 0.0009);
    assert!(CaseReader::default().read(files).is_ok(), "within a thousandth of a millimetre");
    write("t2", 0.09);
    assert!(CaseReader::default().read(files).is_ok(), "within a tenth of a voxel");
    write("t2", 0.11);
    let error = CaseReader::default().read(files).unwrap_err();
    assert_eq!(error.reason, Reason::Geometry);
    let text = error.to_string();
    assert!(text.contains("c_t2.nii") && text.contains("c_t1.nii"), "{text}");
    assert!(text.contains("copy the other's affine and resample nothing"), "{text}");
    fs::remove_file(case.join("c_t2.nii")).unwrap();
    assert_eq!(CaseReader::default().read(files).unwrap_err().reason, Reason::Missing);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    /// Whatever stands in a header: an error or a volume that the file can hold, never a panic.
    #[test]
    fn no_header_makes_the_reader_panic(
        flips in proptest::collection::vec((0usize..352, any::<u8>()), 1..8),
        compressed in any::<bool>(),
    ) {
        let mut bytes = small("a.nii");
        for (at, value) in flips {
            bytes[at] = value;
        }
        let length = bytes.len();
        let file = if compressed { gzip(&bytes) } else { bytes };
        if let Ok((voxels, shape)) = read_bytes(&file) {
            prop_assert!(voxels.len() <= length);
            prop_assert_eq!(voxels.len(), shape.iter().product::<usize>());
        }
    }

    /// A compressed file with a flipped bit is refused, or the bit carried nothing.
    #[test]
    fn no_flipped_bit_of_a_compressed_file_reaches_a_voxel(at in any::<prop::sample::Index>(), bit in 0..8) {
        let whole = small("a.nii.gz");
        let mut flipped = whole.clone();
        flipped[at.index(whole.len())] ^= 1u8 << bit;
        if let Ok(found) = read_bytes(&flipped) {
            prop_assert_eq!(found, read_bytes(&whole).unwrap());
        }
    }
}

#[test]
fn the_reader_names_the_path_it_was_given() {
    let error = read_volume(Path::new("no/such/file.nii.gz")).unwrap_err();
    assert!(error.to_string().starts_with("no/such/file.nii.gz: "), "{error}");
}
