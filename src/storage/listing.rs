//! Listing of a prefix: every object under it, taken once and asked like a tree of folders.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::base::{CaseError, Reason};
use crate::storage::client;
use crate::storage::object_url::ObjectUrl;
use crate::storage::remote_file::RemoteFile;

/// Listings of this process, the newest last. Paths are values that any thread may ask about, so what they
/// name is known to all of them, as what is on a disk is.
static LISTINGS: RwLock<Vec<Arc<Listing>>> = RwLock::new(Vec::new());

/// Objects under a prefix.
#[derive(Debug)]
pub(super) struct Listing {
    root: ObjectUrl,
    /// Objects by their path from the root.
    files: BTreeMap<String, RemoteFile>,
}

impl Listing {
    /// Lists what is under a prefix, and takes the place of an earlier listing of it.
    pub(super) fn take(root: ObjectUrl) -> Result<Arc<Self>, CaseError> {
        let objects = client::list_objects(&root)?;
        let listing = Arc::new(Self::of_objects(root, objects));
        if listing.files.is_empty() {
            let problem = "there is no object under it";
            let remedy = "check the bucket and the prefix";
            return Err(CaseError::new(Reason::Missing, &listing.root, problem, remedy));
        }
        let mut known = LISTINGS.write();
        known.retain(|other| other.root != listing.root);
        known.push(Arc::clone(&listing));
        Ok(listing)
    }

    fn of_objects(root: ObjectUrl, objects: Vec<RemoteFile>) -> Self {
        let mut files = BTreeMap::new();
        for object in objects {
            let url = ObjectUrl { store: root.store.clone(), key: object.key.clone() };
            // A prefix that is an object as well is a folder's mark, as some tools leave them.
            if let Some(below) = url.path_below(&root).filter(|below| !below.is_empty()) {
                files.insert(below.to_owned(), object);
            }
        }
        Self { root, files }
    }

    /// URL of a path from the root.
    pub(super) fn url_of(&self, below: &str) -> ObjectUrl {
        self.root.join(below)
    }

    /// Object at a path from the root.
    pub(super) fn file(&self, below: &str) -> Option<&RemoteFile> {
        self.files.get(below)
    }

    /// Objects by their path from the root.
    pub(super) const fn files(&self) -> &BTreeMap<String, RemoteFile> {
        &self.files
    }
}

/// Finds the newest listing that covers a URL, and the path of the URL from its root.
pub(super) fn find_listing(url: &ObjectUrl) -> Option<(Arc<Listing>, String)> {
    let known = LISTINGS.read();
    let mut covering = known.iter().rev().filter_map(|listing| {
        let below = url.path_below(&listing.root)?;
        Some((Arc::clone(listing), below.to_owned()))
    });
    covering.next()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn objects_are_known_by_their_path_from_the_prefix() {
        let root = ObjectUrl::of_path(Path::new("s3://bucket/data")).unwrap();
        let keys = [
            "data/a/x.nii",
            "data/a/y.nii",
            "data/a-b/z",
            "data/a0",
            "data/c/d/e",
            "data",
            "other/f",
        ];
        let objects = keys.map(|key| RemoteFile {
            key: key.to_owned(),
            bytes: key.len() as u64,
            modified_ns: 0,
            tag: None,
            version: None,
        });
        let listing = Listing::of_objects(root, objects.into());
        let found: Vec<&str> = listing.files().keys().map(String::as_str).collect();
        assert_eq!(found, ["a-b/z", "a/x.nii", "a/y.nii", "a0", "c/d/e"]);
        assert_eq!(listing.file("a/x.nii").unwrap().key, "data/a/x.nii");
        assert!(listing.file("a").is_none());
        assert_eq!(listing.url_of("c/d/e").to_string(), "s3://bucket/data/c/d/e");
    }
}
