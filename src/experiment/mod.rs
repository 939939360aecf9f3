//! Floor 7: configuration, and the run that follows from it.
