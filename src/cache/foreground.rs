//! Foreground index: a bounded sample of each region's voxels, to centre patches without a scan.

use crate::base::{Domain, Fingerprint, KeyedRng, SampleKey};
use crate::cache::brain_box::SplitLabels;
use crate::volume::RegionSet;

/// Voxels of one region, in memory before a file is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Foreground {
    /// Voxels of the region in the case.
    pub count: u64,
    /// Offsets in the brain box, ascending: all of them, or an unbiased sample.
    pub voxels: Vec<u32>,
}

/// Voxels of one region, borrowed from a mapped file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForegroundView<'a> {
    /// Voxels of the region in the case.
    pub count: u64,
    /// Places in the brain box, ascending.
    pub voxels: &'a [u32],
}

impl Foreground {
    /// Borrows the voxels like those of a mapped file.
    pub fn as_view(&self) -> ForegroundView<'_> {
        ForegroundView { count: self.count, voxels: &self.voxels }
    }
}

/// Indexes the labels of a brain box, at most `cap` voxels a region, in the order of the regions.
///
/// The sample is keyed by the source's fingerprint: the same files give the same index in every
/// run.
///
/// # Panics
/// If there are more labels than u32 can number.
pub fn index_foreground(
    regions: RegionSet,
    labels: &SplitLabels,
    source: Fingerprint,
    cap: u32,
) -> Vec<Foreground> {
    assert!(u32::try_from(labels.inside.len()).is_ok(), "places are stored as u32");
    let membership = regions.membership_table();
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); regions.len()];
    for (place, label) in labels.labelled_inside() {
        let mut inside = membership[usize::from(label)];
        while inside != 0 {
            members[inside.trailing_zeros() as usize].push(place as u32);
            inside &= inside - 1;
        }
    }
    let mut stream = 0;
    let sample = |voxels| {
        stream += 1;
        sample_voxels(
            voxels,
            cap as usize,
            KeyedRng::new(sampling_key(source), Domain::Foreground).with_stream(stream),
        )
    };
    members.into_iter().map(sample).collect()
}

fn sampling_key(source: Fingerprint) -> SampleKey {
    let bits = u128::from_le_bytes(source.0);
    SampleKey { seed: bits as u64, epoch: (bits >> 64) as u64, index: 0 }
}

/// Samples by the first `cap` steps of a Fisher–Yates shuffle: every subset is equally likely.
fn sample_voxels(mut voxels: Vec<u32>, cap: usize, mut rng: KeyedRng) -> Foreground {
    let count = voxels.len();
    if count > cap {
        for place in 0..cap {
            let other = place + rng.uniform_below((count - place) as u64) as usize;
            voxels.swap(place, other);
        }
        voxels.truncate(cap);
        voxels.sort_unstable();
        voxels.shrink_to_fit();
    }
    Foreground { count: count as u64, voxels }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::label;

    const SOURCE: Fingerprint = Fingerprint([3; 16]);

    fn index_of(labels: &[u8], source: Fingerprint, cap: u32) -> [Foreground; 3] {
        let labels = SplitLabels::inside_box(labels.to_vec());
        index_foreground(RegionSet::BRATS, &labels, source, cap).try_into().unwrap()
    }

    #[test]
    fn regions_nest_and_small_ones_are_kept_whole() {
        let labels = [label::ED, 0, label::ET, label::NCR, label::RC, label::ET];
        let [et, tc, wt] = index_of(&labels, SOURCE, 10);
        assert_eq!((et.count, et.voxels), (2, vec![2, 5]));
        assert_eq!((tc.count, tc.voxels), (3, vec![2, 3, 5]));
        assert_eq!((wt.count, wt.voxels), (4, vec![0, 2, 3, 5]));
    }

    #[test]
    fn a_large_region_is_capped_ascending_distinct_and_keyed_by_the_source() {
        let labels = vec![label::ET; 1000];
        let [et, tc, _] = index_of(&labels, SOURCE, 50);
        assert_eq!((et.count, et.voxels.len()), (1000, 50));
        assert!(et.voxels.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(index_of(&labels, SOURCE, 50)[0], et);
        assert_ne!(index_of(&labels, Fingerprint([4; 16]), 50)[0], et);
        assert_ne!(tc.voxels, et.voxels, "regions draw from streams of their own");
    }

    #[test]
    fn every_voxel_is_drawn_equally_often() {
        let labels = vec![label::ET; 20];
        let mut times = [0u32; 20];
        for source in 0..2000u128 {
            for &place in &index_of(&labels, Fingerprint(source.to_le_bytes()), 5)[0].voxels {
                times[place as usize] += 1;
            }
        }
        // 500 expected, standard deviation 19.4.
        assert!(times.iter().all(|&t| (420..580).contains(&t)), "{times:?}");
    }
}
