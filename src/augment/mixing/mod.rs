//! Mixing of cases: the region around one case's tumour, carved out with its labels and put at the same place into
//! another case (CarveMix, Zhang et al. 2021, arXiv:2108.06883, and NeuroImage 2023).
//!
//! Region `M` is where the signed distance `D` to the donor's tumour, negative inside, is below `λ`; `λ` is drawn
//! evenly from `-shrink · depth` to 0 in half of the samples and from 0 to `grow · depth` in the others, `depth`
//! being the greatest distance inside. Distances are in mm, as in the authors' `Simple_CarveMix.py`: where voxels
//! are no cubes, a region grows by more voxels along their short edges. They are those between the centres of
//! voxels on the two sides of the tumour's edge; the script takes 1 off each of them.
//!
//! The mixed case has the donor's voxels and labels in `M` and the receiver's elsewhere. No such case is ever made:
//! the sample's patch is rendered from the receiver, the part of it that sees `M` once more from the donor under the
//! same transforms, and the voxels whose nearest one lies in `M` are laid over the first.
//!
//! | | |
//! |---|---|
//! | [`MixingConfig`], [`DrawnMixing`] | settings, and what is drawn for a sample |
//! | [`SquaredDistances`](distances::SquaredDistances) | distance to a tumour, or to what is none |
//! | [`CarvingBuffers`](carving::CarvingBuffers) | the region, cut out of a donor's voxels |
//! | [`Mixer`] | renders the donor's part and lays it over a patch |

mod carving;
mod distances;
mod mixer;
mod patch_part;
mod settings;

pub(in crate::augment) use carving::CarvedVoxel;
pub use mixer::{MixedCases, MixedPatch, Mixer, mixing_bytes};
pub use settings::{DrawnMixing, MixingConfig};
