//! Losses: the paper's, and those of one's own.

pub use crate::train::{
    DiceBceLoss, LossEntry, LossParts, RegionLoss, RegionTargets, SoftenedMembers, list_losses,
    register_loss,
};
