//! Format of an annotation file: encoding, and checked decoding.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use zerocopy::little_endian::{F64, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::base::{CaseError, Fingerprint, Reason};
use crate::cache::compose::{ComposedFile, extent_to_u32, fill_table, foreground_section};
use crate::cache::flaw::page_checksum;
use crate::cache::format::{MAX_ID_BYTES, PAGE, SectionKind, SectionRecord};
use crate::cache::map::{MappedCase, MappedFile, check_all};
use crate::cache::parse::{self, FileFlaw};
use crate::cache::small_sections::{ForegroundRanges, parse_foreground};
use crate::cache::{Annotation, AnnotationVoxels, AnnotationVoxelsView, ForegroundView};
use crate::volume::{Box3, CaseId, MAX_REGIONS, Targets, Temperature, case_id_problem};

/// Version of the format that is written.
const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"GLIAANNO";

const MAX_SECTIONS: usize = 8;

/// Regions of a file that does not name their number.
const EARLIER_REGIONS: usize = 3;

/// Remedy for every damaged annotation.
const REMEDY: &str = "`gliaflow label` with the same teacher makes it again";

/// First page, with a checksum over all of it.
#[derive(Clone, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct AnnotationHeader {
    magic: [u8; 8],
    version: U32,
    header_bytes: U32,
    file_bytes: U64,
    section_count: U32,
    id_bytes: u8,
    reserved_a: [u8; 3],
    brain_start: [U32; 3],
    brain_dims: [U32; 3],
    fingerprint: [u8; 16],
    preprocess: [u8; 16],
    teacher: [u8; 16],
    id: [u8; MAX_ID_BYTES],
    /// Regions of the foreground index; 0 in files of before, which have three.
    regions: u8,
    reserved_b: [u8; 7],
    /// Temperature of probabilities; 0 where it is 1.
    temperature: F64,
    reserved_c: [u8; 192],
    sections: [SectionRecord; MAX_SECTIONS],
    reserved_d: [u8; 3324],
    checksum: U32,
}

const _: () = assert!(size_of::<AnnotationHeader>() == PAGE);

/// Encodes an annotation.
///
/// # Errors
/// When the id cannot name a file, or a number does not fit its field.
pub(super) fn compose_annotation(
    annotation: &Annotation,
) -> Result<ComposedFile<'_, impl IntoBytes + Immutable>, CaseError> {
    let flaw = |field: &str, problem: String| {
        CaseError::new(Reason::Format, field, problem, "rename the case's folder")
            .of_case(&annotation.id)
    };
    if let Some(problem) = case_id_problem(annotation.id.as_str()) {
        return Err(flaw("case id", problem));
    }
    let extent = |value| extent_to_u32(value).map_err(|problem| flaw("grid", problem));
    let voxels = match &annotation.voxels {
        AnnotationVoxels::Hard(labels) => (SectionKind::Label, Cow::Borrowed(labels.as_slice())),
        AnnotationVoxels::Soft(shares) => {
            (SectionKind::Probability, Cow::Borrowed(shares.as_flattened()))
        }
    };
    let places = (SectionKind::Foreground, Cow::Owned(foreground_section(&annotation.foreground)));
    let sections = vec![voxels, places];
    let mut first = AnnotationHeader::new_zeroed();
    first.magic = MAGIC;
    first.version = U32::new(VERSION);
    first.header_bytes = U32::new(PAGE as u32);
    first.brain_start = extent(annotation.brain.start)?;
    first.brain_dims = extent(annotation.brain.dims.0)?;
    first.fingerprint = annotation.fingerprint.0;
    first.preprocess = annotation.preprocess.0;
    first.teacher = annotation.teacher.0;
    first.regions = match annotation.foreground.len() {
        EARLIER_REGIONS => 0,
        regions => regions as u8,
    };
    if !annotation.temperature.is_one() {
        first.temperature = F64::new(annotation.temperature.value());
    }
    let name = annotation.id.as_str().as_bytes();
    first.id_bytes = name.len() as u8;
    first.id[..name.len()].copy_from_slice(name);
    let end = fill_table(&sections, &mut first.sections);
    first.section_count = U32::new(sections.len() as u32);
    first.file_bytes = U64::new(end as u64);
    first.checksum = U32::new(page_checksum(first.as_bytes()));
    Ok(ComposedFile { first, sections })
}

/// Memory-mapped annotation. Every byte has been checked: it is small, and a wrong label goes
/// unnoticed.
#[derive(Debug)]
pub struct MappedAnnotation {
    /// The file.
    pub path: PathBuf,
    /// The case.
    pub id: CaseId,
    /// Fingerprint of the case's source files.
    pub fingerprint: Fingerprint,
    /// Fingerprint of the case's preprocessing.
    pub preprocess: Fingerprint,
    /// Fingerprint of the teacher that annotated.
    pub teacher: Fingerprint,
    /// The case's brain box.
    pub brain: Box3,
    /// Kind of target.
    pub targets: Targets,
    /// Temperature of probabilities; 1 of labels.
    pub temperature: Temperature,
    map: MappedFile,
    voxels: Range<usize>,
    foreground: ForegroundRanges,
}

impl MappedAnnotation {
    /// Maps a file and checks all of it.
    ///
    /// # Errors
    /// When the file is missing or unreadable, or its bytes are not those of an annotation.
    pub fn open(path: &Path) -> Result<Self, CaseError> {
        let map = MappedFile::open(path)?;
        parse_annotation(path, map).map_err(|flaw| flaw.into_error_with_remedy(path, REMEDY))
    }

    /// True if it was made for this very case file: same source, same preprocessing.
    pub fn matches_case(&self, case: &MappedCase) -> bool {
        let own = (&self.id, self.fingerprint, self.preprocess, self.brain);
        own == (case.id(), case.fingerprint(), case.preprocess_fingerprint(), case.brain_box())
    }

    /// Checks that every page that was read so far was there, as
    /// [`MappedCase::check_pages`] does.
    ///
    /// # Errors
    /// When the file was cut short, or its disk failed, under the mapping.
    pub fn check_pages(&self) -> Result<(), CaseError> {
        self.map.check_pages(&self.path)
    }

    /// Length of the file.
    pub fn file_bytes(&self) -> u64 {
        self.map.len() as u64
    }

    /// The teacher's targets, `[d, h, w]` over the brain box.
    pub fn voxels(&self) -> AnnotationVoxelsView<'_> {
        let bytes = &self.map[self.voxels.clone()];
        match self.targets {
            Targets::Hard => AnnotationVoxelsView::Hard(bytes),
            Targets::Soft => AnnotationVoxelsView::Soft(bytes.as_chunks().0),
        }
    }

    /// Number of annotated regions, those of the case's index.
    pub const fn region_count(&self) -> usize {
        self.foreground.len()
    }

    /// Voxels of the annotated region of that index.
    pub fn foreground_at(&self, region: usize) -> ForegroundView<'_> {
        self.map.region_voxels(&self.foreground, region)
    }
}

fn parse_annotation(path: &Path, map: MappedFile) -> Result<MappedAnnotation, FileFlaw> {
    let first: &AnnotationHeader =
        parse::parse_first_page(&map, MAGIC, VERSION..=VERSION, "not an annotation")?;
    let sections =
        parse::parse_section_table(first.section_count.get(), &first.sections, map.len())?;
    check_all(&map, &sections)?;
    let dims = parse::parse_extent("brain dims", first.brain_dims)?;
    let regions = match usize::from(first.regions) {
        0 => EARLIER_REGIONS,
        regions if regions <= MAX_REGIONS => regions,
        regions => {
            return Err(FileFlaw::bad_format(
                "regions",
                format!("{regions}, at most {MAX_REGIONS}"),
            ));
        }
    };
    let labels = parse::find_section(&sections, SectionKind::Label);
    let probabilities = parse::find_section(&sections, SectionKind::Probability);
    let (targets, kind) = match (labels, probabilities) {
        (Some(_), None) => (Targets::Hard, SectionKind::Label),
        (None, Some(_)) => (Targets::Soft, SectionKind::Probability),
        _ => {
            return Err(FileFlaw::bad_format(
                "section table",
                "has not one of LABEL and PROBABILITY",
            ));
        }
    };
    Ok(MappedAnnotation {
        path: path.to_owned(),
        id: parse::parse_case_id(&first.id, first.id_bytes)?,
        fingerprint: Fingerprint(first.fingerprint),
        preprocess: Fingerprint(first.preprocess),
        teacher: Fingerprint(first.teacher),
        brain: Box3 { start: first.brain_start.map(|corner| corner.get() as usize), dims },
        targets,
        temperature: parse_temperature(first.temperature.get())?,
        voxels: parse::section_range(
            &sections,
            kind,
            dims.voxel_count() * targets.bytes_per_voxel(),
        )?,
        foreground: parse_foreground(&map, &sections, dims.voxel_count(), regions)?,
        map,
    })
}

fn parse_temperature(stored: f64) -> Result<Temperature, FileFlaw> {
    let number = if stored == 0.0 { Temperature::ONE.value() } else { stored };
    Temperature::new(number).ok_or_else(|| {
        FileFlaw::bad_format("temperature", format!("{stored}, not 1 to {}", Temperature::MAX))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_specification_says() {
        use std::mem::offset_of;
        assert_eq!(offset_of!(AnnotationHeader, file_bytes), 16);
        assert_eq!(offset_of!(AnnotationHeader, section_count), 24);
        assert_eq!(offset_of!(AnnotationHeader, id_bytes), 28);
        assert_eq!(offset_of!(AnnotationHeader, brain_start), 32);
        assert_eq!(offset_of!(AnnotationHeader, brain_dims), 44);
        assert_eq!(offset_of!(AnnotationHeader, fingerprint), 56);
        assert_eq!(offset_of!(AnnotationHeader, preprocess), 72);
        assert_eq!(offset_of!(AnnotationHeader, teacher), 88);
        assert_eq!(offset_of!(AnnotationHeader, id), 104);
        assert_eq!(offset_of!(AnnotationHeader, temperature), 312);
        assert_eq!(offset_of!(AnnotationHeader, sections), 512);
        assert_eq!(offset_of!(AnnotationHeader, checksum), 4092);
    }
}
