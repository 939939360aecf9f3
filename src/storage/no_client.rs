//! Stand-in for the client of object storage in builds without the feature `object-store`: every question is
//! the same error.

use std::io;

use crate::base::{CaseError, Reason};
use crate::storage::object_url::ObjectUrl;
use crate::storage::remote_file::RemoteFile;

pub(super) fn list_objects(root: &ObjectUrl) -> Result<Vec<RemoteFile>, CaseError> {
    Err(left_out(root))
}

pub(super) fn find_object(url: &ObjectUrl) -> Result<Option<RemoteFile>, CaseError> {
    Err(left_out(url))
}

pub(super) fn read_object(
    url: &ObjectUrl,
    _: &RemoteFile,
    _: u64,
    _: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), CaseError> {
    Err(left_out(url))
}

pub(super) fn write_object(url: &ObjectUrl, _: Vec<u8>) -> Result<(), CaseError> {
    Err(left_out(url))
}

fn left_out(url: &ObjectUrl) -> CaseError {
    let problem = "this gliaflow was built without object storage";
    let remedy = "build it with `cargo build --release --features object-store`, or copy the files to a folder";
    CaseError::new(Reason::Io, url, problem, remedy)
}
