//! The cohort of a run: every usable case, split, and locked by fingerprint.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::base::{CaseError, Fingerprint, Reason, fs};
use crate::brats::{CaseFiles, CaseReader};
use crate::cache::{CaseMeaning, CaseStore};
use crate::pipeline::whole_case::WholeCaseSource;
use crate::pipeline::{Annotations, Fetch};
use crate::run::config::RunConfig;
use crate::run::dataset_scan::{ScannedCase, scan_cases, trained_spacing};
use crate::run::held_out::{self, HeldOutCheck};
use crate::run::sample_plan::TrainedCases;
use crate::run::{Division, Failure, Session, prepare, pseudo_labels};
use crate::run_folder::{DATASET_LOCK, DatasetLock, ExcludedCase, LockedCase};
use crate::volume::{CaseId, Dims, PatientId, Split};

/// The cases of a run.
pub struct Cohort {
    /// Cases to train on: those with labels, then those with a teacher's, then synthetic ones.
    pub train: Arc<[CaseFiles]>,
    /// Number of pseudo-labelled cases.
    pub annotated: usize,
    /// Number of synthetic cases, the last ones of `train`.
    pub synthetic: usize,
    /// Pseudo-labels of these cases, if any.
    pub annotations: Option<Annotations>,
    /// Cases held out for validation.
    pub held_out: Vec<CaseFiles>,
    /// Lock of all cases, for the run's record.
    pub lock: DatasetLock,
    /// Cases that are not in the cache yet.
    pub missing: Vec<CaseId>,
    /// Extent of the largest case.
    pub largest: Dims,
    /// Cases that cannot be used.
    pub excluded: Vec<ExcludedCase>,
    /// Contents of the folder that could not become a case.
    pub problems: Vec<CaseError>,
}

impl Cohort {
    /// Cases to train on, by kind.
    pub(super) fn trained_cases(&self) -> TrainedCases {
        let Self { annotated, synthetic, .. } = *self;
        TrainedCases { cases: Arc::clone(&self.train), annotated, synthetic }
    }

    /// Checks that there is something to train on.
    ///
    /// # Errors
    /// If all cases to train on were left out; the causes are listed.
    pub(super) fn check_has_training_cases(&self) -> Result<(), Failure> {
        if self.train.len() > self.synthetic {
            return Ok(());
        }
        let mut causes: Vec<CaseError> =
            self.excluded.iter().map(|one| one.error.clone()).collect();
        causes.push(CaseError::new(
            Reason::Missing,
            self.lock.folder.display(),
            "has no usable case to train on",
            "mend the files of those that were left out, or divide the cases in another way",
        ));
        Err(Failure::Cases(causes))
    }
}

/// Finds and splits the cases of a configuration; those not in the cache are `missing`.
///
/// # Errors
/// If no case is usable (all causes are listed), or the session is stopped.
pub fn build_cohort(
    run: &RunConfig,
    store: Option<&Arc<CaseStore>>,
    session: &Session,
) -> Result<Cohort, Failure> {
    let data = &run.data;
    let mut dataset = run.discover_in(&data.folder)?;
    let division = Division::prepare(run, &mut dataset)?;
    let synthetic = run.discover_synthetic(&dataset.cases)?;
    let (mut candidates, useless): (Vec<_>, Vec<_>) =
        dataset.cases.into_iter().partition(|files| division.has_part_for(files));
    let made: BTreeSet<CaseId> = synthetic.iter().map(|files| files.id.clone()).collect();
    candidates.extend(synthetic);
    let mut excluded = Vec::new();
    if let (true, Some(store)) = (data.ingest_first, store) {
        let done = prepare::ingest_cases(
            &candidates,
            store,
            &data.preprocess,
            &run.ingest_resources(),
            session,
        )?;
        candidates.retain(|files| done.excluded.iter().all(|left| left.case != files.id));
        excluded.extend(done.excluded);
        excluded.extend(exclude_damaged_cases(&mut candidates, run, store, session)?);
    }
    let (mut usable, unusable) = scan_cases(candidates, store, &data.preprocess, session)?;
    excluded.extend(unusable);
    excluded.extend(useless.into_iter().map(|files| missing_labels(files.id)));
    let problems = dataset.problems;
    tracing::info!("layout {}: {}", dataset.layout, dataset.layout_reason);
    tracing::info!("labels {}", dataset.labels);
    for problem in &problems {
        tracing::warn!("{problem}");
    }
    for left_out in &excluded {
        tracing::warn!("left out: {}", left_out.error);
    }
    let mut lock = held_out::lock_good_cases(
        &mut usable,
        &mut excluded,
        HeldOutCheck { run, store, session },
        |usable, excluded| {
            let parts = parts_of_cases(&division, usable, &made)?;
            lock_cohort(run, &division, (usable, &parts, excluded), &problems)
        },
    )?;
    lock.trained_spacing = trained_spacing(&lock, &usable, run);
    let mut files = files_of(&usable);
    files.retain(|files| !made.contains(&files.id));
    for line in division.notices(&files, &division.divide_cases(&files)?)? {
        session.progress.print_line(&line);
    }
    let joining = lock.files_in_split(&files, Split::Unlabelled);
    let cohort = assemble_cohort(lock, &usable, excluded, problems);
    with_pseudo_labels(cohort, run, joining, store, session)
}

pub(super) fn assemble_cohort(
    lock: DatasetLock,
    surveyed: &[ScannedCase],
    excluded: Vec<ExcludedCase>,
    problems: Vec<CaseError>,
) -> Cohort {
    let files = files_of(surveyed);
    let missing = surveyed.iter().filter(|case| !case.is_cached);
    let largest = surveyed.iter().map(|case| case.grid).max_by_key(|grid| grid.voxel_count());
    Cohort {
        train: lock.files_in_split(&files, Split::Train).into(),
        annotated: 0,
        synthetic: lock.synthetic_count(),
        annotations: None,
        held_out: lock.files_in_split(&files, Split::Validation),
        missing: missing.map(|case| case.files.id.clone()).collect(),
        largest: largest.unwrap_or(Dims([0; 3])),
        lock,
        excluded,
        problems,
    }
}

fn files_of(surveyed: &[ScannedCase]) -> Vec<CaseFiles> {
    surveyed.iter().map(|case| case.files.clone()).collect()
}

/// Adds the unlabelled cases `joining` to the training cases, if there is a teacher. They are in
/// the cache after this: only there can it be seen that they are labelled.
pub(super) fn with_pseudo_labels(
    cohort: Cohort,
    run: &RunConfig,
    joining: Vec<CaseFiles>,
    store: Option<&Arc<CaseStore>>,
    session: &Session,
) -> Result<Cohort, Failure> {
    let Some(pseudo) = &run.data.pseudo else { return Ok(cohort) };
    let store = store.expect("a configuration with data.pseudo has a cache");
    let (annotations, joining) =
        pseudo_labels::checked_annotations(run, pseudo, &joining, store, session)?;
    if cohort.train.len() == cohort.synthetic {
        let folder = run.data.folder.display();
        return Err(Failure::Usage(format!(
            "{folder}: has no labelled case to train on beside the pseudo-labelled ones; lower the \
             shares of data.shares"
        )));
    }
    let mut missing = cohort.missing;
    missing.retain(|id| joining.iter().all(|files| files.id != *id));
    let annotated = joining.len();
    let (real, made) = cohort.train.split_at(cohort.train.len() - cohort.synthetic);
    let train = [real, &joining, made].concat().into();
    Ok(Cohort { train, annotated, annotations: Some(annotations), missing, ..cohort })
}

/// Takes out damaged cases that cannot be built again: ingest asks only whether one is current.
fn exclude_damaged_cases(
    cases: &mut Vec<CaseFiles>,
    run: &RunConfig,
    store: &Arc<CaseStore>,
    session: &Session,
) -> Result<Vec<ExcludedCase>, Failure> {
    let preprocess = run.data.preprocess.clone();
    let fetch = Fetch::new(Arc::clone(store), preprocess, session.stop.clone());
    let mut excluded = Vec::new();
    cases.retain(|files| {
        let damage = fetch.mapped_case(files).err();
        let is_usable = damage.is_none();
        excluded.extend(damage.map(|error| ExcludedCase { case: files.id.clone(), error }));
        is_usable
    });
    for ExcludedCase { case, error } in &excluded {
        prepare::quarantine_case(store, case, None, error)?;
    }
    Ok(excluded)
}

fn missing_labels(case: CaseId) -> ExcludedCase {
    let error = CaseError::new(
        Reason::Missing,
        format!("case {case}"),
        "has no label file",
        "training leaves it out; `predict` takes it",
    );
    ExcludedCase { case, error }
}

/// Part of each usable case, and its being synthetic or not. What another program made is trained on, whatever the
/// division says.
fn parts_of_cases(
    division: &Division<'_>,
    usable: &[ScannedCase],
    made: &BTreeSet<CaseId>,
) -> Result<Vec<(Split, bool)>, Failure> {
    let is_made = |case: &ScannedCase| made.contains(&case.files.id);
    let real: Vec<CaseFiles> =
        usable.iter().filter(|case| !is_made(case)).map(|case| case.files.clone()).collect();
    let mut divided = division.divide_cases(&real)?.into_iter();
    let part_of = |case: &ScannedCase| match is_made(case) {
        true => (Split::Train, true),
        false => (divided.next().expect("a part of each real case"), false),
    };
    Ok(usable.iter().map(part_of).collect())
}

/// Locks the usable cases, which have these parts. Without any, all causes are the error.
fn lock_cohort(
    run: &RunConfig,
    division: &Division<'_>,
    (usable, parts, excluded): (&[ScannedCase], &[(Split, bool)], &[ExcludedCase]),
    problems: &[CaseError],
) -> Result<DatasetLock, Failure> {
    if usable.is_empty() {
        let causes = excluded.iter().map(|one| &one.error).chain(problems);
        return Err(Failure::Cases(causes.cloned().collect()));
    }
    let files = files_of(usable);
    let causes = excluded.iter().map(|one| (one.case.clone(), one.error.to_string()));
    Ok(DatasetLock {
        folder: run.data.folder.clone(),
        cases: lock_cases(usable, parts),
        trained_spacing: None,
        patients: named_patients(&files),
        split_file: division.locked_file(),
        replaced: Vec::new(),
        excluded: causes.collect(),
        problems: problems.iter().map(ToString::to_string).collect(),
    })
}

/// Locks the usable cases: the labelled ones, the unlabelled ones, and those that another program made.
fn lock_cases(usable: &[ScannedCase], parts: &[(Split, bool)]) -> Vec<LockedCase> {
    let mut placed: Vec<_> = usable.iter().zip(parts).collect();
    placed.sort_by_key(|(case, (_, synthetic))| (*synthetic, case.files.labels.is_none()));
    let locked = |(case, (split, synthetic)): (&ScannedCase, &(Split, bool))| LockedCase {
        id: case.files.id.clone(),
        fingerprint: case.fingerprint,
        meaning: Some(CaseMeaning::new(case.files.scheme, case.files.channels).fingerprint()),
        split: *split,
        synthetic: *synthetic,
    };
    placed.into_iter().map(locked).collect()
}

/// Patients of the cases that are not named as their patient is.
fn named_patients(files: &[CaseFiles]) -> BTreeMap<CaseId, PatientId> {
    let named = files.iter().filter(|case| case.patient != PatientId::of_only_case(&case.id));
    named.map(|case| (case.id.clone(), case.patient.clone())).collect()
}

/// True if the files of a locked case, and what their label values mean, are those of the lock.
pub(super) fn is_as_locked(
    locked: &LockedCase,
    files: &CaseFiles,
    fingerprint: Fingerprint,
) -> bool {
    let meaning = CaseMeaning::new(files.scheme, files.channels).fingerprint();
    locked.fingerprint == fingerprint && locked.meaning.is_none_or(|known| known == meaning)
}

pub(super) fn changed_files_error(
    files: &CaseFiles,
    now: Fingerprint,
    verb: &str,
    remedy: &str,
) -> CaseError {
    CaseError::new(
        Reason::Checksum,
        format!("case {}", files.id),
        format!(
            "its files, or what their label values mean, are not those that the run {verb} (now \
             {now}, {})",
            files.scheme.name()
        ),
        remedy,
    )
}

/// Refuses cases whose files are not those that the run `verb`, such as "held out".
pub(super) fn check_unchanged(
    lock: &DatasetLock,
    cases: &[CaseFiles],
    source: &WholeCaseSource,
    (verb, remedy): (&str, &str),
) -> Result<(), Failure> {
    let reader = CaseReader::default();
    let mut changed = Vec::new();
    for files in cases {
        let fingerprint = match source {
            WholeCaseSource::Cache(fetch) => fetch.mapped_case(files)?.fingerprint(),
            WholeCaseSource::Files(_) => reader.read_headers(files)?.fingerprint,
        };
        let locked = lock.cases.iter().find(|case| case.id == files.id);
        if locked.is_some_and(|case| !is_as_locked(case, files, fingerprint)) {
            changed.push(changed_files_error(files, fingerprint, verb, remedy));
        }
    }
    if changed.is_empty() { Ok(()) } else { Err(Failure::Cases(changed)) }
}

/// Reads the lock of the run in `folder`.
///
/// # Errors
/// If it is missing or not readable as one.
pub fn read_lock(folder: &Path) -> Result<DatasetLock, Failure> {
    let path = folder.join(DATASET_LOCK);
    let bytes = fs::read(&path)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Failure::Usage(format!("{}: {error}; name a complete run folder", path.display()))
    })
}
