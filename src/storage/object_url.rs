//! URL of an object or a prefix, as paths carry it.

use std::fmt;
use std::path::Path;

/// Schemes of object storage. `http` and `https` are WebDAV.
const SCHEMES: [&str; 8] = ["s3", "s3a", "gs", "az", "abfs", "abfss", "http", "https"];

/// URL in two parts: where the store is, and the key in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ObjectUrl {
    /// Scheme and bucket, `s3://bucket`; of WebDAV, scheme and host.
    pub(super) store: String,
    /// Key of an object, or the part of keys that objects under a prefix have in common: without a slash
    /// ahead or behind, empty for the whole store.
    pub(super) key: String,
}

impl ObjectUrl {
    /// Reads the URL that a path is, without `.` and `..`; `None` for a path of the file system.
    pub(super) fn of_path(path: &Path) -> Option<Self> {
        let (scheme, rest) = path.to_str()?.split_once("://")?;
        SCHEMES.contains(&scheme).then_some(())?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut parts: Vec<&str> = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => _ = parts.pop(),
                name => parts.push(name),
            }
        }
        Some(Self { store: format!("{scheme}://{host}"), key: parts.join("/") })
    }

    /// Scheme, such as `s3`.
    #[cfg(feature = "object-store")]
    pub(super) fn scheme(&self) -> &str {
        self.store.split_once("://").map_or("", |(scheme, _)| scheme)
    }

    /// Bucket and folders.
    pub(super) fn components(&self) -> impl Iterator<Item = &str> {
        let bucket = self.store.split_once("://").map_or("", |(_, bucket)| bucket);
        std::iter::once(bucket).chain(self.key.split('/')).filter(|part| !part.is_empty())
    }

    /// URL of what is at `below`, a path from here.
    pub(super) fn join(&self, below: &str) -> Self {
        let parts = [self.key.as_str(), below];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Self { store: self.store.clone(), key: parts.join("/") }
    }

    /// Path from `root` to this URL, empty for `root` itself; `None` if it is not below.
    pub(super) fn path_below(&self, root: &Self) -> Option<&str> {
        if self.store != root.store {
            return None;
        }
        if root.key.is_empty() || self.key == root.key {
            return Some(&self.key[root.key.len()..]);
        }
        self.key.strip_prefix(&root.key)?.strip_prefix('/')
    }
}

impl fmt::Display for ObjectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => f.write_str(&self.store),
            key => write!(f, "{}/{key}", self.store),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ObjectUrl {
        ObjectUrl::of_path(Path::new(text)).unwrap()
    }

    #[test]
    fn paths_that_are_joined_and_split_stay_urls() {
        let folder = Path::new("s3://bucket/data/");
        let file = folder.join("case/case_t1.nii.gz");
        assert_eq!(url(file.to_str().unwrap()).to_string(), "s3://bucket/data/case/case_t1.nii.gz");
        let beside = file.with_file_name("case_mask.nii.gz");
        assert_eq!(url(beside.to_str().unwrap()).key, "data/case/case_mask.nii.gz");
        assert_eq!(url(file.parent().unwrap().to_str().unwrap()).key, "data/case");
        let above = file.parent().unwrap().join("..").join("dataset.toml");
        assert_eq!(url(above.to_str().unwrap()).to_string(), "s3://bucket/data/dataset.toml");
        assert_eq!(url("gs://bucket").to_string(), "gs://bucket");
        assert_eq!(url("s3://b/x/y").components().collect::<Vec<_>>(), ["b", "x", "y"]);
    }

    #[test]
    fn paths_of_the_file_system_are_none() {
        for path in ["data", "/data/s3", "s3:/bucket", "ftp://host/x", "./s3://", "C://x"] {
            assert!(ObjectUrl::of_path(Path::new(path)).is_none(), "{path}");
        }
    }

    #[test]
    fn only_what_is_below_a_prefix_is_below_it() {
        let root = url("s3://bucket/data");
        assert_eq!(url("s3://bucket/data/a/b").path_below(&root), Some("a/b"));
        assert_eq!(url("s3://bucket/data").path_below(&root), Some(""));
        assert_eq!(url("s3://bucket/data2/a").path_below(&root), None);
        assert_eq!(url("s3://other/data/a").path_below(&root), None);
        assert_eq!(url("s3://bucket/a").path_below(&url("s3://bucket")), Some("a"));
        assert_eq!(root.join("a").path_below(&root), Some("a"));
    }
}
