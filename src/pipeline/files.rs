//! Source `files`: the cases of a list, one after another, once.

use crate::actor::stage::{Describe, Source};
use crate::brats::dataset::CaseFiles;

impl Describe for CaseFiles {
    fn describe(&self) -> String {
        self.id.to_string()
    }
}

/// Walks a list of cases.
pub struct Files(std::vec::IntoIter<CaseFiles>);

impl Files {
    /// In the order of `cases`.
    pub fn new(cases: Vec<CaseFiles>) -> Self {
        Self(cases.into_iter())
    }
}

impl Source for Files {
    const NAME: &'static str = "files";
    type Item = CaseFiles;

    fn next(&mut self) -> Option<CaseFiles> {
        self.0.next()
    }
}
