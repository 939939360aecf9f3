//! NVIDIA GPUs.

/// Versions of PTX.
pub mod ptx_version {
    use std::convert::Infallible;
    use std::fmt;

    /// A PTX version. There is nothing here that could emit one, so it has no value.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct PtxVersion(Infallible);

    impl PtxVersion {
        /// The newest version that a driver loads: always `None`, "not known".
        pub fn for_driver(_version: i32) -> Option<Self> {
            None
        }
    }

    impl fmt::Display for PtxVersion {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.0 {}
        }
    }
}
