//! The case file: a golden one that opens for ever, and none that lies.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use gliaflow::base::error::Reason;
use gliaflow::base::fingerprint::Fingerprint;
use gliaflow::cache::contents::{CaseContents, OutsideLabel};
use gliaflow::cache::description::{
    BackgroundBasis, CaseDescription, CaseMeaning, Clipping, ModalityRecord,
};
use gliaflow::cache::encode::IntensityScale;
use gliaflow::cache::foreground::Foreground;
use gliaflow::cache::histogram::TissueHistogram;
use gliaflow::cache::map::{MappedCase, Verify};
use gliaflow::cache::preprocess::PreprocessConfig;
use gliaflow::cache::source::{ExpectedSource, SourceFile};
use gliaflow::cache::statistics::IntensityStats;
use gliaflow::cache::store::{CaseOrigin, CaseStore};
use gliaflow::volume::case::{CaseId, SourceGrid};
use gliaflow::volume::grid::{Affine, Box3, Dims};
use gliaflow::volume::modality::Modality;
use gliaflow::volume::region::{LabelScheme, Region};
use proptest::prelude::*;

/// Offset of the first page's checksum, which covers all in front of it.
const SEAL: usize = 4092;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/case_v2.bin")
}

/// A file as the first version wrote it.
fn fixture_v1() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/case_v1.bin")
}

/// What the golden file of v1 holds.
fn golden_v1() -> CaseContents {
    CaseContents {
        histograms: Default::default(),
        outside: Vec::new(),
        description: CaseDescription::of_scheme(LabelScheme::Brats2023),
        ..golden()
    }
}

/// Description that says something else in each field.
fn description() -> CaseDescription {
    let record = |background: f64, background_basis| ModalityRecord {
        background,
        background_margin: background.abs() / 8.0,
        background_basis,
        clipping: None,
    };
    let clipping = Some(Clipping { low: -0.1, high: 1e7, below: 3, above: 1 });
    CaseDescription {
        foreground: "brain_mask".into(),
        meaning: CaseMeaning::of_scheme(LabelScheme::Brats2023),
        records: vec![
            record(0.0, BackgroundBasis::Zero),
            record(-1024.0, BackgroundBasis::Found),
            record(-0.75, BackgroundBasis::Threshold),
            ModalityRecord { clipping, ..record(7.0, BackgroundBasis::Mask) },
        ],
    }
}

/// What the golden file holds: numbers that are told apart, not those of any brain.
fn golden() -> CaseContents {
    let stats = |base: f64| IntensityStats {
        count: 12,
        mean: base,
        sd: base / 4.0,
        min: base - 8.0,
        max: base + 8.0,
        percentiles: [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0].map(|step| base + step),
    };
    CaseContents {
        id: CaseId::new("Gölden_001"),
        source: SourceGrid {
            dims: Dims::from_nifti([5, 4, 3]),
            world_from_voxel: Affine([
                [0.0, -1.5, 0.0, 10.0],
                [1.0, 0.0, 0.0, -20.0],
                [0.0, 0.0, 2.0, 30.25],
                [0.0, 0.0, 0.0, 1.0],
            ]),
            axes: [1, 0, 2],
            flipped: [true, false, true],
        },
        brain: Box3 { start: [1, 2, 0], dims: Dims([2, 3, 2]) },
        images: (0..12i16).map(|i| [i - 6, 1000 + i, -32768 + i, 32767 - i]).collect(),
        scales: [
            IntensityScale::LOSSLESS,
            IntensityScale { slope: 0.5, inter: 10.0, max_error: 0.25 },
            IntensityScale { slope: 0.0, inter: 0.3, max_error: 0.0 },
            IntensityScale { slope: 1e-3, inter: -7.5, max_error: 1e-3 },
        ],
        stats: [100.0, 200.0, 300.0, 400.0].map(stats),
        histograms: [[-3, 5], [-32768, 32767], [1, 2], [1000, 2000]].map(
            |[low, high]: [i16; 2]| {
                TissueHistogram::from_code_counts([(low, 5), (high, 7)].into_iter())
            },
        ),
        labels: Some(vec![0, 1, 2, 3, 4, 0, 3, 2, 2, 0, 0, 0]),
        outside: vec![OutsideLabel { voxel: 0, label: 3 }, OutsideLabel { voxel: 59, label: 4 }],
        description: description(),
        foreground: [
            Foreground { count: 2, voxels: vec![3, 6] },
            Foreground { count: 3, voxels: vec![1, 3, 6] },
            Foreground { count: 7000, voxels: vec![1, 2, 3, 6, 7, 8] },
        ],
        scheme: LabelScheme::Brats2023,
        fingerprint: Fingerprint([0xA5; 16]),
        preprocess: Fingerprint([0x5A; 16]),
        files: vec![
            SourceFile { name: "a-t1n.nii.gz".into(), bytes: 123, modified_ns: 1_700_000_000 },
            SourceFile { name: "ä-seg.nii.gz".into(), bytes: 1 << 40, modified_ns: -1 },
        ],
    }
}

pub(crate) fn assert_holds(case: &MappedCase, wanted: &CaseContents) {
    assert_eq!(case.id(), &wanted.id);
    assert_eq!(case.source_grid(), &wanted.source);
    assert_eq!(case.brain_box(), wanted.brain);
    assert_eq!(case.images(), wanted.images);
    assert_eq!(case.labels(), wanted.labels.as_deref());
    for modality in Modality::ALL {
        assert_eq!(case.intensity_scale(modality), &wanted.scales[modality.index()]);
        assert_eq!(case.intensity_stats(modality), &wanted.stats[modality.index()]);
        let histogram = wanted.histograms[modality.index()].as_view();
        assert_eq!(case.tissue_histogram(modality), histogram);
    }
    for region in Region::ALL {
        let (found, wanted) = (case.foreground(region), &wanted.foreground[region.index()]);
        assert_eq!((found.count, found.voxels), (wanted.count, &*wanted.voxels));
    }
    assert_eq!(case.label_scheme(), wanted.scheme);
    assert_eq!(case.outside_labels(), wanted.outside);
    assert_eq!(case.description(), &wanted.description);
    assert_eq!(case.fingerprint(), wanted.fingerprint);
    assert_eq!(case.preprocess_fingerprint(), wanted.preprocess);
    assert_eq!(case.source_files(), wanted.files);
}

fn write_now(contents: &CaseContents) -> Vec<u8> {
    let root = tempfile::tempdir().unwrap();
    let store = CaseStore::open(root.path(), contents.preprocess).unwrap();
    fs::read(store.publish(contents).unwrap().path).unwrap()
}

fn word(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
}

fn sections(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let count = u32::from_le_bytes(bytes[24..28].try_into().unwrap()) as usize;
    let records = (0..count).map(|record| 512 + 32 * record);
    records.map(|at| word(bytes, at + 8)..word(bytes, at + 8) + word(bytes, at + 16)).collect()
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let seal = crc32c::crc32c(&bytes[..SEAL]);
    bytes[SEAL..SEAL + 4].copy_from_slice(&seal.to_le_bytes());
    bytes
}

/// A file that may be rewritten between openings, which no published file is.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self, bytes: &[u8], verify: Verify) -> Result<MappedCase, Box<(Reason, String)>> {
        let path = self.0.path().join("scratch.case");
        fs::write(&path, bytes).unwrap();
        MappedCase::open(&path, verify).map_err(|error| {
            let text = error.to_string();
            assert!(text.contains("scratch.case"), "{text}");
            assert!(text.contains("`gliaflow cache verify`"), "{text}");
            assert!(text.contains("`gliaflow ingest`"), "{text}");
            Box::new((error.reason, text))
        })
    }
}

#[test]
fn the_golden_file_opens_for_ever_and_says_what_it_always_said() {
    let case = MappedCase::open(&fixture(), Verify::Full).unwrap();
    assert_holds(&case, &golden());
    assert_eq!(case.file_bytes(), 36864);
}

#[test]
fn the_golden_file_of_v1_opens_for_ever_and_says_nothing_that_it_does_not_hold() {
    let case = MappedCase::open(&fixture_v1(), Verify::Full).unwrap();
    assert_holds(&case, &golden_v1());
    assert_eq!(case.file_bytes(), 24576);
}

#[test]
fn a_file_of_v1_among_those_of_v2_is_refused_and_built_again() {
    let root = tempfile::tempdir().unwrap();
    let store = CaseStore::open(root.path(), PreprocessConfig::default().fingerprint()).unwrap();
    let wanted = CaseContents { preprocess: PreprocessConfig::default().fingerprint(), ..golden() };
    let path = store.case_path(&wanted.id).unwrap();
    fs::copy(fixture_v1(), &path).unwrap();
    let refused = store.find_case(&wanted.id, ExpectedSource::Anything).unwrap_err();
    assert!(refused.to_string().contains("preprocess fingerprint"), "{refused}");
    let built = store.get_or_build(&wanted.id, ExpectedSource::Anything, || Ok(wanted.clone()));
    let (case, origin) = built.unwrap();
    assert!(matches!(origin, CaseOrigin::Repaired(_)), "{origin:?}");
    assert_holds(&case, &wanted);
}

#[test]
fn the_golden_file_lies_as_the_specification_says() {
    let bytes = fs::read(fixture()).unwrap();
    assert_eq!(&bytes[..8], b"GLIACASE");
    assert_eq!(bytes[8..12], 2u32.to_le_bytes());
    assert_eq!(bytes[32..44], [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&bytes[240..251], "Gölden_001".as_bytes());
    let starts: Vec<usize> = sections(&bytes).iter().map(|section| section.start).collect();
    assert_eq!(starts, (1..=8).map(|page| 4096 * page).collect::<Vec<_>>());
    assert_eq!(bytes[4096..4104], [0xFA, 0xFF, 0xE8, 0x03, 0x00, 0x80, 0xFF, 0x7F]);
    assert_eq!(bytes[8192..8197], [0, 1, 2, 3, 4]);
    assert_eq!(bytes[16384 + 48..16384 + 52], [3, 0, 0, 0]);
    assert_eq!(bytes[440..456], golden().description.meaning.fingerprint().0);
    assert_eq!(bytes[20480..20496], [2, 0, 0, 0].repeat(4));
    assert_eq!(bytes[20496..20504], [&(-3f32).to_le_bytes()[..], &[5, 0, 0, 0]].concat());
    assert_eq!(&bytes[24576..24603], b"foreground = \"brain_mask\"\n\n");
    assert_eq!(bytes[28672..28688], [0, 0, 0, 0, 3, 0, 0, 0, 59, 0, 0, 0, 4, 0, 0, 0]);
}

/// Writes the file first where `GLIAFLOW_WRITE_GOLDEN` is set: for a new format version alone.
#[test]
fn the_writer_still_writes_the_golden_bytes() {
    let written = write_now(&golden());
    if std::env::var_os("GLIAFLOW_WRITE_GOLDEN").is_some() {
        fs::write(fixture(), &written).unwrap();
    }
    assert_eq!(written, fs::read(fixture()).unwrap());
}

#[test]
fn a_flipped_bit_anywhere_is_caught() {
    let (scratch, whole) = (Scratch::new(), fs::read(fixture()).unwrap());
    let content: Vec<_> = sections(&whole).into_iter().chain([0..640, SEAL..4096]).collect();
    let padding = (0..whole.len()).step_by(59);
    for place in content.iter().cloned().flatten().chain(padding) {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        let caught = scratch.open(&bytes, Verify::Full).expect_err("a bit was flipped");
        // Magic and version speak for themselves; padding has no checksum but must be 0.
        let in_content = content.iter().any(|range| range.contains(&place));
        let named = place >= 12 && in_content;
        assert_eq!(caught.0 == Reason::Checksum, named || (640..4096).contains(&place), "{place}");
    }
}

#[test]
fn voxels_are_checked_when_touched_and_small_sections_always() {
    let (scratch, whole) = (Scratch::new(), fs::read(fixture()).unwrap());
    let all = sections(&whole);
    let [image, label, small @ ..] = &*all else { panic!("a golden file has labels") };
    assert_eq!(small.len(), 6);
    for range in [image, label] {
        let mut bytes = whole.clone();
        bytes[range.end - 1] ^= 4;
        let case = scratch.open(&bytes, Verify::Touch).unwrap();
        for _ in 0..2 {
            assert_eq!(case.verify_voxels().unwrap_err().reason, Reason::Checksum);
        }
        assert!(scratch.open(&bytes, Verify::Header).unwrap().verify_voxels().is_ok());
    }
    for range in small {
        let mut bytes = whole.clone();
        bytes[range.start] ^= 4;
        assert_eq!(scratch.open(&bytes, Verify::Header).unwrap_err().0, Reason::Checksum);
    }
    assert!(scratch.open(&whole, Verify::Touch).unwrap().verify_voxels().is_ok());
}

#[test]
fn a_file_of_another_length_is_refused() {
    let (scratch, whole) = (Scratch::new(), fs::read(fixture()).unwrap());
    let near_pages = (0..=whole.len()).filter(|length| (length + 2) % 4096 < 5);
    for length in (0..whole.len()).step_by(37).chain(near_pages) {
        if length == whole.len() {
            continue;
        }
        let (reason, text) = *scratch.open(&whole[..length], Verify::Header).unwrap_err();
        assert_eq!(reason, Reason::Format, "{length}");
        assert!(text.contains(&format!("length: {length} bytes")), "{text}");
    }
    let longer = [whole.clone(), vec![0]].concat();
    assert_eq!(scratch.open(&longer, Verify::Header).unwrap_err().0, Reason::Format);
}

#[test]
fn other_versions_and_other_files_are_told_apart() {
    let (scratch, mut bytes) = (Scratch::new(), fs::read(fixture()).unwrap());
    bytes[8] = 3;
    let newer = scratch.open(&sealed(bytes.clone()), Verify::Header).unwrap_err();
    assert!(newer.1.contains("version: 3, this gliaflow reads 1 to 2"), "{}", newer.1);
    bytes[0] = 0;
    let foreign = scratch.open(&sealed(bytes), Verify::Header).unwrap_err();
    assert!(foreign.1.contains("not a case file"), "{}", foreign.1);
}

#[test]
fn a_section_of_a_later_writer_is_passed_over_and_still_checked() {
    let (scratch, mut bytes) = (Scratch::new(), fs::read(fixture()).unwrap());
    let novelty = [7u8; 4096];
    let record = [77u32, crc32c::crc32c(&novelty)].map(u32::to_le_bytes).concat();
    let place = [bytes.len() as u64, 4096].map(u64::to_le_bytes).concat();
    bytes[768..792].copy_from_slice(&[record, place].concat());
    bytes.extend_from_slice(&novelty);
    let length = bytes.len() as u64;
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    bytes[24] = 9;
    let mut bytes = sealed(bytes);
    assert_holds(&scratch.open(&bytes, Verify::Full).unwrap(), &golden());
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(scratch.open(&bytes, Verify::Full).unwrap_err().0, Reason::Checksum);
}

/// Reads everything that a mapped case offers.
fn read_all(case: &MappedCase) -> usize {
    let foreground: usize =
        Region::ALL.map(|region| case.foreground(region).voxels.len()).iter().sum();
    let files: usize = case.source_files().iter().map(|file| file.name.len()).sum();
    let bins = Modality::ALL.map(|modality| case.tissue_histogram(modality).bins().len());
    let outside = case.outside_labels().len() + bins.iter().sum::<usize>();
    outside + case.images().len() + case.labels().map_or(0, <[u8]>::len) + foreground + files
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..9000)) {
        prop_assert!(Scratch::new().open(&bytes, Verify::Full).is_err());
    }

    /// Lies with a valid seal reach every check behind it.
    #[test]
    fn a_header_that_lies_under_a_valid_checksum_never_panics(
        lies in prop::collection::vec((12usize..816, prop_oneof![Just(0u8), Just(255), any::<u8>()]), 1..4),
    ) {
        let mut bytes = fs::read(fixture()).unwrap();
        for (place, value) in lies {
            bytes[place] = value;
        }
        if let Ok(case) = Scratch::new().open(&sealed(bytes), Verify::Header) {
            prop_assert!(read_all(&case) > 0);
        }
    }

    #[test]
    fn a_small_section_that_lies_under_a_valid_checksum_never_panics(
        section in 2usize..8,
        lies in prop::collection::vec((0usize..480, any::<u8>()), 1..4),
    ) {
        let mut bytes = fs::read(fixture()).unwrap();
        let range = sections(&bytes)[section].clone();
        for (place, value) in lies {
            bytes[range.start + place % range.len()] = value;
        }
        let checksum = crc32c::crc32c(&bytes[range]).to_le_bytes();
        let record = 512 + 32 * section;
        bytes[record + 4..record + 8].copy_from_slice(&checksum);
        if let Ok(case) = Scratch::new().open(&sealed(bytes), Verify::Full) {
            prop_assert!(read_all(&case) > 0);
        }
    }
}
