//! Errors, in turso's variants.

use std::fmt;
use std::io;

/// Refusal of a call.
#[derive(Debug)]
pub enum Error {
    /// Another process writes; never here.
    Busy(String),
    /// Another process wrote meanwhile; never here.
    BusySnapshot(String),
    /// Refusal of the file system, and what was tried.
    IoError(io::ErrorKind, &'static str),
    /// Anything else, in words.
    Error(String),
}

impl Error {
    /// Refusal of the file system.
    pub(crate) fn of_io(error: &io::Error, tried: &'static str) -> Self {
        Self::IoError(error.kind(), tried)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(text) | Self::BusySnapshot(text) | Self::Error(text) => {
                formatter.write_str(text)
            }
            Self::IoError(kind, tried) => write!(formatter, "{tried}: {kind}"),
        }
    }
}

impl std::error::Error for Error {}
