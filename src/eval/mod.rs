//! Floor 5: how good a segmentation is.
