//! Figures of the paper's Table 1, for comparison with ours.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::volume::{Region, RegionSet};

/// `configs/paper/figures.toml`: mean Dice by row and region.
const FIGURES: &str = include_str!("../../configs/paper/figures.toml");

/// A row of the paper's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaperRow {
    /// U-Net of Isensee et al.
    Unet,
    /// Residual U-Net with a variational autoencoder, of Myronenko.
    ResunetVae,
    /// Cascaded U-Net of Lachinov et al.
    Cascaded,
    /// The three averaged.
    Ensemble,
    /// The student of the ensemble.
    Distilled,
}

impl PaperRow {
    /// Mean Dice on the paper's test set, in the order of [`Region::BRATS`].
    ///
    /// # Panics
    /// Never: the figures are part of the program and tested.
    pub fn printed_dice(self) -> [f64; Region::BRATS.len()] {
        let rows: BTreeMap<Self, BTreeMap<String, f64>> =
            toml::from_str(FIGURES).expect("the figures are part of the program");
        Region::BRATS.map(|region| rows[&self][region.name()])
    }

    /// Mean Dice of a region on the paper's test set; `None` of a region that the paper does not have.
    pub fn region_dice(self, region: &str) -> Option<f64> {
        RegionSet::BRATS.find_region(region).map(|known| self.printed_dice()[known.index()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_every_region() {
        let rows = [
            (PaperRow::Unet, [0.71871, 0.81343, 0.84591]),
            (PaperRow::ResunetVae, [0.72585, 0.80872, 0.86415]),
            (PaperRow::Cascaded, [0.72197, 0.81129, 0.85654]),
            (PaperRow::Ensemble, [0.74916, 0.81733, 0.87682]),
            (PaperRow::Distilled, [0.75187, 0.82661, 0.87074]),
        ];
        for (row, dice) in rows {
            assert_eq!(row.printed_dice(), dice, "{row:?}, as printed: ET, TC, WT");
        }
    }
}
