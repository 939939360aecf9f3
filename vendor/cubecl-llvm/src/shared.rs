//! What all targets have in common.

/// What a device advertises, narrowed to what the LLVM compiler can lower.
pub mod lowered_features {
    use cubecl_core::ir::DeviceProperties;

    /// A kind of GPU.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum GpuTarget {
        /// NVIDIA GPUs.
        #[cfg(feature = "nvptx")]
        Nvptx,
    }

    /// Leaves the properties alone: no kernel is compiled here, so none can ask for too much.
    pub fn restrict_features(_properties: &mut DeviceProperties, _target: GpuTarget) {}
}
