//! Source `files`: the cases of a list in order.

use crate::actor::{Describe, Source};
use crate::brats::CaseFiles;

impl Describe for CaseFiles {
    fn describe(&self) -> String {
        self.id.to_string()
    }
}

/// Source of the cases of a list.
pub struct CaseFilesSource(std::vec::IntoIter<CaseFiles>);

impl CaseFilesSource {
    /// Source of `cases` in their order.
    pub fn new(cases: Vec<CaseFiles>) -> Self {
        Self(cases.into_iter())
    }
}

impl Source for CaseFilesSource {
    const NAME: &'static str = "files";
    type Item = CaseFiles;

    fn next(&mut self) -> Option<CaseFiles> {
        self.0.next()
    }
}
