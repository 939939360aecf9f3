//! Prefix of object storage that files are copied to and from.

use std::io;
use std::path::Path;

use crate::base::{CaseError, Reason};
use crate::storage::client;
use crate::storage::object_url::ObjectUrl;
use crate::storage::remote_file::RemoteFile;

/// Prefix of object storage.
#[derive(Debug, Clone)]
pub struct ObjectFolder {
    url: ObjectUrl,
}

/// Object under an [`ObjectFolder`].
#[derive(Debug, Clone)]
pub struct StoredObject {
    /// Path from the folder, with `/` between names.
    pub name: String,
    file: RemoteFile,
}

impl StoredObject {
    /// Length in bytes.
    pub const fn bytes(&self) -> u64 {
        self.file.bytes
    }
}

impl ObjectFolder {
    /// Names a prefix, such as `s3://bucket/prefix`; the server is not asked.
    ///
    /// # Errors
    /// If it is no URL of object storage.
    pub fn new(url: &Path) -> Result<Self, CaseError> {
        let found = ObjectUrl::of_path(url).map(|url| Self { url });
        found.ok_or_else(|| {
            let problem = "is no URL of object storage";
            CaseError::new(Reason::Format, url.display(), problem, "write it as s3://bucket/prefix")
        })
    }

    /// Lists every object under the prefix; none is no error.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn list_objects(&self) -> Result<Vec<StoredObject>, CaseError> {
        let objects = client::list_objects(&self.url)?;
        let stored = objects.into_iter().filter_map(|file| {
            let url = ObjectUrl { store: self.url.store.clone(), key: file.key.clone() };
            let name = url.path_below(&self.url)?.to_owned();
            Some(StoredObject { name, file })
        });
        Ok(stored.collect())
    }

    /// Reads an object in pieces, as it was listed.
    ///
    /// # Errors
    /// If it cannot be read, has changed since, or `visit` fails.
    pub fn read_object(
        &self,
        object: &StoredObject,
        mut visit: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), CaseError> {
        let url = self.url.join(&object.name);
        client::read_object(&url, &object.file, object.file.bytes, &mut visit)
    }

    /// Writes an object, which is there whole or not at all.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn write_object(&self, name: &str, bytes: Vec<u8>) -> Result<(), CaseError> {
        client::write_object(&self.url.join(name), bytes)
    }
}

impl std::fmt::Display for ObjectFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.url.fmt(f)
    }
}
