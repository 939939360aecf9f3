//! The case file: a golden one that opens for ever, and none that lies.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use gliaflow::internals::base::Reason;
use gliaflow::internals::cache::{
    CaseContents, CaseOrigin, CaseStore, ExpectedSource, MappedCase, PreprocessConfig, Verify,
};
use gliaflow::internals::volume::{Modality, Region};
use proptest::prelude::*;

use self::golden::{assert_holds, golden, golden_v1};

pub(crate) mod golden;

/// Offset of the first page's checksum, which covers all in front of it.
const SEAL: usize = 4092;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/case_v2.bin")
}

/// A file as the first version wrote it.
fn fixture_v1() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/case_v1.bin")
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
            assert!(text.contains("`gliaflow cache verify` names the command"), "{text}");
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
        Region::BRATS.map(|region| case.foreground(region).voxels.len()).iter().sum();
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
