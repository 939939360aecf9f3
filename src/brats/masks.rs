//! Mask files of a dataset's cases, which say where tissue is.

use std::path::{Path, PathBuf};

use crate::base::{CaseError, Reason};
use crate::brats::discovery_errors::DoubledFiles;
use crate::brats::{CaseFiles, Dataset};
use crate::quality::ForegroundRule;
use crate::storage;

impl Dataset {
    /// Adds the mask file of each case beside its images, if `rule` names one. Cases that lack it
    /// are problems, and so are masks that are there compressed and not.
    #[must_use]
    pub fn with_masks(self, rule: &ForegroundRule) -> Self {
        let ForegroundRule::Mask(ending) = rule else { return self };
        let mut problems = self.problems;
        let mut cases = Vec::with_capacity(self.cases.len());
        let mut doubled: Option<DoubledFiles> = None;
        for files in self.cases {
            let [mask, other] = find_masks(&files, ending);
            if let (Some(_), Some(other)) = (&mask, other) {
                doubled.get_or_insert(DoubledFiles { first: other, count: 0 }).count += 1;
            }
            match mask {
                // The truth, above all, must not decide what is tissue.
                Some(mask) if files.paths().any(|own| *own == mask) => {
                    problems.push(own_file(&files, &mask));
                }
                Some(mask) => cases.push(CaseFiles { mask: Some(mask), ..files }),
                None => problems.push(missing_mask(&files, ending)),
            }
        }
        problems.extend(doubled.map(DoubledFiles::into_error));
        Self { cases, problems, ..self }
    }
}

/// The case's mask, and another that is there uncompressed as well.
fn find_masks(files: &CaseFiles, ending: &str) -> [Option<PathBuf>; 2] {
    let paths = [".nii.gz", ".nii"].map(|extension| {
        files.first_image().with_file_name(format!("{}{ending}{extension}", files.id))
    });
    let mut there = paths.into_iter().filter(|path| storage::is_file(path));
    [there.next(), there.next()]
}

fn own_file(files: &CaseFiles, mask: &Path) -> CaseError {
    let problem = "is an image or the labels of the case, and no mask";
    let remedy = "set data.foreground to the ending of mask files, to nonzero or to threshold";
    CaseError::new(Reason::Format, mask.display(), problem, remedy).of_case(&files.id)
}

fn missing_mask(files: &CaseFiles, ending: &str) -> CaseError {
    let first = files.first_image();
    let folder = first.parent().unwrap_or(first);
    let problem = format!("{}{ending}.nii.gz is not in {}", files.id, folder.display());
    let remedy = "add the mask, or set data.foreground to nonzero or threshold";
    CaseError::new(Reason::Missing, "mask", problem, remedy).of_case(&files.id)
}
