//! Floor 0: errors, keyed randomness, fingerprints, progress, files and threads, for every other
//! floor.

pub mod error;
pub mod files;
pub mod fingerprint;
pub mod progress;
pub mod schema;
pub mod seed;
pub mod thread;
