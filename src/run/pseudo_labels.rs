//! Training on pseudo-labels: the cases that join the cohort, and their share of the samples.

use std::sync::Arc;

use crate::base::CaseError;
use crate::brats::CaseFiles;
use crate::cache::{CaseStore, ExpectedSource, PreprocessConfig};
use crate::pipeline::Annotations;
use crate::pipeline::ingest::IngestResources;
use crate::run::config::RunConfig;
use crate::run::config::pseudo::PseudoConfig;
use crate::run::{Failure, Session, prepare};
use crate::run_folder::ExcludedCase;
use crate::volume::CaseId;

/// Ingests `cases`, and checks that each has the teacher's annotation. Returns them as they were taken:
/// without labels of their own that cannot be used.
///
/// # Errors
/// If there is no such case, or one cannot be used or has not been labelled; all are named.
pub(super) fn checked_annotations(
    run: &RunConfig,
    pseudo: &PseudoConfig,
    cases: &[CaseFiles],
    store: &Arc<CaseStore>,
    session: &Session,
) -> Result<(Annotations, Vec<CaseFiles>), Failure> {
    if cases.is_empty() {
        return Err(Failure::Usage(format!(
            "{}: has no unlabelled case for data.pseudo; set shares of data.shares to hide labels, \
             or leave data.pseudo out",
            run.data.folder.display()
        )));
    }
    let preprocess = &run.data.preprocess;
    let resources = run.ingest_resources();
    let (taken, excluded) = ingest_whatever_labels(cases, store, preprocess, &resources, session)?;
    let mut errors: Vec<CaseError> = excluded.into_iter().map(|excluded| excluded.error).collect();
    let found = annotations_of_cases(pseudo, &taken);
    if errors.is_empty() {
        // Headers and annotations only: the voxels are looked at when samples are cut.
        let look = |files: &CaseFiles| match store.find_case(&files.id, ExpectedSource::Anything)? {
            Some(case) => found.annotate_case(case, store).map(drop),
            None => Err(found.missing_annotation(&files.id)),
        };
        errors.extend(taken.iter().filter_map(|files| look(files).err()));
    }
    if errors.is_empty() { Ok((found, taken)) } else { Err(Failure::Cases(errors)) }
}

/// Brings `cases` into the cache that a teacher labels. Nothing depends on their own labels, so one
/// whose labels cannot be used is taken without. Returns the cases as they were taken, and those whose
/// images cannot be used.
///
/// # Errors
/// Those of [`prepare::ingest_cases`].
pub(super) fn ingest_whatever_labels(
    cases: &[CaseFiles],
    store: &Arc<CaseStore>,
    preprocess: &PreprocessConfig,
    resources: &IngestResources,
    session: &Session,
) -> Result<(Vec<CaseFiles>, Vec<ExcludedCase>), Failure> {
    let first = prepare::ingest_unrecorded(cases, store, preprocess, resources, session)?;
    let mut bad = first.excluded;
    let mut taken = cases.to_vec();
    let mut bare = Vec::new();
    for files in &mut taken {
        let is_bad = bad.iter().any(|left_out| left_out.case == files.id);
        if is_bad && files.labels.take().is_some() {
            bare.push(files.clone());
        }
    }
    let second = prepare::ingest_unrecorded(&bare, store, preprocess, resources, session)?;
    let is_of = |id: &CaseId, left_out: &[ExcludedCase]| left_out.iter().any(|one| one.case == *id);
    bad.retain(|left_out| {
        let is_mended = bare.iter().any(|files| files.id == left_out.case)
            && !is_of(&left_out.case, &second.excluded);
        if is_mended {
            tracing::warn!("taken without its own labels: {}", left_out.error);
        }
        !is_mended
    });
    for left_out in &bad {
        prepare::quarantine_case(store, &left_out.case, None, &left_out.error)?;
    }
    prepare::fail_if_stopped(&session.stop, "the cases ingested so far are in the cache")?;
    Ok((taken, bad))
}

/// Annotations of `cases`, without a check that they exist.
pub(super) fn annotations_of_cases(pseudo: &PseudoConfig, cases: &[CaseFiles]) -> Annotations {
    let ids = cases.iter().map(|files| files.id.clone());
    Annotations::from_teacher(pseudo.teacher, pseudo.targets, ids)
        .at_temperature(pseudo.temperature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::config::load;
    use crate::volume::Targets;

    const TEACHER: &str = "teacher=\"0123456789abcdef0123456789abcdef\"";

    fn loaded(assignment: &str) -> Result<RunConfig, String> {
        let checked = load(None, &[assignment.to_string()]);
        checked.map(|checked| checked.run).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_teacher_is_named_by_its_fingerprint_and_says_labels_unless_told_otherwise() {
        let pseudo = |rest| loaded(&format!("data.pseudo={{{TEACHER}{rest}}}")).unwrap();
        let plain = pseudo("");
        assert_eq!((plain.targets(), plain.data.pseudo.unwrap().share), (Targets::Hard, None));
        let soft = pseudo(", targets=\"soft\", share=0.25");
        assert_eq!((soft.targets(), soft.data.pseudo.unwrap().share), (Targets::Soft, Some(0.25)));
        assert_eq!(loaded("seed=1").unwrap().targets(), Targets::Hard);
    }

    #[test]
    fn what_cannot_be_is_refused_by_field() {
        let refused = |text: &str| loaded(&format!("data.pseudo={text}")).unwrap_err();
        let with = |rest: &str| refused(&format!("{{{TEACHER}, {rest}}}"));
        for share in ["0", "1.0", "-0.5", "nan"] {
            assert!(with(&format!("share={share}")).contains("data.pseudo.share ="), "{share}");
        }
        assert!(with("targets=\"firm\"").contains("firm"));
        for temperature in ["0.5", "21.0", "nan"] {
            let set = format!("targets=\"soft\", temperature={temperature}");
            assert!(with(&set).contains("data.pseudo.temperature"), "{temperature}");
        }
        assert!(with("temperature=2.0").contains("data.pseudo.targets"), "labels have none");
        assert!(with("weight=2").contains("weight"));
        assert!(refused("{teacher=\"me\"}").contains("32 hex digits"));
        assert!(refused("{share=0.5}").contains("teacher"));
        let uncached =
            load(None, &[format!("data.pseudo={{{TEACHER}}}"), "loader.cached=false".to_string()]);
        assert!(uncached.err().unwrap().to_string().contains("loader.cached"));
    }
}
