//! Writes the seed corpora, `corpus/TARGET/`, and runs every seed through its target once: a check that
//! needs neither a nightly compiler nor cargo-fuzz.

use std::fs;
use std::path::{Path, PathBuf};

use gliaflow::internals::base::Fingerprint;
use gliaflow::internals::brats::phantom::{PhantomConfig, cohort};
use gliaflow::internals::brats::{BUILT_IN_LAYOUTS, CaseReader, discover_cases};
use gliaflow::internals::buffers::CaseBuffers;
use gliaflow::internals::cache::{
    Annotation, AnnotationVoxels, CaseStore, ExpectedSource, PreprocessConfig, prepare_in_buffers,
};
use gliaflow::internals::volume::Dims;
use gliaflow_fuzz as targets;

/// Target, by its name and function.
type Target = (&'static str, fn(&[u8]));

const TARGETS: &[Target] = &[
    ("nifti_header", targets::nifti_header),
    ("nifti_file", targets::nifti_file),
    ("gzip_members", targets::gzip_members),
    ("case_file", targets::case_file),
    ("annotation_file", targets::annotation_file),
    ("checkpoint_manifest", targets::checkpoint_manifest),
    ("journal", targets::journal),
    ("http_request", targets::http_request),
    ("dataset_description", targets::dataset_description),
    #[cfg(feature = "train")]
    ("configuration", targets::configuration),
    #[cfg(feature = "train")]
    ("split_file", targets::split_file),
];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let seeds = make_seeds();
    for (name, target) in TARGETS {
        let folder = root.join(name);
        fs::create_dir_all(&folder).expect("a folder for seeds");
        let own: Vec<&Vec<u8>> =
            seeds.iter().filter(|(wanted, _)| wanted == name).map(|(_, bytes)| bytes).collect();
        assert!(!own.is_empty(), "{name} has no seed");
        for (number, bytes) in own.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), bytes)
                .expect("the folder takes seeds");
            target(bytes);
            // The ends of what is cut off, and bits that flip, without a fuzzer.
            for place in (0..bytes.len()).step_by(bytes.len() / 64 + 1) {
                target(&bytes[..place]);
                let mut flipped = bytes.to_vec();
                flipped[place] ^= 1 << (place % 8);
                target(&flipped);
            }
        }
        println!("{name}: {} seeds", own.len());
    }
}

fn make_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let scratch = std::env::temp_dir().join(format!("gliaflow-seeds-{}", std::process::id()));
    let config = PhantomConfig { dims: Dims::cube(24), seed: 5 };
    cohort::write_case(&scratch, &config, 0).expect("a phantom");
    let files = discover_cases(&scratch, None).expect("a phantom").cases.remove(0);
    let read = |path: &PathBuf| fs::read(path).expect("there");
    let image = read(&files.images[0]);
    let header = targets::valid_header();
    let volume = [&header[..], &[7; 128]].concat();
    let mut seeds = vec![
        ("nifti_header", header.clone()),
        ("nifti_header", image.clone()),
        ("nifti_file", volume.clone()),
        ("nifti_file", targets::packed(&volume)),
        ("nifti_file", image),
        ("gzip_members", targets::packed(&[3; 128])),
        (
            "gzip_members",
            [targets::packed(&[3; 60]), vec![0; 9], targets::packed(&[4; 68])].concat(),
        ),
    ];

    let preprocess = PreprocessConfig::default();
    let store = CaseStore::open(&scratch.join("cache"), preprocess.fingerprint()).expect("a cache");
    let case = CaseReader::default().read(&files).expect("a phantom");
    let buffers = CaseBuffers::default();
    let contents = prepare_in_buffers(&buffers, &case, &preprocess).expect("sound");
    let report = store.publish(&contents).expect("the cache takes it");
    seeds.push(("case_file", read(&report.path)));
    let case = store.find_case(&files.id, ExpectedSource::Anything).expect("sound").expect("there");
    let count = case.brain_box().dims.voxel_count();
    for voxels in
        [AnnotationVoxels::Hard(vec![1; count]), AnnotationVoxels::Soft(vec![[9; 3]; count])]
    {
        let annotation = Annotation::for_case(&case, Fingerprint([3; 16]), voxels, 8);
        let report = store.publish_annotation(&annotation).expect("the cache takes it");
        seeds.push(("annotation_file", read(&report.path)));
    }
    fs::remove_dir_all(&scratch).expect("it is ours");

    let state = Fingerprint::of_bytes(b"{}");
    seeds.extend([
        ("checkpoint_manifest", format!("{{\"state.json\": \"{state}\"}}").into_bytes()),
        ("checkpoint_manifest", b"{\"../run/events.jsonl\": \"00\"}".to_vec()),
        ("journal", JOURNAL.into()),
        (
            "http_request",
            b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_vec(),
        ),
        ("http_request", b"GET / HTTP/1.0\r\nAccept: text/html\r\n\r\n".to_vec()),
        (
            "http_request",
            b"POST /topology HTTP/1.1\r\nHost: [::1]:9\r\nContent-Length: 3\r\n\r\nabc".to_vec(),
        ),
        ("http_request", b"train_loss{split=\"train\",part=\"total\"} 0.5\n".to_vec()),
        ("configuration", include_bytes!("../../configs/unet.toml").to_vec()),
        ("split_file", b"case,part\na,train\nb,validation\n".to_vec()),
        ("split_file", b"{\"train\": [\"a\"], \"validation\": [\"b\"]}".to_vec()),
        ("split_file", b"[{\"train\": [\"a\"], \"val\": [\"b\"]}]".to_vec()),
    ]);
    let layouts = BUILT_IN_LAYOUTS.iter().map(|(_, text)| format!("\0{text}"));
    let descriptions = DESCRIPTIONS.iter().map(|text| (*text).to_owned());
    seeds.extend(
        layouts.chain(descriptions).map(|text| ("dataset_description", text.into_bytes())),
    );
    seeds
}

/// Descriptions beside data, each behind the number of its file's name.
const DESCRIPTIONS: [&str; 5] = [
    "\0layout = \"nnunet\"\nlabel_scheme = \"brats2023\"\n",
    concat!(
        "\0images = \"imagesTr/{case}_{modality}.nii[.gz]\"\nlabel_files = \"labelsTr/{case}.nii.gz\"\n",
        "label_scheme = []\n[modalities]\nt1 = \"0000\"\nflair = \"0001\"\nt2 = []\nt1ce = []\n",
        "[labels]\ntumour = 1\nignore = 9\n[regions]\nWT = [\"tumour\"]\n",
    ),
    concat!(
        "\u{1}{\"channel_names\":{\"0\":\"T1\",\"1\":\"T1ce\",\"2\":\"T2\",\"3\":\"FLAIR\"},",
        "\"labels\":{\"background\":0,\"whole tumor\":[1,2,3],\"tumor core\":[2,3],",
        "\"enhancing tumor\":3},\"file_ending\":\".nii.gz\"}",
    ),
    concat!(
        "\u{1}{\"modality\":{\"0\":\"FLAIR\",\"1\":\"T1w\",\"2\":\"t1gd\",\"3\":\"T2w\"},\"labels\":",
        "{\"0\":\"background\",\"1\":\"edema\",\"2\":\"non-enhancing tumor\",\"3\":\"enhancing tumour\"}}",
    ),
    "\u{2}{\"training\":[{\"image\":[\"c/c_t1.nii\",\"c/c_flair.nii\"],\"label\":\"c/c_seg.nii\"}]}",
];

/// Two lines of a journal, and the beginning of a third.
const JOURNAL: &str = concat!(
    r#"{"time":1.5,"event":"step","step":1,"epoch":1,"loss":0.5,"dice_loss":0.25,"bce":0.25,"#,
    r#""gradient_norm":1.0,"learning_rate":0.001,"seconds":0.1,"starved_seconds":0.0}"#,
    "\n",
    r#"{"time":2.5,"event":"something later","more":[1,2]}"#,
    "\n",
    r#"{"time":3"#
);
