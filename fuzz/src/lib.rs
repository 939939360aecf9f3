//! What each fuzz target does with its bytes: it hands them to a parser as a file or a request, and
//! fails where the parser panics, hangs, or contradicts itself. An error is a fine answer.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use gliaflow::internals::brats::{
    Dataset, discover_cases, discover_described_cases, inspect_file, read_grid, read_volume,
};
use gliaflow::internals::cache::{MappedAnnotation, MappedCase, Verify};
use gliaflow::internals::run_folder::manifest::{CheckpointManifest, MANIFEST, STATE};
use gliaflow::internals::run_folder::{DatasetLock, EVENTS, EventLog};
use gliaflow::internals::telemetry::{Exporter, Recorder, Scrape};
use gliaflow::internals::volume::Modality;

/// Largest volume that is read: a fuzzer is to find faults, not large files.
const MAX_VOXELS: usize = 1 << 16;

/// Page of the formats of case files and annotations.
const PAGE: usize = 4096;

/// Longest wait for an answer over HTTP.
const PATIENCE: Duration = Duration::from_secs(20);

/// Folder of this process' inputs, in memory where the system has such a place.
fn scratch() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = root.join(format!("gliaflow-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for inputs");
        folder
    })
}

/// Writes the bytes to the file of this name.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = scratch().join(name);
    fs::write(&path, bytes).expect("the folder takes inputs");
    path
}

/// The start of a NIfTI file, of which the grid is read.
pub fn nifti_header(bytes: &[u8]) {
    drop(read_grid(&file("header.nii", bytes)));
}

/// A NIfTI file, read at once and as a stream: both find the same, or both refuse.
pub fn nifti_file(bytes: &[u8]) {
    let path = file("volume.nii", bytes);
    let Ok(report) = inspect_file(&path, MAX_VOXELS) else { return };
    let volume = read_volume(&path).expect("what can be read as a stream can be read at once");
    assert_eq!(report.shape, volume.header.shape);
    assert_eq!(report.non_finite, volume.non_finite);
    let finite = volume.voxels.iter().filter(|value| value.is_finite());
    let sum = finite.fold(0.0, |sum, value| sum + value);
    assert_eq!(report.sum.to_bits(), sum.to_bits());
}

/// Gzip members behind one that holds a valid header: those are what is fuzzed.
pub fn gzip_members(bytes: &[u8]) {
    let raw = [&packed(&valid_header()), bytes].concat();
    nifti_file(&raw);
}

/// A case file. The second half of inputs gets its checksums right, so that fields are reached.
pub fn case_file(bytes: &[u8]) {
    let path = file("fuzzed.case", &with_checksums(bytes));
    let Ok(case) = MappedCase::open(&path, Verify::Touch) else { return };
    let Ok(()) = case.verify_voxels() else { return };
    let voxels = case.brain_box().dims.voxel_count();
    assert_eq!(case.images().len(), voxels);
    assert!(case.labels().is_none_or(|labels| labels.len() == voxels));
    for region in case.indexed_regions().iter() {
        let places = case.foreground(region).voxels;
        assert!(places.iter().all(|place| (*place as usize) < voxels));
    }
    for modality in Modality::ALL {
        drop(format!("{:?} {:?}", case.intensity_scale(modality), case.intensity_stats(modality)));
        drop(format!("{:?}", case.tissue_histogram(modality)));
    }
    drop(format!("{:?} {:?}", case.description(), case.outside_labels()));
}

/// A teacher's labels or probabilities of a case.
pub fn annotation_file(bytes: &[u8]) {
    let path = file("fuzzed.annotation", &with_checksums(bytes));
    let Ok(annotation) = MappedAnnotation::open(&path) else { return };
    let voxels = annotation.brain.dims.voxel_count();
    assert_eq!(annotation.voxels().to_labels().len(), voxels);
    for region in 0..annotation.region_count() {
        let places = annotation.foreground_at(region).voxels;
        assert!(places.iter().all(|place| (*place as usize) < voxels));
    }
}

/// The manifest of a checkpoint: no file outside the checkpoint's folder is read by it.
pub fn checkpoint_manifest(bytes: &[u8]) {
    let folder = scratch().join("checkpoint");
    fs::create_dir_all(&folder).expect("a folder for inputs");
    fs::write(folder.join(STATE), b"{}").expect("the folder takes inputs");
    fs::write(folder.join(MANIFEST), bytes).expect("the folder takes inputs");
    drop(CheckpointManifest::read_verified(&folder, STATE));
}

/// The journal of a run.
pub fn journal(bytes: &[u8]) {
    let folder = scratch().join("run");
    fs::create_dir_all(&folder).expect("a folder for inputs");
    fs::write(folder.join(EVENTS), bytes).expect("the folder takes inputs");
    let Ok(log) = EventLog::read_from(&folder) else { return };
    let _ = (log.planned_steps(), log.first_time(), log.last_step());
}

/// The settings of a run.
#[cfg(feature = "train")]
pub fn configuration(bytes: &[u8]) {
    use gliaflow::internals::run::config;
    let path = file("config.toml", bytes);
    let Ok(checked) = config::load(Some(&path), &[]) else { return };
    let text = checked.to_toml().expect("what was read can be written");
    let again = config::load(Some(&file("again.toml", text.as_bytes())), &[]);
    let again = again.expect("what was written can be read").to_toml();
    assert_eq!(again.expect("as before"), text);
}

/// Files beside which a description is found, in the names of several layouts.
const FILES: [&str; 10] = [
    "imagesTr/a_0000.nii.gz",
    "imagesTr/a_0001.nii.gz",
    "imagesTr/a_0002.nii.gz",
    "imagesTr/a_0003.nii.gz",
    "imagesTr/b.nii.gz",
    "labelsTr/a.nii.gz",
    "labelsTr/b.nii.gz",
    "c/c_t1.nii",
    "c/c_flair.nii",
    "c/c_seg.nii",
];

/// Names of the files that describe a dataset; the first byte of an input picks one.
const DESCRIPTIONS: [&str; 3] = ["dataset.toml", "dataset.json", "datalist.json"];

/// A description of a dataset beside its files: what is found by it can be written as a
/// `dataset.toml`, by which the same cases are found.
pub fn dataset_description(bytes: &[u8]) {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = scratch().join("dataset");
        for name in FILES {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder for inputs");
            fs::write(path, b"").expect("the folder takes inputs");
        }
        folder
    });
    let Some((kind, text)) = bytes.split_first() else { return };
    let path = folder.join(DESCRIPTIONS[*kind as usize % DESCRIPTIONS.len()]);
    fs::write(&path, text).expect("the folder takes inputs");
    let found = discover_cases(folder, None);
    if let Ok(found) = &found {
        let text = found.description.to_file_text().expect("what was read can be written");
        let again = file("described.toml", text.as_bytes());
        let again = discover_described_cases(folder, Some(&again), None);
        let again = again.unwrap_or_else(|error| panic!("{error}\n{text}"));
        let names = |dataset: &Dataset| -> Vec<String> {
            dataset.cases.iter().map(|case| format!("{case:?}")).collect()
        };
        assert_eq!(names(&again), names(found), "{text}");
    }
    fs::remove_file(path).expect("it is ours");
}

/// A split file of each kind, and the lock of a run.
#[cfg(feature = "train")]
pub fn split_file(bytes: &[u8]) {
    use gliaflow::internals::run::SplitFile;
    for (name, fold) in
        [("split.json", None), ("split.json", "1/3".parse().ok()), ("split.csv", None)]
    {
        drop(SplitFile::read(&file(name, bytes), fold));
    }
    dataset_lock(bytes);
}

/// The lock of a run's cases: what is read can be written.
pub fn dataset_lock(bytes: &[u8]) {
    let Ok(lock) = serde_json::from_slice::<DatasetLock>(bytes) else { return };
    serde_json::to_vec(&lock).expect("a lock can be written");
}

/// Bytes that a client sends to a run's endpoint, which answers or closes, and serves the next one.
pub fn http_request(bytes: &[u8]) {
    static ENDPOINT: OnceLock<(Exporter, SocketAddr)> = OnceLock::new();
    let (_, address) = ENDPOINT.get_or_init(|| {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let endpoint = Exporter::serve(any, &[], Recorder::new("fuzz"));
        let address = endpoint.address().expect("a free port");
        (endpoint, address)
    });
    let answer = ask(*address, bytes);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{:?}", answer.escape_ascii());
    if let Ok(text) = str::from_utf8(bytes) {
        drop(Scrape::parse(text));
    }
}

/// Sends a request and reads until the endpoint closes.
fn ask(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the endpoint listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // It may close before it has read everything.
    let _ = stream.write_all(request).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            panic!("no end of the answer")
        }
        _ => answer,
    }
}

/// One gzip member.
pub fn packed(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

/// A NIfTI-1 header of 4x4x4 int16 voxels that begin at byte 352.
pub fn valid_header() -> Vec<u8> {
    let mut header = vec![0u8; 352];
    let mut put = |at: usize, field: &[u8]| header[at..at + field.len()].copy_from_slice(field);
    put(0, &348i32.to_le_bytes());
    put(40, [3, 4, 4, 4, 1, 1, 1, 1i16].map(i16::to_le_bytes).as_flattened());
    put(70, &[4, 0, 16, 0]);
    put(76, [1f32; 8].map(f32::to_le_bytes).as_flattened());
    put(108, &352f32.to_le_bytes());
    put(344, b"n+1\0");
    header
}

/// Puts the checksums of a case file's or annotation's sections and first page right.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    if file.len() < PAGE {
        return file;
    }
    let field = |file: &[u8], at: usize| {
        u64::from_le_bytes(file[at..at + 8].try_into().expect("eight bytes")) as usize
    };
    let sections = u32::from_le_bytes(file[24..28].try_into().expect("four bytes")).min(64);
    for record in (0..sections as usize).map(|number| 512 + 32 * number) {
        let (start, length) = (field(&file, record + 8), field(&file, record + 16));
        let range = start.checked_add(length).and_then(|end| file.get(start..end));
        if let Some(checksum) = range.map(crc32c::crc32c) {
            file[record + 4..record + 8].copy_from_slice(&checksum.to_le_bytes());
        }
    }
    let checksum = crc32c::crc32c(&file[..PAGE - 4]);
    file[PAGE - 4..PAGE].copy_from_slice(&checksum.to_le_bytes());
    file
}
