//! What a run must know of every case before its first step: that its files are there and agree, which
//! files they are, and whether the cache has them. Nothing is inflated.

use std::sync::Arc;

use crate::base::error::{CaseError, Reason};
use crate::base::fingerprint::Fingerprint;
use crate::brats::case::CaseReader;
use crate::brats::dataset::CaseFiles;
use crate::cache::quarantine::{Quarantine, Quarantined};
use crate::cache::source::Expected;
use crate::cache::store::CaseStore;
use crate::experiment::failure::Failure;
use crate::experiment::prepare::{Excluded, Session, quarantine, stopped_early};
use crate::pipeline::decode::look;
use crate::volume::grid::Dims;

/// How the problem of a case begins that was met before.
pub(super) const KNOWN: &str = "was found bad before";

/// A case that a run can be planned with.
pub(super) struct Surveyed {
    pub(super) files: CaseFiles,
    /// Of its compressed bytes.
    pub(super) fingerprint: Fingerprint,
    /// Its extent in canonical orientation.
    pub(super) grid: Dims,
    /// Whether its case file is there and current.
    pub(super) is_cached: bool,
}

/// Looks at all of `cases`. Those that cannot be used, or are known to be bad, are named apart.
///
/// # Errors
/// If the session is stopped, or the quarantine cannot be read or written.
pub(super) fn survey(
    cases: Vec<CaseFiles>,
    store: Option<&Arc<CaseStore>>,
    session: &Session,
) -> Result<(Vec<Surveyed>, Vec<Excluded>), Failure> {
    let known = match store {
        Some(store) => Quarantine::of(store.root()).read_all()?.entries,
        None => Vec::new(),
    };
    let task = session.progress.begin("look", "cases", cases.len() as u64);
    let reader = CaseReader::default();
    let (mut usable, mut excluded) = (Vec::new(), Vec::new());
    for (done, files) in (1..).zip(cases) {
        stopped_early(&session.stop, "nothing was begun")?;
        let id = files.id.clone();
        let cached = store.and_then(|store| cached(store, &files));
        let looked = match cached {
            Some((fingerprint, grid)) => Ok((fingerprint, grid)),
            None => reader.glance(&files).and_then(|seen| {
                known_bad(&known, &files, seen.fingerprint).map_or(Ok(()), Err)?;
                Ok((seen.fingerprint, seen.grid))
            }),
        };
        match looked {
            Ok((fingerprint, grid)) => {
                usable.push(Surveyed { files, fingerprint, grid, is_cached: cached.is_some() });
            }
            Err(error) => {
                if let Some(store) = store {
                    remember(store, &known, &files, &error)?;
                }
                excluded.push(Excluded { case: files.id, error });
            }
        }
        task.advance_to(done, id.as_str());
    }
    Ok((usable, excluded))
}

/// Fingerprint and grid out of a current case file. One that is damaged is as good as none: whoever
/// needs it builds it again.
fn cached(store: &CaseStore, files: &CaseFiles) -> Option<(Fingerprint, Dims)> {
    let seen = look(files).ok()?;
    let case = store.lookup(&files.id, Expected::Files(&seen)).ok()??;
    Some((case.fingerprint(), case.source().canonical_dims()))
}

/// The error that these very files met before, if they did.
fn known_bad(
    known: &[Quarantined],
    files: &CaseFiles,
    fingerprint: Fingerprint,
) -> Option<CaseError> {
    let met = known
        .iter()
        .rfind(|entry| entry.case == files.id && entry.fingerprint == Some(fingerprint))?;
    let subject = format!("case {}", files.id);
    let problem = format!("{KNOWN}: {}", met.error);
    Some(CaseError::new(met.reason, subject, problem, "its files have not changed since"))
}

/// Writes an error down that is not there yet.
fn remember(
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
    Ok(quarantine(store, &files.id, None, error)?)
}
