//! Floor 0: errors, files, keyed randomness, fingerprints and progress, for every other floor.

pub mod error;
pub mod fingerprint;
pub mod fs;
pub mod machine;
pub mod progress;
pub mod seed;
pub mod text;
