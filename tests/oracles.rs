//! Networks, losses, optimisers and sliding windows agree with PyTorch and MONAI.
//!
//! `fixtures/oracles` holds the figures; inputs and weights are rebuilt from counters. What needs
//! whole tensors reads them from `../shared/oracles` and is skipped where that is absent.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[cfg(feature = "train")]
#[path = "oracles/cascaded.rs"]
mod cascaded;
#[cfg(feature = "train")]
#[path = "oracles/counters.rs"]
mod counters;
#[cfg(feature = "train")]
#[path = "oracles/exchange.rs"]
mod exchange;
#[path = "oracles/figures.rs"]
mod figures;
#[cfg(feature = "train")]
#[path = "oracles/loss.rs"]
mod loss;
#[cfg(feature = "train")]
#[path = "oracles/network.rs"]
mod network;
#[cfg(feature = "train")]
#[path = "oracles/optimiser.rs"]
mod optimiser;
#[cfg(feature = "train")]
#[path = "oracles/resunet.rs"]
mod resunet;
#[path = "oracles/sliding.rs"]
mod sliding;
#[cfg(feature = "train")]
#[path = "oracles/trilinear.rs"]
mod trilinear;
#[cfg(feature = "train")]
#[path = "oracles/unet.rs"]
mod unet;
