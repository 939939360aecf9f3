//! Listings of the data that a cache was built from, beside its case files: with them a run needs the cache alone.

use std::path::{Path, PathBuf};

use crate::base::{CaseError, Fault, Reason, fs, write_atomically};
use crate::cache::known_places::KnownPlace;
use crate::cache::{CacheError, CaseStore, MappedCase, Verify};
use crate::storage::{self, LISTING_EXTENSION, ObjectFolder, RecordedListing, StoredObject};

/// Folder of the listings, in a cache and under a prefix.
const LISTINGS: &str = "listings";

impl CaseStore {
    /// Lists the folder `data`, from which cases of the cache were built, and writes the listing to `target`, with what the
    /// cache knows of the content of its files; returns its name there. An earlier one of the same name is replaced.
    ///
    /// # Errors
    /// If the folder cannot be listed or is in object storage itself, the cache cannot be read, or the server refuses.
    pub fn push_listing(&self, target: &ObjectFolder, data: &Path) -> Result<String, CacheError> {
        if storage::is_remote(data) {
            let problem = "is in object storage, where every machine can list it";
            let remedy = "leave --data out, and train with --data and this URL";
            return Err(CaseError::new(Reason::Format, data.display(), problem, remedy).into());
        }
        let listing = RecordedListing::of_folder(data)?;
        let folder = listing.folder().file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{LISTINGS}/{folder}.{LISTING_EXTENSION}");
        // First, so that no listing is there whose files nobody knows.
        let places = self.places_below(listing.folder())?;
        target.write_object(&places_name(&name), places_to_json(&places))?;
        target.write_object(&name, listing.to_json())?;
        Ok(name)
    }

    /// Places of files below a folder whose content a case file or `places.jsonl` tells. A pushed case may lie there
    /// from another place than this one, and says nothing about these files then.
    fn places_below(&self, folder: &Path) -> Result<Vec<KnownPlace>, Fault> {
        let mut places = self.places.below(folder);
        for path in self.case_files()? {
            let Ok(case) = MappedCase::open(&path, Verify::Header) else { continue };
            let Some(source) = case.source_state() else { continue };
            if Path::new(&source.folder).starts_with(folder) {
                let (id, content) = (case.id().clone(), case.fingerprint());
                places.push(KnownPlace { case: id, content, source: source.clone() });
            }
        }
        places.sort_by(|one, other| {
            (&one.case, &one.source.state.0).cmp(&(&other.case, &other.source.state.0))
        });
        places.dedup();
        Ok(places)
    }

    /// Copies the listings under `source` into the cache, over earlier ones; returns their files.
    ///
    /// # Errors
    /// If the disk does not take them, the server refuses, or one is damaged.
    pub fn pull_listings(&self, source: &ObjectFolder) -> Result<Vec<PathBuf>, CacheError> {
        let mut files = Vec::new();
        let objects = source.list_objects()?;
        for object in &objects {
            let below = object.name.strip_prefix(LISTINGS);
            let Some(name) = below.and_then(|below| below.strip_prefix('/')) else { continue };
            let stem = name.strip_suffix(LISTING_EXTENSION).and_then(|stem| stem.strip_suffix('.'));
            if stem.is_none_or(|stem| stem.contains('/') || stem.starts_with('.')) {
                continue;
            }
            let bytes = read_object(source, object)?;
            let at = format!("{source}/{}", object.name);
            RecordedListing::from_json(&bytes, &at)?;
            let places = places_name(&object.name);
            if let Some(places) = objects.iter().find(|object| object.name == places) {
                self.places.take_over(places_from_json(&read_object(source, places)?, &at)?);
            }
            let folder = self.root().join(LISTINGS);
            fs::create_dir_all(&folder).map_err(Fault::from)?;
            let file = folder.join(name);
            write_atomically(&file, &bytes)?;
            files.push(file);
        }
        Ok(files)
    }
}

/// Name of the object beside a listing that says what the cache knows of its files.
fn places_name(listing: &str) -> String {
    format!("{}.places", listing.trim_end_matches(LISTING_EXTENSION).trim_end_matches('.'))
}

fn places_to_json(places: &[KnownPlace]) -> Vec<u8> {
    serde_json::to_vec(places).expect("texts and fingerprints serialise to JSON")
}

fn places_from_json(bytes: &[u8], listing: &str) -> Result<Vec<KnownPlace>, CaseError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let problem = format!("has no places of its files beside it ({error})");
        let remedy = "make it again with `gliaflow cache push --data DIR`";
        CaseError::new(Reason::Format, listing, problem, remedy)
    })
}

fn read_object(source: &ObjectFolder, object: &StoredObject) -> Result<Vec<u8>, CaseError> {
    let mut bytes = Vec::new();
    source.read_object(object, |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(bytes)
}
