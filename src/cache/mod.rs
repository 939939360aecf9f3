//! Floor 2: immutable, memory-mapped case files.
