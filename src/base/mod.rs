//! Floor 0: what every other floor may use. Errors, keyed randomness, fingerprints.

pub mod error;
pub mod fingerprint;
pub mod progress;
pub mod seed;
