//! Floor 0: errors, keyed randomness, fingerprints and progress, for every other floor.

pub mod error;
pub mod fingerprint;
pub mod progress;
pub mod schema;
pub mod seed;
