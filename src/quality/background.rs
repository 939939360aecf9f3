//! Background of an image: the constant around the head, and ringing about it.
//!
//! Stripped and padded images hold one constant around the head. It is looked for where tissue does
//! not reach: on the six faces of the grid. A constant that holds most of the faces, all corners and
//! a good part of the volume is background beyond doubt, whatever its value: an image in which all
//! this is tissue does not exist, and where it is air with little noise it is background all the same.

use serde::Serialize;

use crate::quality::ForegroundRule;
use crate::quality::sorted::{SortedValues, most_frequent};
use crate::quality::surround::{FACE_SHARE, RINGING, Spread, find_surround, measure_spread};
use crate::volume::{Dims, Voxels};

/// Share of the volume that it holds: BraTS has 83 %, a box drawn tightly around a brain 45 %.
const VOLUME_SHARE: f64 = 0.1;
/// Largest share of the other voxels that are 0 where the constant is not: above, 0 is a second
/// background, and which of the two surrounds the brain is the user's to say.
const ZERO_SHARE: f64 = 0.1;
/// Share of the voxels off the surround that a second constant holds at least. No intensity of tissue
/// holds 5 % of it; padding around an image that has a background of its own leaves 70 %.
const SECOND_SHARE: f64 = 0.25;
/// Share of the voxels off the surround that hold neither: below, the second constant is the image.
const OTHERS_SHARE: f64 = 0.05;
/// Share of the faces from which on a constant is worth naming.
const NAMED_SHARE: f64 = 0.1;
/// Distance from the background, as a share of the amplitude, from which on voxels are tissue under
/// the rule `threshold`: twice the ringing.
const THRESHOLD: f64 = 1e-2;

/// Certainty about the value around the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// Background beyond doubt.
    Certain,
    /// A constant that is there, but not enough of it.
    Doubtful,
    /// No constant.
    Absent,
}

/// Values that count as background: those up to `margin` from `value`, and those not finite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BackgroundRange {
    /// Value of the background.
    pub value: f64,
    /// Largest distance from it.
    pub margin: f64,
    /// True if exactly 0 is background as well: padding of an image whose background is another.
    pub with_zeros: bool,
}

impl BackgroundRange {
    /// The field's convention: exactly 0.
    pub const ZERO: Self = Self::around(0.0, 0.0);

    /// Values up to `margin` from `value`.
    pub const fn around(value: f64, margin: f64) -> Self {
        Self { value, margin, with_zeros: false }
    }

    /// Returns true if `intensity` is background.
    pub fn contains(&self, intensity: f64) -> bool {
        // Negated: the distance of NaN is not above any margin.
        !((intensity - self.value).abs() > self.margin && intensity.is_finite())
            || (self.with_zeros && intensity == 0.0)
    }
}

/// Constant that holds much of what the surround does not.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SecondConstant {
    /// Value of the constant.
    pub value: f64,
    /// Share of the voxels off the surround that hold it.
    pub share: f64,
}

impl SecondConstant {
    /// Finds the constant among the values off `surround`, whose distribution is `spread`.
    fn find_among(off_surround: &SortedValues, surround: f64, spread: &Spread) -> Option<Self> {
        let (value, times) = most_frequent(off_surround)?;
        let share = times as f64 / spread.voxels as f64;
        let is_ringing = (value - surround).abs() <= RINGING * spread.amplitude;
        let is_second = !is_ringing && (SECOND_SHARE..=1.0 - OTHERS_SHARE).contains(&share);
        is_second.then_some(Self { value, share })
    }
}

/// Background of one image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ImageBackground {
    /// Values that count as background under the rule that was asked for. Under a mask they play no
    /// part.
    #[serde(flatten)]
    pub range: BackgroundRange,
    /// Value around the head; it is `range.value` where it is certain or a threshold was asked for.
    pub surround: f64,
    /// Certainty about it; 0 is always certain.
    pub certainty: Certainty,
    /// Corners of the grid that hold it, of eight.
    pub corners: u8,
    /// Share of the voxels on the grid's faces that hold it.
    pub face_share: f64,
    /// Share of all voxels that hold it.
    pub share: f64,
    /// Second constant, where the surround leaves one: a background that was padded with another.
    pub second: Option<SecondConstant>,
    /// Voxels that are exactly 0.
    pub zeros: u64,
    /// Voxels off the surround by less than 0.5 % of the image's amplitude, if they are so many that
    /// they must be ringing; else 0. They are background where the image is not of whole numbers.
    pub ringing: u64,
    /// Distance from the surround up to which values ring; 0 where none do.
    #[serde(skip)]
    pub ringing_reach: f64,
}

impl ImageBackground {
    /// Background of an image with 0 around the head, in which `tissue` is what is not 0.
    pub(super) fn of_zeros(tissue: &SortedValues, voxels: u64) -> Self {
        let spread = measure_spread(tissue, 0.0);
        let zeros = voxels - spread.voxels;
        let second = SecondConstant::find_among(tissue, 0.0, &spread);
        let certain = second.is_none();
        let rings = certain && spread.is_ringing();
        Self {
            range: BackgroundRange::ZERO,
            surround: 0.0,
            certainty: if certain { Certainty::Certain } else { Certainty::Doubtful },
            second,
            corners: 8,
            face_share: 1.0,
            share: zeros as f64 / (voxels as f64).max(1.0),
            zeros,
            ringing: if rings { spread.near } else { 0 },
            ringing_reach: if rings { RINGING * spread.amplitude } else { 0.0 },
        }
    }
}

/// Finds the background of `voxels` (`[d, h, w]`), and what counts as background under `rule`.
///
/// # Panics
/// If there are not as many voxels as `dims` says.
pub fn find_background(voxels: &Voxels, dims: Dims, rule: &ForegroundRule) -> ImageBackground {
    assert_eq!(voxels.len(), dims.voxel_count(), "one value per voxel");
    let surround = find_surround(voxels, dims);
    let BackgroundRange { value, margin, .. } = surround.range;
    let off_value = SortedValues::collect(voxels, |_, intensity| intensity != value);
    let spread = measure_spread(&off_value, value);
    let non_finite = count_non_finite(voxels);
    let total = voxels.len() as f64;
    let exact = voxels.len() as u64 - spread.voxels - non_finite;
    let held = exact
        + off_value
            .value_runs()
            .filter(|run| surround.range.contains(run.0))
            .map(|run| run.1)
            .sum::<u64>();
    let share = held as f64 / total.max(1.0);
    let zeros = if value == 0.0 { exact } else { spread.zeros };
    let others = spread.voxels as f64;
    let has_many_zeros = spread.zeros as f64 > ZERO_SHARE * others;
    let certain = surround.corners == 8
        && surround.face_share >= FACE_SHARE
        && share >= VOLUME_SHARE
        && !has_many_zeros;
    let second = SecondConstant::find_among(&off_value, value, &spread);
    let certainty = if second.is_some() {
        Certainty::Doubtful
    } else if value == 0.0 || certain {
        Certainty::Certain
    } else if surround.face_share >= NAMED_SHARE && margin == 0.0 {
        Certainty::Doubtful
    } else {
        Certainty::Absent
    };
    let rings = margin > 0.0 || spread.is_ringing();
    let ringing = if rings && certainty == Certainty::Certain { spread.near } else { 0 };
    let whole = matches!(voxels, Voxels::I16(_));
    let range = match rule {
        ForegroundRule::Threshold => find_threshold(&off_value, value, second, has_many_zeros),
        _ if certainty != Certainty::Certain => BackgroundRange::ZERO,
        _ if ringing > 0 && !whole => BackgroundRange::around(value, RINGING * spread.amplitude),
        _ => BackgroundRange::around(value, 0.0),
    };
    ImageBackground {
        range,
        surround: value,
        certainty,
        corners: surround.corners,
        face_share: surround.face_share,
        share,
        second,
        zeros,
        ringing,
        ringing_reach: if ringing > 0 { RINGING * spread.amplitude } else { 0.0 },
    }
}

/// Range under the rule `threshold`: about the surround. Where the image has a second background and one
/// of the two is 0, both are background, and the range is about the other.
fn find_threshold(
    off_surround: &SortedValues,
    surround: f64,
    second: Option<SecondConstant>,
    has_many_zeros: bool,
) -> BackgroundRange {
    let inner = second.filter(|_| surround == 0.0).map_or(surround, |own| own.value);
    let with_zeros = inner != surround || (surround != 0.0 && has_many_zeros);
    let is_tissue = |intensity: f64| intensity != inner && !(with_zeros && intensity == 0.0);
    let tissue = off_surround.value_runs().filter(|run| is_tissue(run.0));
    let spread = measure_spread(&SortedValues::Runs(tissue.collect()), inner);
    BackgroundRange { with_zeros, ..BackgroundRange::around(inner, THRESHOLD * spread.amplitude) }
}

/// Number of voxels that are NaN or infinite.
pub(super) fn count_non_finite(voxels: &Voxels) -> u64 {
    match voxels {
        Voxels::I16(_) => 0,
        Voxels::F32(values) => values.iter().filter(|value| !value.is_finite()).count() as u64,
        Voxels::F64(values) => values.iter().filter(|value| !value.is_finite()).count() as u64,
    }
}
