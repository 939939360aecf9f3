//! Whole volumes of a case as codes: those of its files, or of the voxel size that was asked for.

use std::borrow::Cow;

use crate::base::{CaseError, OutOfMemory, Reason, collect_values};
use crate::cache::brain_box::certain_box;
use crate::cache::treatment::{CaseTreatment, CertainImages, ImageTreatment};
use crate::cache::{IntensityScale, PreprocessConfig, encode_volume};
use crate::resampling::{GridMap, Interpolation, resample_image, resample_labels, resample_mask};
use crate::volume::{Box3, Case, Dims, Intensities, Modality, SourceGrid, Voxels};

/// Codes of one volume, and how they decode.
type EncodedVolume<'a> = (Cow<'a, [i16]>, IntensityScale);

/// Encoded volumes of a case on one grid.
pub(super) struct EncodedVolumes<'a> {
    /// Grid of the volumes, which are in its canonical orientation.
    pub(super) grid: SourceGrid,
    /// Codes `[d, h, w]` per modality.
    planes: [Cow<'a, [i16]>; Modality::COUNT],
    /// Intensity scale per modality.
    pub(super) scales: [IntensityScale; Modality::COUNT],
    /// Canonical labels `[d, h, w]`.
    pub(super) labels: Option<Cow<'a, [u8]>>,
    /// Intensities of the source, where the planes are on its grid.
    images: Option<&'a [Voxels; Modality::COUNT]>,
}

impl<'a> EncodedVolumes<'a> {
    /// Encodes the volumes of a case as they are.
    ///
    /// # Errors
    /// If intensities cannot be encoded.
    pub(super) fn of_case(case: &'a Case, treatment: &CaseTreatment) -> Result<Self, CaseError> {
        let encoded = encode_each(case, treatment, |voxels, treated| {
            encode_volume(voxels, treated, case.mask.as_deref())
        })?;
        let labels = case.labels.as_deref().map(Cow::Borrowed);
        Ok(Self::of_encoded(case.source, encoded, labels, Some(&case.images)))
    }

    /// Encodes the volumes of a case on the target of `map`, one modality after the other.
    ///
    /// Tissue is told from background on the source's grid, and a voxel is tissue if half of its linear
    /// weight is: interpolation moves no edge of the brain. Its intensity is interpolated with the
    /// background's, and stays within those of the tissue, which a spline would leave.
    ///
    /// # Errors
    /// If intensities cannot be encoded, or there is no memory.
    pub(super) fn of_resampled(
        case: &'a Case,
        treatment: &CaseTreatment,
        map: &GridMap,
        interpolation: Interpolation,
    ) -> Result<Self, CaseError> {
        let encoded = encode_each(case, treatment, |voxels, treated| {
            let (values, tissue) =
                resample_tissue(voxels, treated, case.mask.as_deref(), map, interpolation)?;
            let values = Voxels::F32(values);
            let (codes, scale) = encode_volume(&values, treated, Some(&tissue))?;
            Ok((Cow::Owned(codes.into_owned()), scale))
        })?;
        let labels = case.labels.as_deref().map(|labels| resample_labels(labels, map)).transpose();
        let labels = labels.map_err(|error| error.to_case_error("seg").of_case(&case.id))?;
        Ok(Self::of_encoded(map.target_grid(&case.source), encoded, labels.map(Cow::Owned), None))
    }

    fn of_encoded(
        grid: SourceGrid,
        encoded: [EncodedVolume<'a>; Modality::COUNT],
        labels: Option<Cow<'a, [u8]>>,
        images: Option<&'a [Voxels; Modality::COUNT]>,
    ) -> Self {
        let scales = encoded.each_ref().map(|(_, scale)| *scale);
        let planes = encoded.map(|(plane, _)| plane);
        Self { grid, planes, scales, labels, images }
    }

    /// Codes `[d, h, w]` per modality.
    pub(super) fn planes(&self) -> [&[i16]; Modality::COUNT] {
        self.planes.each_ref().map(|plane| &**plane)
    }

    /// Intensities of all modalities, where the planes are these as they are.
    fn kept_intensities(&self) -> Option<[&'a Intensities; Modality::COUNT]> {
        let all_kept = self.planes.iter().all(|plane| matches!(plane, Cow::Borrowed(_)));
        let images = self.images.filter(|_| all_kept)?;
        let whole = images.each_ref().map(|voxels| match voxels {
            Voxels::I16(values) => Some(values),
            Voxels::F32(_) | Voxels::F64(_) => None,
        });
        let [Some(a), Some(b), Some(c), Some(d)] = whole else { return None };
        Some([a, b, c, d])
    }

    /// The smallest box around tissue beyond doubt.
    pub(super) fn tissue_box(&self, certain: &CertainImages) -> Result<Option<Box3>, OutOfMemory> {
        let dims = self.grid.canonical_dims();
        if certain.iter().all(Option::is_none)
            && let Some(kept) = self.kept_intensities()
        {
            let boxes = kept.into_iter().filter_map(|values| values.tissue_box(dims));
            return Ok(boxes.reduce(Box3::union));
        }
        let planes = self.planes();
        match self.images {
            Some(images) => {
                certain_box(dims, planes, certain, |modality, place| images[modality].get(place))
            }
            None => certain_box(dims, planes, certain, |modality, place| {
                self.scales[modality].decode_tissue(f64::from(planes[modality][place]))
            }),
        }
    }
}

/// Encodes each image of a case by `encode`.
fn encode_each<'a>(
    case: &'a Case,
    treatment: &CaseTreatment,
    encode: impl Fn(&'a Voxels, &ImageTreatment) -> Result<EncodedVolume<'a>, String>,
) -> Result<[EncodedVolume<'a>; Modality::COUNT], CaseError> {
    let mut encoded: [EncodedVolume<'a>; Modality::COUNT] =
        std::array::from_fn(|_| (Cow::default(), IntensityScale::LOSSLESS));
    for modality in Modality::ALL {
        let place = modality.index();
        encoded[place] = encode(&case.images[place], &treatment.images[place])
            .map_err(|problem| encoding_error(case, modality.name(), problem))?;
    }
    Ok(encoded)
}

fn encoding_error(case: &Case, image: &str, problem: String) -> CaseError {
    let remedy = "check the file's scl_slope and scl_inter, or rescale it";
    CaseError::new(Reason::Format, image, problem, remedy).of_case(&case.id)
}

/// Resamples one image: intensities, and 1 where tissue is, each `[d, h, w]` of the target.
fn resample_tissue(
    voxels: &Voxels,
    treated: &ImageTreatment,
    mask: Option<&[u8]>,
    map: &GridMap,
    interpolation: Interpolation,
) -> Result<(Vec<f32>, Vec<u8>), String> {
    let no_memory = |error: OutOfMemory| error.to_string();
    let background = treated.background.value;
    let intensity = |place: usize| {
        treated.tissue_intensity(voxels.get(place), mask.map(|mask| mask[place] != 0))
    };
    let places = 0..voxels.len();
    let is_tissue = places.clone().map(|place| u8::from(intensity(place).is_some()));
    let tissue = collect_values(voxels.len(), is_tissue).map_err(no_memory)?;
    // Distances from the background: what lies between two voxels of it is exactly 0 apart.
    let away =
        places.map(|place| intensity(place).map_or(0.0, |value| (value - background) as f32));
    let image = collect_values(voxels.len(), away).map_err(no_memory)?;
    let low = image.iter().copied().fold(0.0, f32::min);
    let high = image.iter().copied().fold(0.0, f32::max);
    if !(high - low).is_finite() {
        return Err("intensities span more than single precision can hold".into());
    }
    let resampled_tissue = resample_mask(&tissue, map).map_err(no_memory)?;
    drop(tissue);
    let mut values = resample_image(image, map, interpolation).map_err(no_memory)?;
    for value in &mut values {
        *value = (f64::from(value.clamp(low, high)) + background) as f32;
    }
    Ok((values, resampled_tissue))
}

/// Map of a case to the voxel size that the settings ask for; `None` if there is none, or it has it.
///
/// # Errors
/// If the grid would be larger than the settings allow.
pub(super) fn wanted_map(
    case: &Case,
    config: &PreprocessConfig,
) -> Result<Option<GridMap>, CaseError> {
    let Some(resampling) = &config.resampling else { return Ok(None) };
    let spacing = case.source.canonical_spacing_mm();
    let edges = |edges: [f64; 3]| edges.map(|edge| format!("{edge:.2}")).join(" x ");
    let refuse = |problem: String, remedy: &str| {
        Err(CaseError::new(Reason::Geometry, "voxel size", problem, remedy).of_case(&case.id))
    };
    if !spacing.iter().all(|edge| edge.is_finite() && *edge > 0.0) {
        let problem = format!("is {} mm, which cannot be resampled", edges(spacing));
        return refuse(problem, "mend the header's affine, or leave data.spacing out");
    }
    let Some(map) = resampling.map_grid(case.dims(), spacing) else { return Ok(None) };
    let most = resampling.max_voxels.min(u32::MAX as usize);
    if map.target_voxel_count().is_none_or(|count| count > most) {
        let Dims([depth, height, width]) = map.target_dims();
        let problem = format!(
            "is {} mm; at data.spacing = {} mm the grid of {} would have {width}x{height}x{depth} \
             voxels, more than {most}",
            edges(spacing),
            edges(resampling.spacing_mm),
            case.dims(),
        );
        return refuse(problem, "write a larger data.spacing, or raise loader.memory_mib");
    }
    Ok(Some(map))
}
