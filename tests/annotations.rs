//! A teacher's labels beside the case files: what is written is read, and nothing else is.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use gliaflow::internals::base::{Fingerprint, Reason};
use gliaflow::internals::buffers::CaseBuffers;
use gliaflow::internals::cache::{
    Annotation, AnnotationVoxels, AnnotationVoxelsView, CaseStore, ExpectedSource,
    MappedAnnotation, MappedCase, PreprocessConfig, SplitLabels, index_foreground,
    prepare_in_buffers,
};
use gliaflow::internals::volume::{
    Affine, Case, CaseId, Dims, LabelScheme, Region, RegionProbabilities, RegionSet, RunChannels,
    SourceGrid, Targets, Temperature, Voxels,
};

const TEACHER: Fingerprint = Fingerprint([0xab; 16]);
const DIMS: Dims = Dims([5, 6, 7]);

fn store(root: &Path) -> CaseStore {
    CaseStore::open(root, PreprocessConfig::default().fingerprint()).unwrap()
}

/// A case file of tissue everywhere, of the source with this fingerprint.
fn published(store: &CaseStore, name: &str, source: u8) -> Arc<MappedCase> {
    let case = Case {
        id: CaseId::new(name),
        source: SourceGrid::canonical(DIMS, Affine([[1.0; 4]; 4])),
        images: std::array::from_fn(|_| {
            Voxels::from_whole((1..=DIMS.voxel_count() as i16).collect())
        }),
        labels: Some(vec![0; DIMS.voxel_count()]),
        mask: None,
        scheme: LabelScheme::Brats2018,
        channels: RunChannels::default(),
        fingerprint: Fingerprint([source; 16]),
        bytes_read: 0,
    };
    let config = PreprocessConfig::default();
    let contents = prepare_in_buffers(&CaseBuffers::default(), &case, &config).unwrap();
    store.publish(&contents).unwrap();
    store.find_case(&CaseId::new(name), ExpectedSource::Anything).unwrap().unwrap()
}

/// The same of one of several datasets with cases of one name.
fn published_of(store: &CaseStore, name: &str, dataset: u8) -> Arc<MappedCase> {
    let alone = tempfile::tempdir().unwrap();
    let own = self::store(alone.path());
    let path = published(&own, name, dataset).path().to_owned();
    let beside = store.case_path(&CaseId::new(name)).unwrap();
    let number = if dataset == 1 { String::new() } else { dataset.to_string() };
    fs::copy(path, beside.with_extension(format!("case{number}"))).unwrap();
    let expected = ExpectedSource::Fingerprint(Fingerprint([dataset; 16]));
    store.find_case(&CaseId::new(name), expected).unwrap().unwrap()
}

fn hard() -> AnnotationVoxels {
    AnnotationVoxels::Hard((0..DIMS.voxel_count()).map(|place| (place % 7 % 4) as u8).collect())
}

fn soft() -> AnnotationVoxels {
    let shares = |place: usize| -> RegionProbabilities {
        [place % 255, place % 256, place % 129].map(|p| p as u8)
    };
    AnnotationVoxels::Soft((0..DIMS.voxel_count()).map(shares).collect())
}

#[test]
fn an_annotation_comes_back_as_it_was_with_an_index_of_its_own() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let case = published(&store, "a.case", 1);
    for voxels in [hard(), soft()] {
        let targets = voxels.targets();
        assert!(store.find_annotation(&case, TEACHER, targets).unwrap().is_none());
        let annotation = Annotation::for_case(&case, TEACHER, voxels.clone(), 20);
        let report = store.publish_annotation(&annotation).unwrap();
        let name = format!("a.case.abababababababab.{}.annotation", targets.name());
        assert_eq!(report.path, store.folder().join(name));
        let found = store.find_annotation(&case, TEACHER, targets).unwrap().unwrap();
        assert_eq!(found.voxels(), voxels.as_view());
        assert_eq!((&found.id, found.teacher, found.targets), (case.id(), TEACHER, targets));
        assert_eq!((found.brain, found.file_bytes()), (case.brain_box(), report.bytes));
        let labels = SplitLabels::inside_box(voxels.as_view().to_labels());
        let expected = index_foreground(RegionSet::BRATS, &labels, case.fingerprint(), 20);
        for region in Region::BRATS {
            assert_eq!(found.foreground_at(region.index()), expected[region.index()].as_view());
            assert!(case.foreground(region).voxels.is_empty(), "of the case itself");
        }
    }
    let other = Fingerprint([0xac; 16]);
    assert!(store.find_annotation(&case, other, Targets::Hard).unwrap().is_none());
}

#[test]
fn probabilities_keep_their_temperature_and_without_one_the_bytes_of_before() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let case = published(&store, "c", 1);
    let written = |temperature: f64| {
        let temperature = Temperature::new(temperature).unwrap();
        let annotation =
            Annotation::for_case(&case, TEACHER, soft(), 64).at_temperature(temperature);
        let path = store.publish_annotation(&annotation).unwrap().path;
        let found = MappedAnnotation::open(&path).unwrap();
        assert_eq!(found.temperature, temperature);
        fs::read(path).unwrap()
    };
    let (plain, softened) = (written(1.0), written(2.5));
    assert_eq!(plain[312..320], [0; 8]);
    assert_eq!(softened[312..320], 2.5f64.to_le_bytes());
    assert_eq!(plain[320..4092], softened[320..4092]);
}

#[test]
fn damage_to_any_byte_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let case = published(&store, "c", 1);
    for (voxels, temperature) in [(hard(), 1.0), (soft(), 1.0), (soft(), 2.0)] {
        let annotation = Annotation::for_case(&case, TEACHER, voxels, 4096)
            .at_temperature(Temperature::new(temperature).unwrap());
        let path = store.publish_annotation(&annotation).unwrap().path;
        let whole = fs::read(&path).unwrap();
        let copy = root.path().join("copy");
        let refused = |bytes: &[u8]| {
            let _ = fs::remove_file(&copy);
            fs::write(&copy, bytes).unwrap();
            MappedAnnotation::open(&copy).err()
        };
        assert!(refused(&whole).is_none());
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x10;
            let error = refused(&bytes).unwrap_or_else(|| panic!("byte {place} is not missed"));
            assert!([Reason::Format, Reason::Checksum].contains(&error.reason), "{error}");
            assert!(error.remedy.contains("gliaflow label"), "{error}");
        }
        for length in (0..whole.len()).step_by(97) {
            assert!(refused(&whole[..length]).is_some(), "cut at {length}");
        }
        assert!(refused(&[whole.as_slice(), &[0]].concat()).is_some());
    }
}

#[test]
fn one_of_other_files_or_under_a_wrong_name_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let case = published(&store, "c", 1);
    let path =
        store.publish_annotation(&Annotation::for_case(&case, TEACHER, hard(), 64)).unwrap().path;
    assert!(store.find_annotation(&case, TEACHER, Targets::Hard).unwrap().is_some());

    let rebuilt = published(&store, "c", 2);
    let stale = store.find_annotation(&rebuilt, TEACHER, Targets::Hard).unwrap_err();
    assert_eq!(stale.reason, Reason::Checksum);
    assert!(stale.to_string().contains("source fingerprint"), "{stale}");
    assert!(stale.to_string().contains("gliaflow label"), "{stale}");

    let other = published(&store, "d", 1);
    fs::copy(&path, store.annotation_path(other.id(), TEACHER, Targets::Hard).unwrap()).unwrap();
    let strange = store.find_annotation(&other, TEACHER, Targets::Hard).unwrap_err();
    assert!(strange.to_string().contains("not what its name says"), "{strange}");
    fs::copy(&path, store.annotation_path(case.id(), TEACHER, Targets::Soft).unwrap()).unwrap();
    assert!(store.find_annotation(&case, TEACHER, Targets::Soft).is_err());
}

#[test]
fn one_teachers_annotations_of_cases_of_one_name_are_kept_apart() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let cases = [1, 2].map(|dataset| published_of(&store, "c", dataset));
    let first = store.publish_annotation(&Annotation::for_case(&cases[0], TEACHER, hard(), 64));
    let first = first.unwrap().path;
    assert!(store.find_annotation(&cases[1], TEACHER, Targets::Hard).unwrap().is_none());
    let other = AnnotationVoxels::Hard(vec![2; DIMS.voxel_count()]);
    let second = Annotation::for_case(&cases[1], TEACHER, other.clone(), 64);
    let paths = [0, 1].map(|_| store.publish_annotation(&second).unwrap().path);
    assert!(paths[0] != first && paths[0] == paths[1], "{paths:?}");
    for (case, voxels) in cases.iter().zip([hard(), other]) {
        let found = store.find_annotation(case, TEACHER, Targets::Hard).unwrap().unwrap();
        assert_eq!(found.voxels(), voxels.as_view());
    }
    let inventory = store.read_inventory().unwrap();
    assert_eq!((inventory.annotations.len(), inventory.damaged), (2, Vec::new()));
    assert!(inventory.annotations.iter().all(|entry| entry.current));
    assert!(store.collect_garbage(false).unwrap().removed.is_empty());
    assert!(store.verify_all(|_, _| ()).unwrap().iter().all(|verdict| verdict.damage.is_none()));

    // What no case needs any more makes room.
    fs::remove_file(cases[0].path()).unwrap();
    let third = published_of(&store, "c", 3);
    let published = store.publish_annotation(&Annotation::for_case(&third, TEACHER, hard(), 64));
    assert_eq!(published.unwrap().path, first);
}

#[test]
fn upkeep_knows_annotations_and_removes_those_of_other_files() {
    let root = tempfile::tempdir().unwrap();
    let store = store(root.path());
    let (kept, changed, gone) = (
        published(&store, "kept", 1),
        published(&store, "changed", 1),
        published(&store, "gone", 1),
    );
    let publish = |case: &MappedCase, voxels| {
        store.publish_annotation(&Annotation::for_case(case, TEACHER, voxels, 64)).unwrap().path
    };
    let paths = [
        publish(&kept, hard()),
        publish(&kept, soft()),
        publish(&changed, hard()),
        publish(&gone, soft()),
    ];
    assert!(store.collect_garbage(false).unwrap().removed.is_empty());
    published(&store, "changed", 2);
    fs::remove_file(gone.path()).unwrap();
    let inventory = store.read_inventory().unwrap();
    assert_eq!((inventory.entries.len(), inventory.annotations.len()), (2, 4));
    let current: Vec<&str> = inventory
        .annotations
        .iter()
        .filter(|entry| entry.current)
        .map(|entry| entry.targets.name())
        .collect();
    assert_eq!(current, ["hard", "soft"]);
    assert!(inventory.annotations.iter().all(|entry| entry.teacher == TEACHER));

    let mut removed = store.collect_garbage(true).unwrap().removed;
    removed.sort();
    assert_eq!(removed, [paths[2].clone(), paths[3].clone()]);
    assert!(paths.iter().all(|path| path.exists()), "a dry run removes nothing");
    store.collect_garbage(false).unwrap();
    assert_eq!(paths.map(|path| path.exists()), [true, true, false, false]);

    let mut heard = Vec::new();
    let sound = store.verify_all(|done, of| heard.push((done, of))).unwrap();
    assert_eq!(heard.last(), Some(&(4, 4)));
    assert!(sound.iter().all(|verdict| verdict.damage.is_none()));
    let path = store.annotation_path(kept.id(), TEACHER, Targets::Hard).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[5000] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    let verdicts = store.verify_all(|_, _| ()).unwrap();
    let damaged: Vec<_> = verdicts.iter().filter(|verdict| verdict.damage.is_some()).collect();
    assert_eq!(damaged.len(), 1);
    assert_eq!(damaged[0].path, path);
    assert_eq!(store.read_inventory().unwrap().damaged.len(), 1);
    assert!(
        store.collect_garbage(false).unwrap().removed.is_empty(),
        "damage is for who needs it to mend"
    );
}

#[test]
fn what_an_annotation_says_is_what_it_would_say_as_labels() {
    let (AnnotationVoxels::Hard(labels), AnnotationVoxels::Soft(shares)) = (hard(), soft()) else {
        unreachable!()
    };
    assert_eq!(AnnotationVoxelsView::Hard(&labels).to_labels(), labels);
    let painted = AnnotationVoxelsView::Soft(&shares).to_labels();
    for (label, shares) in painted.iter().zip(&shares) {
        let inside = Region::BRATS.map(|region| u8::from(shares[region.index()] > 127));
        let membership = inside[0] | inside[1] << 1 | inside[2] << 2;
        assert_eq!(*label, RegionSet::BRATS.label_of_membership(membership));
    }
}
