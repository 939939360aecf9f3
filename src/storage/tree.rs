//! Files by path, asked like a tree of folders. Paths have `/` between names and none ahead.

use std::collections::{BTreeMap, BTreeSet};

/// True if a file is in the folder `below`; the empty path is the root.
pub(super) fn has_folder<T>(files: &BTreeMap<String, T>, below: &str) -> bool {
    let start = folder_start(below);
    files.range(start.clone()..).next().is_some_and(|(path, _)| path.starts_with(&start))
}

/// Names of files and folders in the folder `below`.
pub(super) fn names_in<T>(files: &BTreeMap<String, T>, below: &str) -> BTreeSet<String> {
    let start = folder_start(below);
    let mut names = BTreeSet::new();
    let mut from = start.clone();
    while let Some((path, _)) = files.range(from..).next() {
        let Some(rest) = path.strip_prefix(&start) else { break };
        let name = rest.split('/').next().unwrap_or(rest);
        names.insert(name.to_owned());
        // Behind the file, or behind everything in the folder: `0` follows `/`.
        from = match name.len() == rest.len() {
            true => format!("{path}\0"),
            false => format!("{start}{name}0"),
        };
    }
    names
}

/// Beginning of the paths in a folder.
fn folder_start(below: &str) -> String {
    if below.is_empty() { String::new() } else { format!("{below}/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_a_tree_of_folders() {
        let files =
            ["a/x.nii", "a/y.nii", "a-b/z", "a0", "c/d/e"].map(|path| (path.to_owned(), ()));
        let files = BTreeMap::from(files);
        let names = |below: &str| names_in(&files, below).into_iter().collect::<Vec<_>>();
        assert_eq!(names(""), ["a", "a-b", "a0", "c"]);
        assert_eq!(names("a"), ["x.nii", "y.nii"]);
        assert_eq!(names("c"), ["d"]);
        assert!(names("b").is_empty() && names("a0").is_empty());
        assert!(has_folder(&files, "") && has_folder(&files, "c/d") && !has_folder(&files, "a0"));
        assert!(!has_folder(&BTreeMap::<String, ()>::new(), ""));
    }
}
