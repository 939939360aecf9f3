//! The case store: one valid file per case, whoever writes and whatever happens to it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use gliaflow::internals::base::{CaseError, Domain, Fingerprint, KeyedRng, Reason, SampleKey};
use gliaflow::internals::buffers::CaseBuffers;
use gliaflow::internals::cache::{
    CaseContents, CaseOrigin, CaseStore, ExpectedSource, Foreground, MappedCase, PreprocessConfig,
    SourceFile, SourceFiles, SourceState, Verify, prepare_in_buffers,
};
use gliaflow::internals::volume::{
    Affine, Case, CaseId, Dims, LabelScheme, Modality, RunChannels, SourceGrid, Voxels,
};

use crate::case_format::golden::assert_holds;

/// A case of speckled air and tissue, different for every `content`.
fn case(name: &str, content: u8) -> Case {
    let dims = Dims([7, 6, 5]);
    let key = SampleKey { seed: content.into(), epoch: 0, index: 0 };
    let mut rng = KeyedRng::new(key, Domain::Phantom);
    let mut values = |high: f64| -> Vec<f32> {
        let value = |air: bool, value: f64| if air { 0.0 } else { value as f32 };
        (0..dims.voxel_count())
            .map(|_| value(rng.draw_bool(0.6), rng.uniform(-10.0, high)))
            .collect()
    };
    let floats = [Voxels::F32(values(9.0)), Voxels::F32(values(1e5))];
    let whole =
        |values: Vec<f32>| Voxels::from_whole(values.into_iter().map(|v| v as i16).collect());
    let [t1, t1ce] = floats;
    let (t2, flair) = (whole(values(2000.0)), whole(values(300.0)));
    Case {
        id: CaseId::new(name),
        source: SourceGrid::canonical(dims, Affine([[1.0; 4]; 4])),
        images: [t1, t1ce, t2, flair],
        labels: Some((0..dims.voxel_count()).map(|_| rng.uniform_below(5) as u8).collect()),
        mask: None,
        scheme: LabelScheme::Brats2018,
        channels: RunChannels::default(),
        fingerprint: Fingerprint([content; 16]),
        bytes_read: 0,
    }
}

/// Contents of a case, one of whose files changes with `content` while the other stays.
/// Contents of a case of a dataset that is not there.
fn contents(name: &str, content: u8) -> CaseContents {
    let mut contents = contents_of(name, content, 0);
    contents.description.source.as_mut().unwrap().folder = "/gone".into();
    contents
}

/// Contents of a case of one of several datasets, which are there.
fn contents_of(name: &str, content: u8, dataset: u8) -> CaseContents {
    let file = |name: &str, bytes: u8| SourceFile {
        name: name.into(),
        bytes: bytes.into(),
        modified_ns: 3 + i64::from(dataset),
    };
    let files = vec![file("t1", content), file("t2", 0)];
    let state = SourceState {
        folder: env!("CARGO_MANIFEST_DIR").to_owned(),
        place: Fingerprint([dataset; 16]),
        state: Fingerprint([[content; 8], [dataset; 8]].concat().try_into().unwrap()),
    };
    prepare_in_buffers(&CaseBuffers::default(), &case(name, content), &PreprocessConfig::default())
        .unwrap()
        .with_sources(SourceFiles { files, state })
}

fn state_of(contents: &CaseContents) -> &SourceState {
    contents.description.source.as_ref().unwrap()
}

fn store(root: &Path) -> CaseStore {
    CaseStore::open(root, PreprocessConfig::default().fingerprint()).unwrap()
}

/// Runs `body`, and fails instead of hanging.
fn within_deadline(body: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::sync_channel(1);
    let running = std::thread::spawn(move || {
        body();
        let _ = done.send(());
    });
    match finished.recv_timeout(Duration::from_secs(60)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("not done within 60 s"),
        _ => running.join().unwrap(),
    }
}

fn flip_a_voxel(path: &Path) {
    // As a disk would: a new file with the damage, so that no mapping changes under its reader.
    let mut bytes = fs::read(path).unwrap();
    bytes[4096] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_published_case_holds_what_was_prepared() {
    let root = tempfile::tempdir().unwrap();
    for mut wanted in [contents("a", 1), contents("b", 2)] {
        if wanted.id.as_str() == "b" {
            wanted.labels = None;
            wanted.foreground.iter_mut().for_each(|region| *region = Foreground::default());
            wanted.files.clear();
        }
        let report = store(root.path()).publish(&wanted).unwrap();
        let found =
            store(root.path()).find_case(&wanted.id, ExpectedSource::Anything).unwrap().unwrap();
        assert_holds(&found, &wanted);
        assert_eq!(report.bytes, fs::metadata(&report.path).unwrap().len());
    }
}

#[test]
fn stored_voxels_decode_to_the_source_within_the_recorded_error() {
    let source = case("a", 3);
    let stored =
        prepare_in_buffers(&CaseBuffers::default(), &source, &PreprocessConfig::default()).unwrap();
    for modality in Modality::ALL {
        let (scale, channel) = (stored.scales[modality.index()], modality.index());
        let raw: Vec<i16> = stored.images.iter().map(|voxel| voxel[channel]).collect();
        let whole = stored.brain.paste_into(&raw, source.dims(), 0);
        for (place, &raw) in whole.iter().enumerate() {
            let wanted = source.images[channel].get(place);
            assert!((scale.decode(raw) - wanted).abs() <= scale.max_error, "{modality} {place}");
        }
        assert_eq!(scale.max_error == 0.0, matches!(source.images[channel], Voxels::I16(_)));
    }
}

#[test]
fn a_case_is_mapped_once_and_a_reader_keeps_what_it_has() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    store.publish(&contents("a", 1)).unwrap();
    let id = CaseId::new("a");
    let first = store.find_case(&id, ExpectedSource::Anything).unwrap().unwrap();
    let again = store.find_case(&id, ExpectedSource::Anything).unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(store.mapped_size(), (1, first.file_bytes()));
    store.publish(&contents("a", 2)).unwrap();
    assert_holds(&first, &contents("a", 1));
    let newer = store.find_case(&id, ExpectedSource::Anything).unwrap().unwrap();
    assert_holds(&newer, &contents("a", 2));
}

#[test]
fn a_case_from_other_files_is_not_found_until_it_is_built_again() {
    let root = tempfile::tempdir().unwrap();
    let (mine, theirs) = (store(root.path()), store(root.path()));
    mine.publish(&contents("a", 1)).unwrap();
    let id = CaseId::new("a");
    let (old, new) = (contents("a", 1), contents("a", 2));
    for (expected, there) in [
        (ExpectedSource::Fingerprint(old.fingerprint), true),
        (ExpectedSource::State(state_of(&old)), true),
        (ExpectedSource::Fingerprint(new.fingerprint), false),
        (ExpectedSource::State(state_of(&new)), false),
    ] {
        assert_eq!(mine.find_case(&id, expected).unwrap().is_some(), there, "{expected:?}");
    }
    theirs.publish(&new).unwrap();
    let found = mine.find_case(&id, ExpectedSource::State(state_of(&new))).unwrap();
    assert_holds(&found.unwrap(), &new);
}

#[test]
fn two_publishers_of_one_case_end_with_one_valid_file() {
    within_deadline(|| {
        let root = tempfile::tempdir().unwrap();
        let start = Barrier::new(2);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                // A store each, as two processes would have: no lock between them.
                scope.spawn(|| {
                    let own = store(root.path());
                    start.wait();
                    for _ in 0..10 {
                        own.publish(&contents("a", 1)).unwrap();
                    }
                });
            }
        });
        let verdicts = store(root.path()).verify_all(|_, _| ()).unwrap();
        assert_eq!((verdicts.len(), &verdicts[0].damage), (1, &None));
        assert!(
            store(root.path()).collect_garbage(true).unwrap().removed.is_empty(),
            "nothing left in tmp"
        );
    });
}

#[test]
fn of_many_threads_that_need_a_case_one_builds_it() {
    within_deadline(|| {
        let root = tempfile::tempdir().unwrap();
        let (store, builds, start) = (store(root.path()), AtomicU32::new(0), Barrier::new(4));
        let build = || {
            builds.fetch_add(1, Ordering::Relaxed);
            Ok(contents("a", 1))
        };
        let origins: Vec<CaseOrigin> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        store
                            .get_or_build(&CaseId::new("a"), ExpectedSource::Anything, build)
                            .unwrap()
                            .1
                    })
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        assert_eq!(builds.load(Ordering::Relaxed), 1);
        assert_eq!(origins.iter().filter(|origin| **origin == CaseOrigin::Built).count(), 1);
    });
}

#[test]
fn a_build_that_fails_or_panics_leaves_room_for_the_next() {
    within_deadline(|| {
        let root = tempfile::tempdir().unwrap();
        let (store, id) = (store(root.path()), CaseId::new("a"));
        let broken = || Err(CaseError::new(Reason::Format, "t1", "is broken", "mend it"));
        let error = store.get_or_build(&id, ExpectedSource::Anything, broken).unwrap_err();
        assert_eq!(error.to_string(), "t1: is broken; mend it");
        std::thread::scope(|scope| {
            let panics =
                || store.get_or_build(&id, ExpectedSource::Anything, || panic!("on purpose"));
            assert!(scope.spawn(panics).join().is_err());
        });
        let misnamed = store.get_or_build(&id, ExpectedSource::Anything, || Ok(contents("b", 1)));
        assert!(misnamed.unwrap_err().to_string().contains("was built as case b"));
        let built = store.get_or_build(&id, ExpectedSource::Anything, || Ok(contents("a", 1)));
        assert_eq!(built.unwrap().1, CaseOrigin::Built);
    });
}

#[test]
fn a_damaged_file_is_reported_by_name_and_repaired_by_building() {
    let root = tempfile::tempdir().unwrap();
    let path = store(root.path()).publish(&contents("a", 1)).unwrap().path;
    flip_a_voxel(&path);
    let verdicts =
        store(root.path()).verify_all(|done, of| assert_eq!((done, of), (1, 1))).unwrap();
    let text = verdicts[0].damage.as_ref().unwrap().to_string();
    assert!(text.contains("a.case: section IMAGE: crc32c is"), "{text}");
    // The folder that it was built from is none of this machine.
    assert!(text.contains(&format!("`rm {}` removes it", path.display())), "{text}");
    assert!(MappedCase::open(&path, Verify::Full).is_err());
    let store = store(root.path());
    let lazy = store.find_case(&CaseId::new("a"), ExpectedSource::Anything).unwrap().unwrap();
    assert_eq!(lazy.verify_voxels().unwrap_err().reason, Reason::Checksum);
    let build = || Ok(contents("a", 1));
    let (case, origin) =
        store.get_or_build(&CaseId::new("a"), ExpectedSource::Anything, build).unwrap();
    assert!(matches!(origin, CaseOrigin::Repaired(error) if error.reason == Reason::Checksum));
    case.verify_voxels().unwrap();
    MappedCase::open(&path, Verify::Full).unwrap();
}

#[test]
fn cases_of_one_name_from_several_datasets_are_kept_apart_even_when_one_is_damaged() {
    let root = tempfile::tempdir().unwrap();
    let id = CaseId::new("a");
    let one = contents_of("a", 1, 0);
    let other = contents_of("a", 2, 1);
    let first = store(root.path()).publish(&one).unwrap().path;
    let second = store(root.path()).publish(&other).unwrap().path;
    assert_ne!(first, second);
    let find = |store: &CaseStore, wanted: &CaseContents| {
        store.find_case(&id, ExpectedSource::State(state_of(wanted))).unwrap().unwrap()
    };
    assert_holds(&find(&store(root.path()), &one), &one);
    assert_holds(&find(&store(root.path()), &other), &other);

    let store = store(root.path());
    flip_a_voxel(&second);
    assert!(find(&store, &other).verify_voxels().is_err());
    let build = || Ok(contents_of("a", 2, 1));
    let (case, origin) = store.get_or_build(&id, ExpectedSource::Anything, build).unwrap();
    assert!(matches!(origin, CaseOrigin::Repaired(_)), "{origin:?}");
    assert_holds(&case, &other);
    assert_eq!(case.path(), second);

    // What was built from changed files of one dataset takes the place of that.
    let newer = contents_of("a", 3, 0);
    assert_eq!(store.publish(&newer).unwrap().path, first);
    assert_eq!(store.read_inventory().unwrap().entries.len(), 2);
    let far = (2..9).map(|dataset| store.publish(&contents_of("a", 10 + dataset, dataset)));
    assert!(far.into_iter().all(|published| published.is_ok()));
    let refused = store.publish(&contents_of("a", 30, 30)).unwrap_err().to_string();
    assert!(refused.contains("use another cache: --cache DIR"), "{refused}");
}

#[test]
fn a_dataset_that_is_gone_gives_way_to_one_more_of_the_same_names() {
    let folder = tempfile::tempdir().unwrap();
    let kept = contents_of("a", 200, 0);
    store(folder.path()).publish(&kept).unwrap();
    for dataset in 1..30 {
        let mut contents = contents("a", dataset);
        contents.description.source.as_mut().unwrap().place = Fingerprint([dataset; 16]);
        store(folder.path()).publish(&contents).unwrap();
        let found = |contents: &CaseContents| {
            let expected = ExpectedSource::Fingerprint(contents.fingerprint);
            store(folder.path()).find_case(&contents.id, expected).unwrap().is_some()
        };
        assert!(found(&contents) && found(&kept), "dataset {dataset}");
    }
}

#[test]
fn a_case_that_another_process_repaired_is_good_again() {
    let root = tempfile::tempdir().unwrap();
    let (mine, theirs) = (store(root.path()), store(root.path()));
    let path = mine.publish(&contents("a", 1)).unwrap().path;
    flip_a_voxel(&path);
    let reader = store(root.path());
    let look = || reader.find_case(&CaseId::new("a"), ExpectedSource::Anything).unwrap().unwrap();
    assert!(look().verify_voxels().is_err());
    theirs.publish(&contents("a", 1)).unwrap();
    look().verify_voxels().unwrap();
}

#[test]
fn a_file_under_another_name_or_in_another_folder_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let path = store(root.path()).publish(&contents("a", 1)).unwrap().path;
    fs::copy(&path, path.with_file_name("b.case")).unwrap();
    let error =
        store(root.path()).find_case(&CaseId::new("b"), ExpectedSource::Anything).unwrap_err();
    assert!(error.to_string().contains("b.case: case id: holds case a, not b"), "{error}");
    let other = CaseStore::open(root.path(), Fingerprint([9; 16])).unwrap();
    fs::copy(&path, other.folder().join("a.case")).unwrap();
    let error = other.find_case(&CaseId::new("a"), ExpectedSource::Anything).unwrap_err();
    assert!(error.to_string().contains("preprocess fingerprint"), "{error}");
    let inventory = other.read_inventory().unwrap();
    assert_eq!((inventory.entries.len(), inventory.damaged.len()), (1, 2));
    assert!(other.publish(&contents("a", 1)).is_err(), "prepared for another folder");
}

#[test]
fn gc_removes_other_formats_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    store.publish(&contents("a", 1)).unwrap();
    let other = CaseStore::open(root.path(), Fingerprint([9; 16])).unwrap();
    let foreign = CaseContents { preprocess: Fingerprint([9; 16]), ..contents("a", 1) };
    let bytes = other.publish(&foreign).unwrap().bytes;
    let old = root.path().join("v1-0909090909090909");
    fs::rename(other.folder(), &old).unwrap();
    other.publish(&foreign).unwrap();
    for kept in ["README.md", "quarantine.jsonl", "v1-notes"] {
        fs::write(root.path().join(kept), "mine").unwrap();
    }
    let listed: Vec<bool> =
        store.read_inventory().unwrap().entries.iter().map(|e| e.current).collect();
    assert_eq!(listed.iter().filter(|current| **current).count(), 1);
    let planned = store.collect_garbage(true).unwrap();
    assert_eq!((planned.removed.as_slice(), planned.bytes), ([old.clone()].as_slice(), bytes));
    assert!(old.exists());
    assert_eq!(store.collect_garbage(false).unwrap().removed, planned.removed);
    assert!(!old.exists());
    assert_eq!(store.read_inventory().unwrap().entries.len(), 2, "those of other settings too");
    for kept in ["README.md", "quarantine.jsonl", "v1-notes"] {
        assert!(root.path().join(kept).exists(), "{kept}");
    }
}

#[test]
fn a_moved_case_is_found_where_it_is_and_gives_way_only_to_itself() {
    let root = tempfile::tempdir().unwrap();
    let (old, id) = (contents_of("a", 1, 0), CaseId::new("a"));
    let first = store(root.path()).publish(&old).unwrap().path;
    let here = |dataset: u8, content: u8| SourceState {
        folder: root.path().display().to_string(),
        ..state_of(&contents_of("a", content, dataset)).clone()
    };
    // Its files are found at two other places, and read once at each.
    for place in [1, 2] {
        let moved = here(place, 1);
        let expected = ExpectedSource::State(&moved);
        assert!(store(root.path()).find_case(&id, expected).unwrap().is_none());
        store(root.path()).remember_place(&id, old.fingerprint, &moved);
        let found = store(root.path()).find_case(&id, expected).unwrap().unwrap();
        assert_eq!(found.path(), first, "in a later process as well");
    }
    // Changed at one of them, it does not replace what the other one still has.
    let newer = contents_of("a", 2, 2);
    let second = store(root.path()).publish(&newer).unwrap().path;
    assert_ne!(second, first);
    let found = store(root.path()).find_case(&id, ExpectedSource::State(&here(1, 1)));
    assert_holds(&found.unwrap().unwrap(), &old);
    let again = contents_of("a", 3, 2);
    assert_eq!(store(root.path()).publish(&again).unwrap().path, second);
}
