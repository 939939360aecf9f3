//! Floor 2: concurrency. Knows no MRI, no file, no tensor.
