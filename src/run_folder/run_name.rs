//! Name of a run: the last part of its folder's path. Metrics, pages and tables know a run by it.

use std::path::{Path, PathBuf};

use crate::base::Fingerprint;

/// Hexadecimal digits that tell runs of one name apart.
const DIGITS: usize = 6;

/// Name of the run in `folder`, which need not exist.
pub fn run_name(folder: &Path) -> String {
    let whole = whole_path(folder);
    whole.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Name of the run in `folder`, and digits that tell it from runs of that name in other folders.
pub fn distinct_run_name(folder: &Path) -> String {
    let path = whole_path(folder);
    let digits = Fingerprint::of_bytes(path.as_os_str().as_encoded_bytes()).short_hex(DIGITS);
    format!("{}-{digits}", run_name(folder))
}

/// Path from the root, through links where the folder exists.
fn whole_path(folder: &Path) -> PathBuf {
    let absolute = || std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    folder.canonicalize().unwrap_or_else(|_| absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_by_its_folder_and_told_from_one_of_the_same_name() {
        let root = tempfile::tempdir().unwrap();
        let [one, other] = ["a", "b"].map(|part| root.path().join(part).join("unet-001"));
        assert_eq!((run_name(&one), run_name(&other)), ("unet-001".into(), "unet-001".into()));
        assert_ne!(distinct_run_name(&one), distinct_run_name(&other));
        let before = distinct_run_name(&one);
        std::fs::create_dir_all(&one).unwrap();
        assert_eq!(run_name(&one.join(".")), "unet-001");
        assert!(before.starts_with("unet-001-"), "{before}");
        assert_eq!(run_name(Path::new("unet-007/")), "unet-007");
    }
}
