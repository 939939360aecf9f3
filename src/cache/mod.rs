//! Floor 2: immutable, memory-mapped case files.
//!
//! [`contents::prepare`] turns a decoded case into what a file holds, [`store::CaseStore`] publishes
//! and finds files, [`map::MappedCase`] reads one. A teacher's labels lie beside a case file, in a file
//! of their own ([`annotation`]). The bytes are specified in `cache/README.md`.
//! Nothing here decodes NIfTI, draws patches or prints.

pub mod annotation;
mod compose;
pub mod contents;
pub mod encode;
pub mod error;
mod flaw;
pub mod foreground;
pub mod format;
pub mod map;
mod parse;
pub mod preprocess;
pub mod quarantine;
pub mod source;
pub mod statistics;
pub mod store;
pub mod upkeep;
mod writer;
