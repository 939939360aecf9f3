//! Annotations in the cache's folder, by case, teacher and kind of target.

use std::path::PathBuf;

use crate::base::{CaseError, Fingerprint, Reason};
use crate::cache::annotation::file::{self, MappedAnnotation};
use crate::cache::annotation::{Annotation, EXTENSION};
use crate::cache::writer::stage_file;
use crate::cache::{CacheError, CaseStore, MappedCase, PublishReport};
use crate::volume::{CaseId, Targets};

/// Hex digits of the teacher's fingerprint in a file's name; the file itself holds all of it.
const TEACHER_DIGITS: usize = 16;

/// The name of an annotation's file.
pub(in crate::cache) fn file_name(id: &CaseId, teacher: Fingerprint, targets: Targets) -> String {
    format!("{id}.{}.{}.{EXTENSION}", teacher.short_hex(TEACHER_DIGITS), targets.name())
}

impl CaseStore {
    /// Path of `teacher`'s annotation of a case, present or not.
    ///
    /// # Errors
    /// When the id cannot name a file.
    pub fn annotation_path(
        &self,
        id: &CaseId,
        teacher: Fingerprint,
        targets: Targets,
    ) -> Result<PathBuf, CaseError> {
        let beside = self.case_path(id)?;
        Ok(beside.with_file_name(file_name(id, teacher, targets)))
    }

    /// Writes an annotation beside its case file, replacing one of the same teacher and kind.
    ///
    /// # Errors
    /// A case error when it cannot be a file, a fault when the disk fails.
    pub fn publish_annotation(&self, annotation: &Annotation) -> Result<PublishReport, CacheError> {
        let Annotation { id, teacher, voxels, .. } = annotation;
        let path = self.annotation_path(id, *teacher, voxels.targets())?;
        let composed = file::compose_annotation(annotation)?;
        let read_back = |path: &std::path::Path| MappedAnnotation::open(path).map(drop);
        stage_file(self.root(), id, |out| composed.write_to(out), read_back)?.commit(&path)?;
        let bytes = MappedAnnotation::open(&path)?.file_bytes();
        Ok(PublishReport { path, bytes })
    }

    /// Opens `teacher`'s annotation of `case`, if there is one.
    ///
    /// # Errors
    /// When the file is unreadable, damaged, or about other files than the case was built from.
    pub fn find_annotation(
        &self,
        case: &MappedCase,
        teacher: Fingerprint,
        targets: Targets,
    ) -> Result<Option<MappedAnnotation>, CaseError> {
        let path = self.annotation_path(case.id(), teacher, targets)?;
        let found = match MappedAnnotation::open(&path) {
            Err(error) if error.reason == Reason::Missing => return Ok(None),
            opened => opened?,
        };
        check_annotation(&found, case, teacher, targets)?;
        Ok(Some(found))
    }
}

/// Refuses an annotation of another case, of an older version of the case, or by another teacher.
fn check_annotation(
    found: &MappedAnnotation,
    case: &MappedCase,
    teacher: Fingerprint,
    targets: Targets,
) -> Result<(), CaseError> {
    let refuse = |field: &str, problem: String| {
        let subject = format!("{}: {field}", found.path.display());
        let remedy = "`gliaflow label` with the same teacher makes it again";
        Err(CaseError::new(Reason::Checksum, subject, problem, remedy))
    };
    if (&found.id, found.teacher, found.targets) != (case.id(), teacher, targets) {
        let kind = found.targets.name();
        let of = format!("case {} by {}", found.id, found.teacher);
        return refuse("header", format!("is {kind} of {of}, not what its name says"));
    }
    if !found.matches_case(case) {
        let problem = format!("is {}, the case is {} now", found.fingerprint, case.fingerprint());
        return refuse("source fingerprint", problem);
    }
    Ok(())
}
