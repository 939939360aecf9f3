//! Reading of one object, over as many requests as it takes, all of them for one state of it.
//!
//! Where a server has ETags, the client reads a broken body on by itself, but tells a changed object like a broken
//! line. A request from here tells the two apart, and reads on where there is no ETag.

use std::io;

use futures_util::StreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{Error, GetOptions, GetRange, ObjectStore};

use crate::base::{CaseError, Reason};
use crate::storage::client::failure::{is_final, to_case_error};
use crate::storage::client::{PAUSE, remote_file};
use crate::storage::object_url::ObjectUrl;
use crate::storage::remote_file::RemoteFile;

/// Requests in a row that may bring no byte. Each of them is tried again by the client for a while.
const FRUITLESS_REQUESTS: u32 = 3;

/// Reader of the beginning of an object.
pub(super) struct ObjectReader<'a> {
    url: &'a ObjectUrl,
    listed: &'a RemoteFile,
    /// Bytes to read.
    length: u64,
    /// Bytes read so far.
    done: u64,
}

/// End of one request's body.
enum BodyEnd {
    /// Error of a body that broke off, or did not come.
    Broken(Error),
    /// The error that no further request mends.
    Final(CaseError),
}

impl<'a> ObjectReader<'a> {
    pub(super) const fn new(url: &'a ObjectUrl, listed: &'a RemoteFile, length: u64) -> Self {
        Self { url, listed, length, done: 0 }
    }

    /// Hands every byte to `visit`, once and in order.
    ///
    /// # Errors
    /// If the server refuses or stays away, the object has changed since it was listed, or `visit` fails.
    pub(super) async fn read_all(
        &mut self,
        store: &dyn ObjectStore,
        path: &ObjectPath,
        visit: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), CaseError> {
        let mut fruitless = 0;
        while self.done < self.length {
            let before = self.done;
            let error = match self.read_body(store, path, visit).await {
                Ok(()) => continue,
                Err(BodyEnd::Final(error)) => return Err(error),
                Err(BodyEnd::Broken(error)) => error,
            };
            fruitless = if self.done > before { 1 } else { fruitless + 1 };
            if fruitless > FRUITLESS_REQUESTS {
                return Err(to_case_error(self.url, &error));
            }
            tracing::debug!("{}: {error}; read on from byte {}", self.url, self.done);
            tokio::time::sleep(PAUSE * fruitless).await;
        }
        Ok(())
    }

    /// Reads on where the last body ended.
    async fn read_body(
        &mut self,
        store: &dyn ObjectStore,
        path: &ObjectPath,
        visit: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), BodyEnd> {
        let is_whole = self.done == 0 && self.length == self.listed.bytes;
        let options = GetOptions {
            // A body that is read on must not be that of another state.
            if_match: self.listed.tag.clone(),
            version: self.listed.version.clone(),
            range: (!is_whole).then_some(GetRange::Bounded(self.done..self.length)),
            ..GetOptions::default()
        };
        let answer = store.get_opts(path, options).await.map_err(|error| self.sort_error(error))?;
        // Servers exist that pass over the condition.
        if !self.listed.is_unchanged(&remote_file(answer.meta.clone())) {
            return Err(BodyEnd::Final(self.changed_error()));
        }
        let mut body = answer.into_stream();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| self.sort_error(error))?;
            let left = usize::try_from(self.length - self.done).unwrap_or(usize::MAX);
            let wanted = &piece[..piece.len().min(left)];
            visit(wanted).map_err(|error| {
                BodyEnd::Final(CaseError::new(
                    Reason::Io,
                    self.url,
                    format!("its copy could not be written ({error})"),
                    "check free space and permissions",
                ))
            })?;
            self.done += wanted.len() as u64;
        }
        match self.done == self.length {
            true => Ok(()),
            false => Err(BodyEnd::Broken(Error::Generic {
                store: "object",
                source: format!("the body ended after {} of {} bytes", self.done, self.length)
                    .into(),
            })),
        }
    }

    fn sort_error(&self, error: Error) -> BodyEnd {
        match error {
            Error::Precondition { .. } => BodyEnd::Final(self.changed_error()),
            error if is_final(&error) => BodyEnd::Final(to_case_error(self.url, &error)),
            error => BodyEnd::Broken(error),
        }
    }

    fn changed_error(&self) -> CaseError {
        let problem = "has changed since it was listed, and half of each state is nothing";
        let remedy = "start again once nobody writes to it: it is listed anew";
        CaseError::new(Reason::Checksum, self.url, problem, remedy)
    }
}
