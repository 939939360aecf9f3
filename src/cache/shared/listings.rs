//! Listings of the data that a cache was built from, beside its case files: with them a run needs the cache alone.

use std::path::{Path, PathBuf};

use crate::base::{CaseError, Fault, Reason, fs, write_atomically};
use crate::cache::{CacheError, CaseStore};
use crate::storage::{self, LISTING_EXTENSION, ObjectFolder, RecordedListing};

/// Folder of the listings, in a cache and under a prefix.
const LISTINGS: &str = "listings";

impl CaseStore {
    /// Lists the folder `data`, from which cases of the cache were built, and writes the listing to `target`;
    /// returns its name there. An earlier one of the same name is replaced.
    ///
    /// # Errors
    /// If the folder cannot be listed or is in object storage itself, or the server refuses.
    pub fn push_listing(target: &ObjectFolder, data: &Path) -> Result<String, CacheError> {
        if storage::is_remote(data) {
            let problem = "is in object storage, where every machine can list it";
            let remedy = "leave --data out, and train with --data and this URL";
            return Err(CaseError::new(Reason::Format, data.display(), problem, remedy).into());
        }
        let listing = RecordedListing::of_folder(data)?;
        let folder = listing.folder().file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{LISTINGS}/{folder}.{LISTING_EXTENSION}");
        target.write_object(&name, listing.to_json())?;
        Ok(name)
    }

    /// Copies the listings under `source` into the cache, over earlier ones; returns their files.
    ///
    /// # Errors
    /// If the disk does not take them, the server refuses, or one is damaged.
    pub fn pull_listings(&self, source: &ObjectFolder) -> Result<Vec<PathBuf>, CacheError> {
        let mut files = Vec::new();
        for object in source.list_objects()? {
            let below = object.name.strip_prefix(LISTINGS);
            let Some(name) = below.and_then(|below| below.strip_prefix('/')) else { continue };
            let stem = name.strip_suffix(LISTING_EXTENSION).and_then(|stem| stem.strip_suffix('.'));
            if stem.is_none_or(|stem| stem.contains('/') || stem.starts_with('.')) {
                continue;
            }
            let mut bytes = Vec::new();
            source.read_object(&object, |piece| {
                bytes.extend_from_slice(piece);
                Ok(())
            })?;
            RecordedListing::from_json(&bytes, format_args!("{source}/{}", object.name))?;
            let folder = self.root().join(LISTINGS);
            fs::create_dir_all(&folder).map_err(Fault::from)?;
            let file = folder.join(name);
            write_atomically(&file, &bytes)?;
            files.push(file);
        }
        Ok(files)
    }
}
