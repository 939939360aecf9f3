//! Cases that another program made, such as a generative network's: they join the cases that a run trains on, and
//! no other part.

use std::collections::BTreeSet;

use crate::base::{CaseError, Reason};
use crate::brats::{CaseFiles, discover_described_cases};
use crate::run::Failure;
use crate::run::config::RunConfig;
use crate::volume::CaseId;

impl RunConfig {
    /// Finds the synthetic cases of a run whose own cases are `real`; none where it has no folder of them.
    ///
    /// # Errors
    /// If the folder has no case or a bad one, one lacks its labels, or one has a real case's name, under which the
    /// cache could not tell them apart; all are named.
    pub(super) fn discover_synthetic(&self, real: &[CaseFiles]) -> Result<Vec<CaseFiles>, Failure> {
        let Some(synthetic) = &self.data.synthetic else { return Ok(Vec::new()) };
        let folder = &synthetic.folder;
        let found = discover_described_cases(folder, None, self.data.labels)?;
        let found = found.with_channels(self.data.channels, self.data.missing);
        let found = found.with_masks(&self.data.foreground).with_max_voxels(self.most_voxels());
        let names: BTreeSet<&CaseId> = real.iter().map(|files| &files.id).collect();
        let mut errors = found.problems;
        for files in &found.cases {
            let refused = match (&files.labels, names.contains(&files.id)) {
                (Some(_), false) => continue,
                (None, _) => ("has no label file", "bring it, or take the case out of the folder"),
                (_, true) => {
                    ("is also a case of data.folder", "give the synthetic one a name of its own")
                }
            };
            let (problem, remedy) = refused;
            let subject = format!("synthetic case {}", files.id);
            errors.push(CaseError::new(Reason::Format, subject, problem, remedy));
        }
        if errors.is_empty() { Ok(found.cases) } else { Err(Failure::Cases(errors)) }
    }
}
