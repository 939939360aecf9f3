//! Floor 0: errors, files, threads, keyed randomness, fingerprints, the schema of settings and
//! progress, for every other floor.

pub mod cgroup;
pub mod error;
pub mod files;
pub mod fingerprint;
pub mod fs;
pub mod lock;
pub mod machine;
pub mod memory;
pub mod progress;
pub mod schema;
pub mod seed;
pub mod text;
pub mod thread;
