//! Cases that are trained on with a teacher's labels: what becomes of a case in their place.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::error::{CaseError, Reason};
use crate::base::fingerprint::Fingerprint;
use crate::cache::annotation::MappedAnnotation;
use crate::cache::map::MappedCase;
use crate::cache::store::CaseStore;
use crate::pipeline::handle::CaseHandle;
use crate::volume::case::CaseId;
use crate::volume::targets::Targets;

/// Annotations by case.
type Mapped = HashMap<CaseId, Arc<MappedAnnotation>>;

/// The annotated cases of a run, each mapped once. Clones share the mappings.
#[derive(Debug, Clone)]
pub struct Annotations {
    teacher: Fingerprint,
    targets: Targets,
    cases: Arc<HashSet<CaseId>>,
    mapped: Arc<Mutex<Mapped>>,
}

impl Annotations {
    /// Of `cases`, by `teacher`.
    pub fn by(
        teacher: Fingerprint,
        targets: Targets,
        cases: impl IntoIterator<Item = CaseId>,
    ) -> Self {
        let cases = Arc::new(cases.into_iter().collect());
        Self { teacher, targets, cases, mapped: Arc::default() }
    }

    /// What the run is trained towards.
    pub const fn targets(&self) -> Targets {
        self.targets
    }

    /// Whether a case is trained on with the teacher's labels.
    pub fn covers(&self, id: &CaseId) -> bool {
        self.cases.contains(id)
    }

    /// `case` as it is to be trained on: as it is, or with the teacher's labels.
    ///
    /// # Errors
    /// If it is one of the annotated cases and its annotation is missing, damaged or about other
    /// files. Its own labels never take their place.
    pub fn onto(&self, case: Arc<MappedCase>, store: &CaseStore) -> Result<CaseHandle, CaseError> {
        if !self.covers(case.id()) {
            return Ok(CaseHandle::Mapped(case));
        }
        let held = self.held().get(case.id()).cloned();
        // A case that was built again from other files is not the one that was annotated.
        if let Some(annotation) = held.filter(|held| held.is_of(&case)) {
            return Ok(CaseHandle::Annotated(case, annotation));
        }
        let found = store.annotation(&case, self.teacher, self.targets);
        let Some(found) = found.map_err(|error| error.of_case(case.id()))? else {
            return Err(self.missing(case.id()));
        };
        let annotation = Arc::new(found);
        self.held().insert(case.id().clone(), Arc::clone(&annotation));
        Ok(CaseHandle::Annotated(case, annotation))
    }

    fn held(&self) -> MutexGuard<'_, Mapped> {
        self.mapped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong with a case that the teacher has not labelled.
    pub fn missing(&self, id: &CaseId) -> CaseError {
        let (kind, teacher) = (self.targets.name(), self.teacher);
        let soft = if self.targets == Targets::Soft { " --soft" } else { "" };
        CaseError::new(
            Reason::Missing,
            format!("case {id}"),
            format!("has no {kind} labels by teacher {teacher}"),
            format!("make them with `gliaflow label --run RUN{soft}`, RUN being that teacher"),
        )
    }
}
