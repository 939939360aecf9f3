//! Samples of cases with a teacher's labels: those labels and no others, in either form, whoever makes
//! them.

use std::collections::HashSet;
use std::sync::Arc;

use gliaflow::internals::actor::StopLatch;
use gliaflow::internals::base::Fingerprint;
use gliaflow::internals::brats::{CaseFiles, CaseReader};
use gliaflow::internals::buffers::CaseBuffers;
use gliaflow::internals::cache::{
    Annotation, AnnotationVoxels, CaseStore, PreprocessConfig, prepare_in_buffers,
};
use gliaflow::internals::pipeline::loader::{CaseSource, LoaderParts, start_loader};
use gliaflow::internals::pipeline::{Annotations, Batch};
use gliaflow::internals::volume::{RegionProbabilities, Targets, label, probabilities_of_label};

use super::setting::{Setting, every_transform, fixed};
use crate::deadline::{LIMIT, Watch, within};
use crate::numbers::runtime;

const TEACHER: Fingerprint = Fingerprint([7; 16]);

/// Of four cases the last two have a teacher's labels.
const LABELLED: usize = 2;

fn setting() -> Setting {
    let mut setting = Setting::of_cases(4);
    setting.augment = every_transform();
    setting
}

fn joining(setting: &Setting) -> Vec<CaseFiles> {
    setting.cohort()[LABELLED..].to_vec()
}

/// The cases in a cache, the true labels changed to `true_label` in all tissue of those that join, and
/// annotated by a teacher that says what `says` says for a place in the box.
fn build(
    setting: &Setting,
    cache: &str,
    true_label: Option<u8>,
    targets: Targets,
    says: impl Fn(usize) -> u8,
) -> Arc<CaseStore> {
    let store = setting.store(cache);
    let preprocess = PreprocessConfig::default();
    for (number, files) in setting.cohort().iter().enumerate() {
        let mut case = CaseReader::default().read(files).unwrap();
        let dims = case.dims();
        if let (Some(label), true) = (true_label, number >= LABELLED) {
            // Labels beside tissue would be outside the box, and not among its voxels.
            let whole = prepare_in_buffers(&CaseBuffers::default(), &case, &preprocess).unwrap();
            let tissue = whole.images.iter().map(|voxel| u8::from(voxel[0] != 0) * label);
            case.labels = Some(whole.brain.paste_into(&tissue.collect::<Vec<_>>(), dims, 0));
        }
        store
            .publish(&prepare_in_buffers(&CaseBuffers::default(), &case, &preprocess).unwrap())
            .unwrap();
    }
    for files in joining(setting) {
        let case = setting.fetch(cache, &StopLatch::new()).mapped_case(&files).unwrap();
        let labels: Vec<u8> = (0..case.brain_box().dims.voxel_count()).map(&says).collect();
        let voxels = match targets {
            Targets::Hard => AnnotationVoxels::Hard(labels),
            Targets::Soft => {
                AnnotationVoxels::Soft(labels.iter().map(|label| unsure(*label)).collect())
            }
        };
        store.publish_annotation(&Annotation::for_case(&case, TEACHER, voxels, 4096)).unwrap();
    }
    store
}

/// The first batches, with a share of pseudo-labelled samples if asked for.
fn batches(
    setting: &Setting,
    watch: &Watch,
    store: &Arc<CaseStore>,
    targets: Targets,
    share: Option<f64>,
) -> Vec<Batch> {
    let ids = joining(setting).into_iter().map(|files| files.id);
    let plan = setting.plan();
    let parts = LoaderParts {
        annotations: Some(Annotations::from_teacher(TEACHER, targets, ids)),
        cases: CaseSource::from_store(Arc::clone(store)),
        plan: share.map_or(plan.clone(), |share| plan.with_special_share(2, share)),
        ..setting.parts("unused", 0)
    };
    let (mut feed, running) = start_loader(parts, &StopLatch::new(), &runtime()).unwrap();
    watch.on(&running);
    let batches = (0..12).map(|_| feed.next_output().unwrap()).collect();
    drop(feed);
    assert!(running.join_blocking().unwrap().is_balanced());
    assert!(setting.skips().is_empty());
    batches
}

/// Probabilities of which these labels are the likeliest.
fn unsure(label: u8) -> RegionProbabilities {
    probabilities_of_label(label).map(|share| if share > 0 { 190 + label } else { 20 * label })
}

fn speckled(place: usize) -> u8 {
    (place / 5 % 4) as u8
}

#[test]
fn true_labels_of_annotated_cases_change_nothing() {
    within(LIMIT, |watch| {
        let setting = setting();
        for targets in [Targets::Hard, Targets::Soft] {
            let with = |name: &str, true_label| {
                let cache = format!("{name}-{}", targets.name());
                let store = build(&setting, &cache, true_label, targets, speckled);
                (batches(&setting, watch, &store, targets, None), store)
            };
            let (own, store) = with("own", None);
            let (oedema, _) = with("oedema", Some(label::ED));
            let (healthy, _) = with("healthy", Some(label::BACKGROUND));
            assert!(own == oedema && own == healthy, "{targets:?}");
            let seen: HashSet<_> =
                own.iter().flat_map(|batch| &batch.provenance).map(|one| &one.case).collect();
            assert_eq!(seen.len(), 4, "every case has come up");
            if targets == Targets::Hard {
                // The control: without a teacher they are other batches.
                let parts = LoaderParts {
                    cases: CaseSource::from_store(store),
                    ..setting.parts("unused", 0)
                };
                let (mut feed, running) =
                    start_loader(parts, &StopLatch::new(), &runtime()).unwrap();
                watch.on(&running);
                let plain: Vec<Batch> = (0..12).map(|_| feed.next_output().unwrap()).collect();
                drop(feed);
                running.join_blocking().unwrap();
                assert!(plain != own);
            }
        }
    });
}

#[test]
fn batches_with_a_teachers_labels_are_the_same_for_any_number_of_workers() {
    within(LIMIT, |watch| {
        let mut setting = setting();
        for (targets, share) in [(Targets::Hard, Some(0.3)), (Targets::Soft, None)] {
            let store = build(&setting, targets.name(), None, targets, speckled);
            setting.loader.workers = fixed(1, 1);
            let reference = batches(&setting, watch, &store, targets, share);
            for (bring, augment) in [(1, 4), (2, 4)] {
                setting.loader.workers = fixed(bring, augment);
                let store = setting.store(targets.name());
                assert!(reference == batches(&setting, watch, &store, targets, share));
            }
        }
    });
}

#[test]
fn a_share_of_the_samples_is_pseudo_labelled() {
    within(LIMIT, |watch| {
        let setting = setting();
        let store = build(&setting, "cache", None, Targets::Hard, speckled);
        let joining: Vec<_> = joining(&setting).into_iter().map(|files| files.id).collect();
        for share in [0.25, 0.75] {
            let batches = batches(&setting, watch, &store, Targets::Hard, Some(share));
            let drawn = batches.iter().flat_map(|batch| &batch.provenance);
            let pseudo = drawn.filter(|one| joining.contains(&one.case)).count();
            // Twelve batches of two are three epochs.
            assert_eq!(pseudo as f64, 24.0 * share);
        }
    });
}

#[test]
fn soft_samples_have_three_probabilities_a_voxel_and_labelled_ones_are_certain() {
    within(LIMIT, |watch| {
        let setting = setting();
        let hard = build(&setting, "hard", None, Targets::Hard, speckled);
        let soft = build(&setting, "soft", None, Targets::Soft, speckled);
        let labels = batches(&setting, watch, &hard, Targets::Hard, None);
        let shares = batches(&setting, watch, &soft, Targets::Soft, None);
        let joining: Vec<_> = joining(&setting).into_iter().map(|files| files.id).collect();
        let mut kinds = HashSet::new();
        for (hard, soft) in labels.iter().zip(&shares) {
            assert_eq!((hard.targets, soft.targets), (Targets::Hard, Targets::Soft));
            assert!(hard.images == soft.images && hard.provenance == soft.provenance);
            let voxels = hard.dims.voxel_count();
            assert_eq!(soft.labels.len(), 3 * hard.labels.len());
            let by_voxel = soft.labels.as_chunks::<3>().0;
            for (place, (label, shares)) in hard.labels.iter().zip(by_voxel).enumerate() {
                let pseudo = joining.contains(&hard.provenance[place / voxels].case);
                let expected = if pseudo { unsure(*label) } else { probabilities_of_label(*label) };
                assert_eq!(*shares, expected);
                kinds.insert((pseudo, *label));
            }
        }
        assert!(kinds.contains(&(true, 3)) && kinds.contains(&(false, label::ED)), "{kinds:?}");
    });
}

#[test]
fn a_case_without_its_annotation_is_an_error_and_never_its_own_labels() {
    let setting = setting();
    let store = build(&setting, "cache", None, Targets::Hard, speckled);
    let files = joining(&setting).remove(0);
    let handle = |teacher, targets| {
        let annotations = Annotations::from_teacher(teacher, targets, [files.id.clone()]);
        let fetch = setting.fetch("cache", &StopLatch::new()).with_annotations(Some(annotations));
        fetch.case_handle(&files).map(|case| case.id().clone()).map_err(|error| error.to_string())
    };
    assert_eq!(handle(TEACHER, Targets::Hard), Ok(files.id.clone()));
    for (teacher, targets) in [(Fingerprint([8; 16]), Targets::Hard), (TEACHER, Targets::Soft)] {
        let error = handle(teacher, targets).unwrap_err();
        for words in [files.id.as_str(), "gliaflow label", targets.name(), &teacher.to_string()] {
            assert!(error.contains(words), "{words}: {error}");
        }
    }
    let path = store.annotation_path(&files.id, TEACHER, Targets::Hard).unwrap();
    super::setting::truncate(&path);
    let error = handle(TEACHER, Targets::Hard).unwrap_err();
    assert!(error.contains(files.id.as_str()) && error.contains("gliaflow label"), "{error}");
}
