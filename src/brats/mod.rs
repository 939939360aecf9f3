//! Floor 2: BraTS on disk.
