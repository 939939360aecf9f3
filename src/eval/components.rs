//! Connected components of a mask: voxels that share a face, an edge or a corner (26 neighbours).
//!
//! Rows are cut into runs of set voxels, and runs that touch are united (Hoshen and Kopelman 1976,
//! on runs instead of voxels). A tumour's mask has some thousand runs where it has a million
//! voxels.

use crate::volume::Dims;

/// Rows ahead of a row that can touch it, as steps `[z, y]`.
const ROWS_AHEAD: [[isize; 2]; 4] = [[0, -1], [-1, 0], [-1, -1], [-1, 1]];

/// Set voxels side by side along x: memory places `start..end`.
#[derive(Debug, Clone, Copy)]
struct VoxelRun {
    start: usize,
    end: usize,
    component: usize,
}

/// The components of a mask, numbered from 0 by their first voxels in memory order.
#[derive(Debug, Clone)]
pub struct Components {
    runs: Vec<VoxelRun>,
    sizes: Vec<usize>,
}

impl Components {
    /// Labels a mask in memory order `[d, h, w]`. After one pass over the mask, time and memory
    /// grow with the runs of voxels.
    ///
    /// # Panics
    /// If there are not as many values as voxels.
    pub fn of_mask(mask: &[bool], dims: Dims) -> Self {
        assert_eq!(mask.len(), dims.voxel_count(), "one value per voxel");
        let Dims([depth, height, width]) = dims;
        let mut runs = Vec::new();
        // Runs of row `r` are `row_starts[r]..row_starts[r + 1]`.
        let mut row_starts = Vec::with_capacity(depth * height + 1);
        for row in 0..depth * height {
            row_starts.push(runs.len());
            cut_row(mask, row * width..(row + 1) * width, &mut runs);
        }
        row_starts.push(runs.len());

        let mut forest = DisjointSets((0..runs.len()).collect());
        for row in 0..depth * height {
            let own = row_starts[row]..row_starts[row + 1];
            if own.is_empty() {
                continue;
            }
            let z = (row / height) as isize;
            let y = (row % height) as isize;
            for [step_z, step_y] in ROWS_AHEAD {
                let at_z = z + step_z;
                let at_y = y + step_y;
                if at_z < 0 || at_y < 0 || at_y >= height as isize {
                    continue;
                }
                let other = at_z as usize * height + at_y as usize;
                let shift = (row - other) * width;
                let ahead = row_starts[other]..row_starts[other + 1];
                unite_touching(&runs, own.clone(), ahead, shift, &mut forest);
            }
        }
        Self::number_components(runs, &mut forest)
    }

    /// Gives each tree of the forest its number.
    fn number_components(mut runs: Vec<VoxelRun>, forest: &mut DisjointSets) -> Self {
        let mut sizes: Vec<usize> = Vec::new();
        for place in 0..runs.len() {
            let root = forest.find_root(place);
            if root == place {
                runs[place].component = sizes.len();
                sizes.push(0);
            } else {
                // Roots are the first of their trees, so this one has its number.
                runs[place].component = runs[root].component;
            }
            sizes[runs[place].component] += runs[place].end - runs[place].start;
        }
        Self { runs, sizes }
    }

    /// Voxels of each component.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Number of components.
    pub fn count(&self) -> usize {
        self.sizes.len()
    }

    /// Runs of the components' voxels: component number and range of memory offsets, in memory
    /// order.
    pub fn voxel_runs(&self) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> + '_ {
        self.runs.iter().map(|run| (run.component, run.start..run.end))
    }
}

fn cut_row(mask: &[bool], row: std::ops::Range<usize>, runs: &mut Vec<VoxelRun>) {
    let mut at = row.start;
    while let Some(skipped) = mask[at..row.end].iter().position(|&set| set) {
        let start = at + skipped;
        let length = mask[start..row.end].iter().position(|&set| !set);
        let end = length.map_or(row.end, |length| start + length);
        runs.push(VoxelRun { start, end, component: 0 });
        at = end;
    }
}

/// Unites the runs of two rows that overlap or touch at a corner; `shift` takes a place in the row ahead to the one
/// beside it in our own.
fn unite_touching(
    runs: &[VoxelRun],
    own: std::ops::Range<usize>,
    ahead: std::ops::Range<usize>,
    shift: usize,
    forest: &mut DisjointSets,
) {
    let mut mine = own.start;
    let mut theirs = ahead.start;
    while mine < own.end && theirs < ahead.end {
        let run = runs[mine];
        let other_start = runs[theirs].start + shift;
        let other_end = runs[theirs].end + shift;
        if run.start <= other_end && other_start <= run.end {
            forest.unite_sets(mine, theirs);
        }
        // Runs of a row lie at least a voxel apart: the one that ends first reaches no later one.
        if run.end <= other_end {
            mine += 1;
        } else {
            theirs += 1;
        }
    }
}

/// Disjoint sets of runs, each a tree whose root is its first run.
struct DisjointSets(Vec<usize>);

impl DisjointSets {
    fn find_root(&mut self, mut place: usize) -> usize {
        while self.0[place] != place {
            // Halving the path on the way keeps trees flat.
            self.0[place] = self.0[self.0[place]];
            place = self.0[place];
        }
        place
    }

    fn unite_sets(&mut self, one: usize, other: usize) {
        let one = self.find_root(one);
        let other = self.find_root(other);
        self.0[one.max(other)] = one.min(other);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The number of every voxel's component, as a flood from each voxel finds it.
    fn flooded(mask: &[bool], dims: Dims) -> Vec<Option<usize>> {
        let touch = |a: usize, b: usize| {
            let (a, b): ([usize; 3], [usize; 3]) =
                (dims.zyx_from_offset(a), dims.zyx_from_offset(b));
            let apart: [usize; 3] = std::array::from_fn(|axis| a[axis].abs_diff(b[axis]));
            apart.iter().all(|&along| along <= 1)
        };
        let mut numbers = vec![None; mask.len()];
        let mut count = 0;
        for seed in 0..mask.len() {
            if !mask[seed] || numbers[seed].is_some() {
                continue;
            }
            let mut open = vec![seed];
            numbers[seed] = Some(count);
            while let Some(from) = open.pop() {
                for to in 0..mask.len() {
                    if mask[to] && numbers[to].is_none() && touch(from, to) {
                        numbers[to] = Some(count);
                        open.push(to);
                    }
                }
            }
            count += 1;
        }
        numbers
    }

    fn numbers(components: &Components, dims: Dims) -> Vec<Option<usize>> {
        let mut numbers = vec![None; dims.voxel_count()];
        for (component, places) in components.voxel_runs() {
            numbers[places].fill(Some(component));
        }
        numbers
    }

    #[test]
    fn two_voxels_touch_by_a_face_an_edge_or_a_corner() {
        let dims = Dims([3, 3, 4]);
        for (to, together) in [
            ([1, 1, 2], true),
            ([1, 2, 2], true),
            ([2, 1, 0], true),
            ([2, 0, 1], true),
            ([2, 2, 2], true),
            ([2, 0, 0], true),
            ([1, 1, 3], false),
            ([2, 2, 3], false),
        ] {
            let mut mask = vec![false; dims.voxel_count()];
            mask[dims.offset_from_zyx([1, 1, 1])] = true;
            mask[dims.offset_from_zyx(to)] = true;
            assert_eq!(Components::of_mask(&mask, dims).count() == 1, together, "{to:?}");
        }
    }

    #[test]
    fn rows_ends_do_not_touch_around_the_corner() {
        // The last voxel of a row lies beside the first of the next in memory only.
        let dims = Dims([1, 2, 4]);
        let mask = [false, false, false, true, true, false, false, false];
        assert_eq!(Components::of_mask(&mask, dims).sizes(), [1, 1]);
        let empty = Components::of_mask(&[false; 8], dims);
        assert_eq!((empty.count(), empty.voxel_runs().count()), (0, 0));
        assert_eq!(Components::of_mask(&[true; 8], dims).sizes(), [8]);
    }

    proptest! {
        #[test]
        fn uniting_runs_equals_flooding(
            (dims, mask) in (1usize..5, 1usize..6, 1usize..9).prop_flat_map(|(d, h, w)| {
                let mask = proptest::collection::vec(proptest::bool::weighted(0.4), d * h * w);
                (Just(Dims([d, h, w])), mask)
            }),
        ) {
            let found = Components::of_mask(&mask, dims);
            let expected = flooded(&mask, dims);
            prop_assert_eq!(numbers(&found, dims), expected.clone());
            for (component, &size) in found.sizes().iter().enumerate() {
                let own = expected.iter().filter(|number| **number == Some(component));
                prop_assert_eq!(own.count(), size);
            }
        }
    }
}
