//! Scan of a dataset before a run's first step: the files of each case are there and agree, they
//! have a fingerprint, and the cache has them or not. Nothing is inflated.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::{CaseError, Fingerprint, Reason};
use crate::brats::{CaseFiles, CaseHeaders, CaseReader, is_of_other_scheme};
use crate::cache::{CaseStore, PreprocessConfig, Quarantine, Quarantined};
use crate::run::config::RunConfig;
use crate::run::prepare::{fail_if_stopped, lookup_current, quarantine_case};
use crate::run::{Failure, Session};
use crate::run_folder::{DatasetLock, ExcludedCase, SpacingRange};
use crate::volume::{CaseId, Dims, Split};

/// First words of the problem of a case that was found bad by an earlier run.
pub(super) const KNOWN: &str = "was found bad before";

/// Usable case of a run.
pub(super) struct ScannedCase {
    pub(super) files: CaseFiles,
    /// Fingerprint of its compressed bytes.
    pub(super) fingerprint: Fingerprint,
    /// Extent in canonical orientation, of the files or as the case is stored, whichever is larger.
    pub(super) grid: Dims,
    /// Voxel edges in canonical orientation in mm, as the case is stored.
    pub(super) spacing_mm: [f64; 3],
    /// True if its case file is there and current.
    pub(super) is_cached: bool,
}

/// Scans `cases`, which `preprocess` prepares. Those that cannot be used, or are known to be bad, are
/// returned apart.
///
/// # Errors
/// If the session is stopped, or the quarantine cannot be read or written.
pub(super) fn scan_cases(
    cases: Vec<CaseFiles>,
    store: Option<&Arc<CaseStore>>,
    preprocess: &PreprocessConfig,
    session: &Session,
) -> Result<(Vec<ScannedCase>, Vec<ExcludedCase>), Failure> {
    let known = quarantined_cases(store)?;
    let task = session.progress.begin_task("look", "cases", 0..cases.len() as u64);
    let reader = CaseReader::default();
    let mut usable = Vec::new();
    let mut excluded = Vec::new();
    for (done, files) in (1..).zip(cases) {
        fail_if_stopped(&session.stop, "nothing was begun")?;
        let id = files.id.clone();
        let cached = store.and_then(|store| lookup_current(store, &files));
        let looked = match &cached {
            Some(case) => Ok(CaseHeaders {
                fingerprint: case.fingerprint(),
                grid: case.file_grid().canonical_dims(),
                spacing_mm: case.file_grid().canonical_spacing_mm(),
            }),
            None => reader.read_headers(&files).and_then(|seen| {
                known_error(&known, &files, seen.fingerprint).map_or(Ok(()), Err)?;
                Ok(seen)
            }),
        };
        match looked {
            Ok(CaseHeaders { fingerprint, grid, spacing_mm }) => {
                let is_cached = cached.is_some();
                let (stored, spacing_mm) = preprocess.stored_grid(grid, spacing_mm);
                let count = |dims: Dims| dims.0.iter().map(|n| *n as f64).product::<f64>();
                let grid = if count(stored) > count(grid) { stored } else { grid };
                usable.push(ScannedCase { files, fingerprint, grid, spacing_mm, is_cached });
            }
            Err(error) => {
                if let Some(store) = store {
                    quarantine_new_error(store, &known, &files, &error)?;
                }
                excluded.push(ExcludedCase { case: files.id, error });
            }
        }
        task.advance_to(done, id.as_str());
    }
    Ok((usable, excluded))
}

/// Range of the voxel sizes that a run is trained on.
pub(super) fn trained_spacing(
    lock: &DatasetLock,
    usable: &[ScannedCase],
    run: &RunConfig,
) -> Option<SpacingRange> {
    let is_trained = |split: Split| {
        split == Split::Train || (split == Split::Unlabelled && run.data.pseudo.is_some())
    };
    let trained = lock.cases.iter().filter(|case| is_trained(case.split));
    let trained: BTreeSet<&CaseId> = trained.map(|case| &case.id).collect();
    let cases = usable.iter().filter(|case| trained.contains(&case.files.id));
    SpacingRange::of_spacings(cases.map(|case| case.spacing_mm))
}

/// Cases that were quarantined under the store's preprocessing, if there is a store.
pub(super) fn quarantined_cases(
    store: Option<&Arc<CaseStore>>,
) -> Result<Vec<Quarantined>, Failure> {
    let Some(store) = store else { return Ok(Vec::new()) };
    let mut known = Quarantine::of_cache(store.root()).read_all()?.entries;
    known.retain(|entry| entry.preprocess.is_none_or(|own| own == store.preprocess()));
    Ok(known)
}

/// Returns the error that an earlier run met in these very files, unless it took their labels for
/// another scheme's.
fn known_error(
    known: &[Quarantined],
    files: &CaseFiles,
    fingerprint: Fingerprint,
) -> Option<CaseError> {
    let met = known.iter().rfind(|entry| {
        entry.case == files.id
            && entry.fingerprint == Some(fingerprint)
            && !is_of_other_scheme(&entry.error, files.scheme)
    })?;
    let subject = format!("case {}", files.id);
    let problem = format!("{KNOWN}: {}", met.error);
    let remedy = "its files have not changed since: mend them, or, if they are good, take the case's \
                  line out of quarantine.jsonl in the cache";
    Some(CaseError::new(met.reason, subject, problem, remedy))
}

/// Quarantines a case, unless its error is recorded already.
fn quarantine_new_error(
    store: &CaseStore,
    known: &[Quarantined],
    files: &CaseFiles,
    error: &CaseError,
) -> Result<(), Failure> {
    let text = error.to_string();
    let is_known = error.reason == Reason::Missing
        || error.problem.starts_with(KNOWN)
        || known.iter().any(|entry| entry.case == files.id && entry.error == text);
    if is_known {
        return Ok(());
    }
    Ok(quarantine_case(store, &files.id, None, error)?)
}
