//! Networks, losses, optimisers and sliding windows agree with PyTorch and MONAI.
//!
//! `fixtures/oracles` holds the figures, made by `scripts/oracles`; inputs and weights are rebuilt from
//! counters.
#![allow(clippy::unwrap_used)] // a helper of a test may fail like the test itself

#[path = "oracles/augmentation.rs"]
mod augmentation;
#[cfg(feature = "train")]
#[path = "oracles/cascaded.rs"]
mod cascaded;
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
#[path = "oracles/resampling.rs"]
mod resampling;
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
#[path = "oracles/zscore.rs"]
mod zscore;
