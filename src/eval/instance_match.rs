//! One-to-one matching of two segmentations' components by the greatest sum of their Dice coefficients, as
//! `MaxBipartiteMatching` of panoptica does it (Kofler et al. 2023, "Panoptica – instance-wise evaluation of 3D
//! semantic and instance segmentation maps").

use std::collections::BTreeMap;

use crate::eval::{Components, Hd95, LesionScore};
use crate::volume::Dims;

/// Dice that a pair needs to be matched: `matching_threshold` in the configurations of BraTS 2025. It is also what
/// panoptica charges for a pair that is not matched, so that a pair is worth its Dice and this much.
const LEAST_DICE: f64 = 1e-6;

/// Components of truth and prediction, and which of them belong together.
pub(super) struct MatchedInstances {
    truth: Components,
    predicted: Components,
    dims: Dims,
    pairs: Vec<InstancePair>,
}

/// Component of the truth with that of the prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
struct InstancePair {
    truth: usize,
    predicted: usize,
    dice: f64,
}

impl MatchedInstances {
    /// Matches the components, by 26 neighbours, of two masks in memory order `[d, h, w]`.
    ///
    /// # Panics
    /// If there are not as many values as voxels.
    pub(super) fn match_masks(truth: &[bool], prediction: &[bool], dims: Dims) -> Self {
        let [truth, predicted] = [truth, prediction].map(|mask| Components::of_mask(mask, dims));
        let overlaps = overlapping_pairs(&truth, &predicted, dims);
        let mut weights = vec![vec![0.0; predicted.count()]; truth.count()];
        for pair in overlaps.iter().filter(|pair| pair.dice >= LEAST_DICE) {
            weights[pair.truth][pair.predicted] = pair.dice + LEAST_DICE;
        }
        let partners = assign_greatest(&weights);
        let is_chosen = |pair: &InstancePair| {
            pair.dice >= LEAST_DICE && partners[pair.truth] == Some(pair.predicted)
        };
        let pairs = overlaps.into_iter().filter(is_chosen).collect();
        Self { truth, predicted, dims, pairs }
    }

    /// Scores of the region: means over the pairs, `penalty_mm` where components have no pair at all.
    pub(super) fn score_region(&self, spacing_mm: [f64; 3], penalty_mm: f64) -> LesionScore {
        let [lesions, predicted] = [self.truth.count(), self.predicted.count()];
        let found = self.pairs.len();
        let (mut dice, mut hd95_mm) = (0.0, 0.0);
        for pair in &self.pairs {
            let [true_mask, found_mask] = self.pair_masks(*pair);
            dice += pair.dice;
            hd95_mm += Hd95::Medpy.between_masks(&true_mask, &found_mask, self.dims, spacing_mm);
        }
        (dice, hd95_mm) = match found {
            0 if lesions + predicted == 0 => (1.0, 0.0),
            0 => (0.0, penalty_mm),
            _ => (dice / found as f64, hd95_mm / found as f64),
        };
        let (missed, spurious) = (lesions - found, predicted - found);
        LesionScore { dice, hd95_mm, lesions, counted: lesions, missed, spurious }
    }

    /// Masks of the two components of a pair.
    fn pair_masks(&self, pair: InstancePair) -> [Vec<bool>; 2] {
        [(&self.truth, pair.truth), (&self.predicted, pair.predicted)].map(|(all, number)| {
            let mut mask = vec![false; self.dims.voxel_count()];
            let own = all.voxel_runs().filter(|(component, _)| *component == number);
            own.for_each(|(_, places)| mask[places].fill(true));
            mask
        })
    }
}

/// Pairs of components that share a voxel, by number.
fn overlapping_pairs(truth: &Components, predicted: &Components, dims: Dims) -> Vec<InstancePair> {
    let mut component_at: Vec<Option<u32>> = vec![None; dims.voxel_count()];
    let mut sizes = [vec![0_usize; truth.count()], vec![0; predicted.count()]];
    for (number, places) in truth.voxel_runs() {
        sizes[0][number] += places.len();
        component_at[places].fill(Some(number as u32));
    }
    let mut shared: BTreeMap<[usize; 2], usize> = BTreeMap::new();
    for (number, places) in predicted.voxel_runs() {
        sizes[1][number] += places.len();
        for own in component_at[places].iter().flatten() {
            *shared.entry([*own as usize, number]).or_default() += 1;
        }
    }
    let dice_of = |([truth, predicted], both): ([usize; 2], usize)| {
        let all = sizes[0][truth] + sizes[1][predicted];
        InstancePair { truth, predicted, dice: 2.0 * both as f64 / all as f64 }
    };
    shared.into_iter().map(dice_of).collect()
}

/// Column of each row in the assignment whose weights have the greatest sum, no column twice; `None` where a
/// row is left over. The Hungarian method with potentials, in rows² · columns (Kuhn 1955; the crate that has it,
/// `pathfinding`, brings six others along for these lines).
fn assign_greatest(weights: &[Vec<f64>]) -> Vec<Option<usize>> {
    let rows = weights.len();
    let columns = weights.first().map_or(0, Vec::len);
    // As many columns of weight 0 as rows, so that a row may stay alone.
    let width = columns + rows;
    let cost = |row: usize, column: usize| {
        if column < columns { -weights[row][column] } else { 0.0 }
    };
    let mut row_potentials = vec![0.0; rows];
    let mut column_potentials = vec![0.0; width];
    let mut row_of: Vec<Option<usize>> = vec![None; width];
    for first in 0..rows {
        let mut row = first;
        let mut came_from: Vec<Option<usize>> = vec![None; width];
        let mut slack = vec![f64::INFINITY; width];
        let mut is_done = vec![false; width];
        let mut previous = None;
        // Columns are reached in the order of their distance until one is free.
        let end = loop {
            let mut nearest = None;
            let mut least = f64::INFINITY;
            for column in (0..width).filter(|column| !is_done[*column]) {
                let reduced = cost(row, column) - row_potentials[row] - column_potentials[column];
                if reduced < slack[column] {
                    slack[column] = reduced;
                    came_from[column] = previous;
                }
                if slack[column] < least {
                    least = slack[column];
                    nearest = Some(column);
                }
            }
            let Some(column) = nearest else { unreachable!("there is a column for each row") };
            row_potentials[first] += least;
            for (other, is_behind) in is_done.iter().enumerate() {
                match *is_behind {
                    true => {
                        column_potentials[other] -= least;
                        if let Some(owner) = row_of[other] {
                            row_potentials[owner] += least;
                        }
                    }
                    false => slack[other] -= least,
                }
            }
            is_done[column] = true;
            previous = Some(column);
            match row_of[column] {
                Some(owner) => row = owner,
                None => break column,
            }
        };
        let mut column = end;
        while let Some(before) = came_from[column] {
            row_of[column] = row_of[before];
            column = before;
        }
        row_of[column] = Some(first);
    }
    let mut partners = vec![None; rows];
    for (column, row) in row_of.into_iter().enumerate().take(columns) {
        if let Some(row) = row {
            partners[row] = Some(column);
        }
    }
    partners
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Greatest sum of weights over all assignments, by trying them.
    fn greatest_sum(weights: &[Vec<f64>], taken: &mut Vec<usize>) -> f64 {
        let Some((row, rest)) = weights.split_first() else { return 0.0 };
        let mut best = greatest_sum(rest, taken);
        for (column, weight) in row.iter().enumerate() {
            if taken.contains(&column) {
                continue;
            }
            taken.push(column);
            best = best.max(weight + greatest_sum(rest, taken));
            taken.pop();
        }
        best
    }

    #[test]
    fn the_greatest_sum_wins_over_the_greatest_pair() {
        let weights = [vec![0.9, 0.8], vec![0.85, 0.0]];
        assert_eq!(assign_greatest(&weights), [Some(1), Some(0)]);
        assert_eq!(assign_greatest(&[vec![], vec![]]), [None, None]);
        assert_eq!(assign_greatest(&[]), []);
    }

    proptest! {
        #[test]
        fn no_other_assignment_has_a_greater_sum(
            columns in 1_usize..5,
            cells in prop::collection::vec(prop_oneof![Just(0.0), 0.001_f64..1.0], 4 * 5),
            rows in 1_usize..5,
        ) {
            let weights: Vec<Vec<f64>> =
                cells.chunks(5).take(rows).map(|row| row[..columns].to_vec()).collect();
            let partners = assign_greatest(&weights);
            let chosen: Vec<usize> = partners.iter().flatten().copied().collect();
            let distinct: std::collections::BTreeSet<usize> = chosen.iter().copied().collect();
            prop_assert_eq!(distinct.len(), chosen.len());
            let placed = partners.iter().enumerate();
            let sum: f64 = placed.filter_map(|(row, column)| Some(weights[row][(*column)?])).sum();
            let best = greatest_sum(&weights, &mut Vec::new());
            prop_assert!((sum - best).abs() < 1e-9, "{} {}", sum, best);
        }
    }
}
