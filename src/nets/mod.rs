//! Floor 4: networks as pure functions of tensors.
