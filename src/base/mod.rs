//! Floor 0: errors, files, threads, keyed randomness, fingerprints, the schema of settings and
//! progress, for every other floor.

mod allocator;
mod cgroup;
mod error;
mod files;
mod fingerprint;
pub mod fs;
mod lock;
mod machine;
mod memory;
mod progress;
mod registry;
mod schema;
mod seed;
mod text;
mod thread;
mod user_cache;

pub use allocator::{HugePageAllocator, keep_freed_memory};
pub use cgroup::memory_limit;
pub use error::{CaseError, Fault, OF_CASE, Reason};
pub use files::{
    DRAFT_END, can_sync_folder, rename_synced, replace_file_with, sync_folder, sync_to_disk,
};
pub use files::{end_of_last_line, write_atomically, write_json};
pub use fingerprint::{Fingerprint, Fingerprinter};
pub use lock::{LockOutcome, has_locks, lock_exclusive, lock_shared, try_lock_exclusive};
pub use machine::{core_count, open_file_limit, raise_open_file_limit};
pub use memory::{
    FREE_MEMORY, OutOfMemory, collect_values, reserve_values, resize_for_overwrite, zeroed_values,
};
pub use progress::{Progress, ProgressTask, SilentProgress};
pub use registry::{Registry, RegistryEntry};
pub use schema::{ConfigError, check_ranges, check_value, join_path, parse_settings, range_text};
pub use schema::{replace_neutral_settings, schema_of};
pub use seed::{Domain, KeyedRng, SampleKey};
pub use text::{
    capitalize_first, format_bytes, format_date, format_digits, format_duration, format_percent,
    format_rate, format_step_time,
};
pub use text::{format_thousands, without_control_characters};
pub use thread::spawn_named;
pub use user_cache::user_cache_folder;
