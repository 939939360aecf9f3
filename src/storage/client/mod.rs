//! Client of object storage, on the crate `object_store`: requests are tried again for a while, and a body
//! that breaks off is read on from there, a listing taken anew.
//!
//! Callers are threads of the operating system that wait for an answer. The futures run on the calling thread;
//! connections live on one thread of their own, which is started with the first request.

mod aws_files;
mod failure;
mod object_reader;
mod stores;

use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};

use crate::base::{CaseError, Reason};
use crate::storage::client::failure::{is_interrupted, to_case_error};
use crate::storage::client::object_reader::ObjectReader;
use crate::storage::client::stores::{OpenStore, open_store};
use crate::storage::object_url::ObjectUrl;
use crate::storage::remote_file::RemoteFile;

/// Objects that one listing holds at most, some 300 bytes each.
const MAX_OBJECTS: usize = 5_000_000;

/// Listings of a prefix that may break off in a row.
const MAX_BROKEN_LISTINGS: u32 = 3;

/// Pause ahead of the first request that is repeated from here, and so much more ahead of each further one.
const PAUSE: Duration = Duration::from_millis(200);

/// Lists every object under a prefix. A listing that breaks off is taken anew, from its first page: some stores
/// have no order in which it could go on.
pub(super) fn list_objects(root: &ObjectUrl) -> Result<Vec<RemoteFile>, CaseError> {
    let OpenStore { store, runtime } = open_store(root)?;
    let prefix = object_path(root)?;
    let found = runtime.block_on(async {
        let mut broken = 0;
        loop {
            match list_once(store.as_ref(), &prefix).await {
                Err(error) if is_interrupted(&error) && broken < MAX_BROKEN_LISTINGS => {
                    broken += 1;
                    tracing::debug!("{root}: {error}; listed again");
                    tokio::time::sleep(PAUSE * broken).await;
                }
                listed => return listed.map_err(|error| to_case_error(root, &error)),
            }
        }
    })?;
    if found.len() > MAX_OBJECTS {
        let problem = format!("more than {MAX_OBJECTS} objects are under it");
        let remedy = "name the prefix that holds the case folders";
        return Err(CaseError::new(Reason::Format, root, problem, remedy));
    }
    Ok(found)
}

/// Lists a prefix, and ends behind the first object that is too many.
async fn list_once(
    store: &dyn ObjectStore,
    prefix: &ObjectPath,
) -> Result<Vec<RemoteFile>, object_store::Error> {
    let mut found = Vec::new();
    let mut pages = store.list(Some(prefix));
    while let Some(object) = pages.next().await {
        found.push(remote_file(object?));
        if found.len() > MAX_OBJECTS {
            break;
        }
    }
    Ok(found)
}

/// Asks for an object; `None` if there is none.
pub(super) fn find_object(url: &ObjectUrl) -> Result<Option<RemoteFile>, CaseError> {
    if url.key.is_empty() {
        return Ok(None);
    }
    let OpenStore { store, runtime } = open_store(url)?;
    let path = object_path(url)?;
    match runtime.block_on(store.head(&path)) {
        Ok(object) => Ok(Some(remote_file(object))),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(to_case_error(url, &error)),
    }
}

/// Hands the first `length` bytes of an object to `visit`, in pieces of the server's sizes and all of one
/// state: that in which it was listed.
pub(super) fn read_object(
    url: &ObjectUrl,
    listed: &RemoteFile,
    length: u64,
    visit: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), CaseError> {
    let OpenStore { store, runtime } = open_store(url)?;
    let path = object_path(url)?;
    let mut reader = ObjectReader::new(url, listed, length);
    runtime.block_on(reader.read_all(store.as_ref(), &path, visit))
}

/// Writes an object, which is there whole or not at all.
pub(super) fn write_object(url: &ObjectUrl, bytes: Vec<u8>) -> Result<(), CaseError> {
    let OpenStore { store, runtime } = open_store(url)?;
    let path = object_path(url)?;
    let written = runtime.block_on(store.put(&path, PutPayload::from(bytes)));
    written.map(drop).map_err(|error| to_case_error(url, &error))
}

fn object_path(url: &ObjectUrl) -> Result<ObjectPath, CaseError> {
    ObjectPath::parse(&url.key).map_err(|error| {
        let problem = format!("is no key ({error})");
        CaseError::new(Reason::Format, url, problem, "rename the object")
    })
}

fn remote_file(object: ObjectMeta) -> RemoteFile {
    RemoteFile {
        key: object.location.to_string(),
        bytes: object.size,
        modified_ns: object.last_modified.timestamp_nanos_opt().unwrap_or(0),
        tag: object.e_tag,
        version: object.version,
    }
}
