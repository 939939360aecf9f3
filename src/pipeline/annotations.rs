//! Teacher's labels for the cases that are trained on with them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::{CaseError, Fingerprint, Reason};
use crate::cache::{CaseStore, MappedAnnotation, MappedCase};
use crate::pipeline::CaseHandle;
use crate::volume::{CaseId, Targets, Temperature};

type AnnotationsByCase = HashMap<CaseId, Arc<MappedAnnotation>>;

/// The annotated cases of a run, each mapped once. Clones share the mappings.
#[derive(Debug, Clone)]
pub struct Annotations {
    teacher: Fingerprint,
    targets: Targets,
    temperature: Temperature,
    cases: Arc<HashSet<CaseId>>,
    mapped: Arc<Mutex<AnnotationsByCase>>,
}

impl Annotations {
    /// Annotations of `cases` by `teacher`, at temperature 1.
    pub fn from_teacher(
        teacher: Fingerprint,
        targets: Targets,
        cases: impl IntoIterator<Item = CaseId>,
    ) -> Self {
        let cases = Arc::new(cases.into_iter().collect());
        Self { teacher, targets, temperature: Temperature::ONE, cases, mapped: Arc::default() }
    }

    /// Replaces the temperature that the probabilities must have been softened with.
    #[must_use]
    pub fn at_temperature(self, temperature: Temperature) -> Self {
        Self { temperature, ..self }
    }

    /// Targets that the annotated cases have: labels or probabilities.
    pub const fn targets(&self) -> Targets {
        self.targets
    }

    /// Temperature of the probabilities; 1 of labels.
    pub const fn temperature(&self) -> Temperature {
        self.temperature
    }

    /// Returns true if a case is trained on with the teacher's labels.
    pub fn is_annotated(&self, id: &CaseId) -> bool {
        self.cases.contains(id)
    }

    /// Handle of `case`: with the teacher's labels if it is annotated, else with its own.
    ///
    /// # Errors
    /// If it is one of the annotated cases and its annotation is missing, damaged or about other
    /// files. Its own labels never take their place.
    pub fn annotate_case(
        &self,
        case: Arc<MappedCase>,
        store: &CaseStore,
    ) -> Result<CaseHandle, CaseError> {
        if !self.is_annotated(case.id()) {
            return Ok(CaseHandle::Mapped(case));
        }
        let held = self.mapped.lock().get(case.id()).cloned();
        // A case that was built again from other files is not the one that was annotated.
        let serves =
            |held: &Arc<MappedAnnotation>| held.matches_case(&case) && held.check_pages().is_ok();
        if let Some(annotation) = held.filter(serves) {
            return Ok(CaseHandle::Annotated(case, annotation));
        }
        let found = store.find_annotation(&case, self.teacher, self.targets);
        let Some(found) = found.map_err(|error| error.of_case(case.id()))? else {
            return Err(self.missing_annotation(case.id()));
        };
        self.check_temperature(&found)?;
        let annotation = Arc::new(found);
        self.mapped.lock().insert(case.id().clone(), Arc::clone(&annotation));
        Ok(CaseHandle::Annotated(case, annotation))
    }

    /// Refuses probabilities that were softened otherwise than the loss takes them to be.
    fn check_temperature(&self, found: &MappedAnnotation) -> Result<(), CaseError> {
        if found.temperature == self.temperature {
            return Ok(());
        }
        let (asked, stored) = (self.temperature, found.temperature);
        let problem = format!("is {asked}, and the teacher's probabilities are at {stored}");
        let way_out = format!("set it to {stored}, or label with --temperature {asked}");
        let error = CaseError::new(Reason::Format, "data.pseudo.temperature", problem, way_out);
        Err(error.of_case(&found.id))
    }

    /// Error for a case that the teacher has not labelled.
    pub fn missing_annotation(&self, id: &CaseId) -> CaseError {
        let soft = match (self.targets, self.temperature.is_one()) {
            (Targets::Hard, _) => String::new(),
            (Targets::Soft, true) => " --soft".into(),
            (Targets::Soft, false) => format!(" --soft --temperature {}", self.temperature),
        };
        CaseError::new(
            Reason::Missing,
            format!("case {id}"),
            format!("has no {} labels by teacher {}", self.targets.name(), self.teacher),
            format!("make them with `gliaflow label --run RUN{soft}`, RUN being that teacher"),
        )
    }
}
