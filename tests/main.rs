//! Every integration test in one binary, so that the crate links once.
#![allow(missing_docs)]

mod architecture;
#[cfg(feature = "train")]
mod networks;
mod oracles;
