//! Annotations in the cache's folder, by case, teacher and kind of target.

use std::path::PathBuf;

use crate::base::{CaseError, Fingerprint, Reason};
use crate::cache::annotation::file::{self, MappedAnnotation};
use crate::cache::annotation::{Annotation, EXTENSION};
use crate::cache::format::{self, same_name_extensions};
use crate::cache::writer::stage_file;
use crate::cache::{CacheError, CaseStore, MappedCase, PublishReport, Verify};
use crate::volume::{CaseId, Targets};

/// Hex digits of the teacher's fingerprint in a file's name; the file itself holds all of it.
const TEACHER_DIGITS: usize = 16;

/// The names that an annotation's file may have: the first one, and those for cases of the same name
/// of other datasets.
pub(in crate::cache) fn file_names(
    id: &CaseId,
    teacher: Fingerprint,
    targets: Targets,
) -> impl Iterator<Item = String> + use<> {
    let stem = format!("{id}.{}.{}", teacher.short_hex(TEACHER_DIGITS), targets.name());
    same_name_extensions(EXTENSION).map(move |extension| format!("{stem}.{extension}"))
}

/// True if a case file beside an annotation is the one that it was made for.
pub(in crate::cache) fn has_its_case(found: &MappedAnnotation) -> bool {
    same_name_extensions(format::EXTENSION).any(|extension| {
        let beside = found.path.with_file_name(format!("{}.{extension}", found.id));
        MappedCase::open(&beside, Verify::Header).is_ok_and(|case| found.matches_case(&case))
    })
}

impl CaseStore {
    /// First path of `teacher`'s annotation of a case, present or not.
    ///
    /// # Errors
    /// When the id cannot name a file.
    pub fn annotation_path(
        &self,
        id: &CaseId,
        teacher: Fingerprint,
        targets: Targets,
    ) -> Result<PathBuf, CaseError> {
        let mut paths = self.annotation_paths(id, teacher, targets)?;
        Ok(paths.next().expect("the first name is always there"))
    }

    fn annotation_paths(
        &self,
        id: &CaseId,
        teacher: Fingerprint,
        targets: Targets,
    ) -> Result<impl Iterator<Item = PathBuf> + use<>, CaseError> {
        let beside = self.case_path(id)?;
        Ok(file_names(id, teacher, targets).map(move |name| beside.with_file_name(name)))
    }

    /// Writes an annotation beside its case file, replacing one of the same teacher and kind, but not
    /// that of another dataset's case.
    ///
    /// # Errors
    /// A case error when it cannot be a file, a fault when the disk fails.
    pub fn publish_annotation(&self, annotation: &Annotation) -> Result<PublishReport, CacheError> {
        let path = self.choose_annotation_path(annotation)?;
        let composed = file::compose_annotation(annotation)?;
        let read_back = |path: &std::path::Path| MappedAnnotation::open(path).map(drop);
        let write = |out: &mut std::fs::File| composed.write_to(out);
        stage_file(self.root(), &annotation.id, write, read_back)?.commit(&path)?;
        let bytes = MappedAnnotation::open(&path)?.file_bytes();
        Ok(PublishReport { path, bytes })
    }

    /// Chooses the file for an annotation: that of the same case, else the first that is not there, or
    /// of no use to any case of the cache.
    fn choose_annotation_path(&self, annotation: &Annotation) -> Result<PathBuf, CaseError> {
        let Annotation { id, teacher, voxels, fingerprint, .. } = annotation;
        let mut free = None;
        for path in self.annotation_paths(id, *teacher, voxels.targets())? {
            match MappedAnnotation::open(&path) {
                Ok(found) if found.fingerprint == *fingerprint => return Ok(path),
                Ok(found) if has_its_case(&found) => {}
                _ => _ = free.get_or_insert(path),
            }
        }
        free.ok_or_else(|| {
            let problem = "the cache holds this teacher's labels of too many other datasets' cases";
            let remedy = "use another cache: --set data.cache=DIR";
            CaseError::new(Reason::Format, self.folder().display(), problem, remedy).of_case(id)
        })
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
        let mut refused = None;
        for path in self.annotation_paths(case.id(), teacher, targets)? {
            let error = match MappedAnnotation::open(&path) {
                Ok(found) => match check_annotation(&found, case, teacher, targets) {
                    Ok(()) => return Ok(Some(found)),
                    Err(_) if found.id == *case.id() && has_its_case(&found) => continue,
                    Err(error) => error,
                },
                Err(error) if error.reason == Reason::Missing => continue,
                Err(error) => error,
            };
            refused.get_or_insert(error);
        }
        refused.map_or(Ok(None), Err)
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
