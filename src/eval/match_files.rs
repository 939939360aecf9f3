//! Pairs of true and predicted segmentation files, by case. A file without a partner is an error,
//! on either side: a missing prediction must not flatter the mean.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use crate::base::{CaseError, Reason, fs};
use crate::volume::CaseId;

/// Segmentation files by case.
pub type FilesByCase = BTreeMap<CaseId, PathBuf>;

/// A true and a predicted segmentation of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentationPair {
    /// The case.
    pub case: CaseId,
    /// File with the true labels.
    pub truth: PathBuf,
    /// File with the predicted labels.
    pub prediction: PathBuf,
}

/// The case that a segmentation file's name belongs to: the name without `.nii` or `.nii.gz` and
/// without `_seg` (BraTS to 2021) or `-seg` (since 2023). `None` if it is no NIfTI file's name.
pub fn case_of_file(name: &str) -> Option<CaseId> {
    let stem = name.strip_suffix(".nii.gz").or_else(|| name.strip_suffix(".nii"))?;
    let bare = stem.strip_suffix("_seg").or_else(|| stem.strip_suffix("-seg")).unwrap_or(stem);
    // A leading dot marks files that systems leave behind, as `._case.nii.gz`.
    let named = !bare.is_empty() && !bare.starts_with('.');
    named.then(|| CaseId::new(bare))
}

/// Maps each case to its file; paths that are no NIfTI files are passed over.
///
/// # Errors
/// One for every file whose case has a file already.
pub fn group_by_case(
    paths: impl IntoIterator<Item = PathBuf>,
) -> Result<FilesByCase, Vec<CaseError>> {
    let mut files = FilesByCase::new();
    let mut errors = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(case) = case_of_file(&name) else { continue };
        match files.entry(case) {
            Entry::Vacant(place) => {
                place.insert(path);
            }
            Entry::Occupied(place) => errors.push(CaseError::new(
                Reason::Format,
                path.display(),
                format!("case {} has {} already", place.key(), place.get().display()),
                "keep one file per case",
            )),
        }
    }
    if errors.is_empty() { Ok(files) } else { Err(errors) }
}

/// The segmentations that lie directly in `folder`, as `<case>.nii.gz` or `<case>_seg.nii.gz`.
///
/// # Errors
/// If the folder cannot be read, or as [`group_by_case`].
pub fn files_in_folder(folder: &Path) -> Result<FilesByCase, Vec<CaseError>> {
    let mut paths = fs::list_dir(folder).map_err(|error| vec![error.into()])?;
    // A dangling link stays: opening it will say so, passing it over would hide the case.
    paths.retain(|path| !path.is_dir());
    // The order of a folder's entries is the file system's; that of the errors should not be.
    paths.sort();
    group_by_case(paths)
}

/// Pairs the true with the predicted files, in the order of the cases' names.
///
/// # Errors
/// One for every case that lacks a file on one side, or one if there is no case at all.
pub fn pair_files(
    truth: &FilesByCase,
    prediction: &FilesByCase,
) -> Result<Vec<SegmentationPair>, Vec<CaseError>> {
    if truth.is_empty() && prediction.is_empty() {
        return Err(vec![CaseError::new(
            Reason::Missing,
            "score",
            "no segmentation on either side",
            "name folders that hold <case>.nii.gz or <case>_seg.nii.gz",
        )]);
    }
    let mut pairs = Vec::new();
    let mut errors = Vec::new();
    for (case, true_path) in truth {
        match prediction.get(case) {
            Some(predicted_path) => pairs.push(SegmentationPair {
                case: case.clone(),
                truth: true_path.clone(),
                prediction: predicted_path.clone(),
            }),
            None => errors.push(unpaired_file(case, true_path, "prediction")),
        }
    }
    for (case, predicted_path) in prediction {
        if !truth.contains_key(case) {
            errors.push(unpaired_file(case, predicted_path, "truth"));
        }
    }
    if errors.is_empty() { Ok(pairs) } else { Err(errors) }
}

/// Error about a file without a partner.
fn unpaired_file(case: &CaseId, path: &Path, lacks: &str) -> CaseError {
    CaseError::new(
        Reason::Missing,
        path.display(),
        format!("there is no {lacks} of this case"),
        "add it, or take this file out of the comparison on purpose",
    )
    .of_case(case)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> FilesByCase {
        group_by_case(names.iter().map(PathBuf::from)).unwrap()
    }

    #[test]
    fn names_of_all_years_give_the_case() {
        for name in ["A_1.nii.gz", "A_1_seg.nii.gz", "A_1-seg.nii.gz", "A_1_seg.nii", "A_1.nii"] {
            assert_eq!(case_of_file(name), Some(CaseId::new("A_1")), "{name}");
        }
        for name in ["cases.csv", ".nii.gz", "_seg.nii.gz", "._A_1.nii.gz", "A_1.nii.gz.part"] {
            assert_eq!(case_of_file(name), None, "{name}");
        }
        assert_eq!(case_of_file("A_1_flair.nii.gz"), Some(CaseId::new("A_1_flair")));
    }

    #[test]
    fn files_are_paired_by_case_whatever_their_folders_and_suffixes() {
        let truth = files(&["t/b/b_seg.nii.gz", "t/a/a_seg.nii.gz", "t/name_mapping.csv"]);
        let pairs = pair_files(&truth, &files(&["p/a.nii.gz", "p/b.nii.gz"])).unwrap();
        let expected = ["a", "b"].map(|name| SegmentationPair {
            case: CaseId::new(name),
            truth: PathBuf::from(format!("t/{name}/{name}_seg.nii.gz")),
            prediction: PathBuf::from(format!("p/{name}.nii.gz")),
        });
        assert_eq!(pairs, expected);
    }

    #[test]
    fn a_file_without_a_partner_is_an_error_on_either_side() {
        let truth = files(&["t/a.nii.gz", "t/b.nii.gz"]);
        let errors = pair_files(&truth, &files(&["p/b.nii.gz", "p/c.nii.gz"])).unwrap_err();
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 2);
        assert!(texts[0].starts_with("case a: t/a.nii.gz: there is no prediction"), "{texts:?}");
        assert!(texts[1].starts_with("case c: p/c.nii.gz: there is no truth"), "{texts:?}");
        assert_eq!(pair_files(&FilesByCase::new(), &FilesByCase::new()).unwrap_err().len(), 1);
    }

    #[test]
    fn two_files_of_one_case_are_an_error() {
        let paths = ["p/a.nii.gz", "p/a_seg.nii.gz"].map(PathBuf::from);
        let errors = group_by_case(paths).unwrap_err();
        assert!(errors[0].to_string().contains("case a has p/a.nii.gz already"), "{}", errors[0]);
    }

    #[test]
    fn a_flat_folder_is_read_and_an_absent_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b_seg.nii.gz", "a.nii.gz", "cases.csv"] {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        fs::create_dir(folder.path().join("c.nii.gz")).unwrap();
        let found = files_in_folder(folder.path()).unwrap();
        let names: Vec<&str> = found.keys().map(CaseId::as_str).collect();
        assert_eq!(names, ["a", "b"]);
        let absent = files_in_folder(&folder.path().join("absent")).unwrap_err();
        assert_eq!(absent[0].reason, Reason::Missing);
    }
}
