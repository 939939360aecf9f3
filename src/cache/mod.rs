//! Floor 3: immutable, memory-mapped case files.
//!
//! [`contents::prepare_case`] preprocesses a decoded case, [`store::CaseStore`] publishes and finds
//! files, [`map::MappedCase`] reads one. A teacher's labels are in a file beside the case file
//! ([`annotation`]). The bytes are specified in `cache/README.md`.

pub mod annotation;
mod brain_box;
mod compose;
pub mod contents;
pub mod description;
pub mod encode;
pub mod error;
mod flaw;
pub mod foreground;
pub mod format;
pub mod histogram;
pub mod map;
mod mapping_faults;
mod parse;
pub mod preprocess;
pub mod quarantine;
mod small_sections;
pub mod source;
pub mod statistics;
pub mod store;
pub mod treatment;
pub mod upkeep;
mod writer;
