//! Dilation of a mask by the 18 neighbours that share a face or an edge, as
//! `scipy.ndimage.binary_dilation` does with `generate_binary_structure(3, 2)`.

use crate::volume::Dims;

/// The mask and everything that shares a face or an edge with it, `times` over. What would lie
/// beyond the grid is lost. Memory order `[d, h, w]`.
///
/// # Panics
/// If there are not as many values as voxels.
pub(super) fn dilate(mask: &[bool], dims: Dims, times: usize) -> Vec<bool> {
    assert_eq!(mask.len(), dims.voxel_count(), "one value per voxel");
    let mut grown = mask.to_vec();
    for _ in 0..times {
        // Two axes at a time: all that can be reached without crossing a corner.
        let along_x = dilate_along(&grown, dims, 2);
        let along_y = dilate_along(&grown, dims, 1);
        let planes = [
            dilate_along(&along_x, dims, 1),
            dilate_along(&along_x, dims, 0),
            dilate_along(&along_y, dims, 0),
        ];
        let [xy, xz, yz] = &planes;
        for (place, set) in grown.iter_mut().enumerate() {
            *set = xy[place] || xz[place] || yz[place];
        }
    }
    grown
}

/// The mask and its neighbours on either side along one axis (0 is z).
fn dilate_along(mask: &[bool], dims: Dims, axis: usize) -> Vec<bool> {
    let stride: usize = dims.0[axis + 1..].iter().product();
    let mut out = mask.to_vec();
    let blocks = mask.chunks_exact(stride * dims.0[axis]);
    for (block, wider) in blocks.zip(out.chunks_exact_mut(stride * dims.0[axis])) {
        let last = block.len() - stride;
        for (to, from) in wider[stride..].iter_mut().zip(&block[..last]) {
            *to |= from;
        }
        for (to, from) in wider[..last].iter_mut().zip(&block[stride..]) {
            *to |= from;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_voxel_becomes_itself_and_its_18_neighbours() {
        let dims = Dims::cube(5);
        let mut mask = vec![false; 125];
        mask[dims.offset_from_zyx([2, 2, 2])] = true;
        let grown = dilate(&mask, dims, 1);
        assert_eq!(grown.iter().filter(|&&set| set).count(), 19);
        assert!(grown[dims.offset_from_zyx([1, 2, 3])] && !grown[dims.offset_from_zyx([1, 1, 1])]);
        assert_eq!(dilate(&mask, dims, 0), mask);
    }

    proptest! {
        #[test]
        fn two_steps_reach_what_two_steps_of_the_definition_reach(
            (dims, mask) in (1usize..5, 1usize..5, 1usize..6).prop_flat_map(|(d, h, w)| {
                let mask = proptest::collection::vec(proptest::bool::weighted(0.1), d * h * w);
                (Just(Dims([d, h, w])), mask)
            }),
        ) {
            let once = |mask: &[bool]| -> Vec<bool> {
                let near = |a: usize, b: usize| {
                    let (a, b): ([usize; 3], [usize; 3]) = (dims.zyx_from_offset(a), dims.zyx_from_offset(b));
                    let apart: Vec<usize> = (0..3).map(|axis| a[axis].abs_diff(b[axis])).collect();
                    apart.iter().all(|&along| along <= 1) && apart.iter().sum::<usize>() <= 2
                };
                let reached = |to| (0..mask.len()).any(|from| mask[from] && near(from, to));
                (0..mask.len()).map(reached).collect()
            };
            prop_assert_eq!(dilate(&mask, dims, 2), once(&once(&mask)));
        }
    }
}
