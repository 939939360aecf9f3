//! Checked decoding of a case file: after [`parse_case_file`] every range lies inside the file, on
//! its alignment, and fits its section's kind.

use std::ops::Range;

use zerocopy::little_endian::{U32, U64};

use crate::base::Fingerprint;
pub(super) use crate::cache::flaw::{FileFlaw, parse_first_page};
use crate::cache::format::{
    FirstPage, LABELLED, MAGIC, PAGE, READABLE, SectionKind, SectionRecord, round_up_to_page,
};
use crate::cache::small_sections::{
    ForegroundRanges, HistogramRanges, SourceLabelRange, parse_description, parse_foreground,
    parse_histograms, parse_outside, parse_source_files, parse_source_labels, parse_stats,
};
use crate::cache::{CaseDescription, IntensityScale, IntensityStats, OutsideLabel, SourceFile};
use crate::volume::{
    Affine, Box3, CaseId, Dims, LabelScheme, Modality, RegionSet, SourceGrid, case_id_problem,
};

/// Entry of the section table, checked against the file's length.
#[derive(Debug, Clone)]
pub(super) struct Section {
    /// `None` for a kind of a later writer.
    pub kind: Option<SectionKind>,
    pub range: Range<usize>,
    pub checksum: u32,
}

impl Section {
    /// Compares the stored checksum with the bytes.
    pub(super) fn verify_checksum(&self, file: &[u8]) -> Result<(), FileFlaw> {
        let computed = crc32c::crc32c(&file[self.range.clone()]);
        if computed == self.checksum {
            return Ok(());
        }
        Err(FileFlaw::checksum_mismatch(
            self.kind.map_or("section", SectionKind::name),
            self.checksum,
            computed,
        ))
    }
}

/// Byte ranges of the large sections, and the content of the small ones.
#[derive(Debug)]
pub(super) struct CaseIndex {
    pub id: CaseId,
    pub source: SourceGrid,
    pub brain: Box3,
    pub scheme: LabelScheme,
    pub fingerprint: Fingerprint,
    pub preprocess: Fingerprint,
    pub scales: [IntensityScale; Modality::COUNT],
    pub stats: [IntensityStats; Modality::COUNT],
    /// Bytes of `[[i16; 4]]`.
    pub images: Range<usize>,
    /// Bytes of `[u8]`.
    pub labels: Option<Range<usize>>,
    pub regions: RegionSet,
    pub foreground: ForegroundRanges,
    /// Bytes of `[HistogramBin]`, per modality; empty in v1.
    pub histograms: HistogramRanges,
    pub description: CaseDescription,
    pub outside: Vec<OutsideLabel>,
    pub source_labels: Option<SourceLabelRange>,
    pub files: Vec<SourceFile>,
    pub sections: Vec<Section>,
}

/// Checks the first page and the small sections, and finds the large ones.
pub(super) fn parse_case_file(file: &[u8]) -> Result<CaseIndex, FileFlaw> {
    let first: &FirstPage = parse_first_page(file, MAGIC, READABLE, "not a case file")?;
    let sections = parse_section_table(first.section_count.get(), &first.sections, file.len())?;
    let (source, brain) = parse_grids(first)?;
    let voxels = brain.dims.voxel_count();
    let images =
        section_range(&sections, SectionKind::Image, voxels * size_of::<[i16; Modality::COUNT]>())?;
    let labelled = first.flags.get() & LABELLED != 0;
    let labels = match find_section(&sections, SectionKind::Label) {
        Some(_) => Some(section_range(&sections, SectionKind::Label, voxels)?),
        None => None,
    };
    if labelled != labels.is_some() {
        return Err(FileFlaw::bad_format(
            "flags",
            "say the opposite of the section table about labels",
        ));
    }
    let built_in = LabelScheme::from_code(first.scheme);
    if built_in.is_none() && (first.scheme != LabelScheme::DESCRIBED || first.version.get() == 1) {
        let problem = format!("code {} is unknown", first.scheme);
        return Err(FileFlaw::bad_format("label scheme", problem));
    }
    let (scales, stats) = parse_stats(file, &sections)?;
    let (histograms, description) = match first.version.get() {
        1 => {
            let scheme = built_in.unwrap_or(LabelScheme::Brats2018);
            (Default::default(), CaseDescription::of_scheme(scheme))
        }
        _ => (
            parse_histograms(file, &sections, &stats)?,
            parse_description(file, &sections, built_in, Fingerprint(first.meaning))?,
        ),
    };
    let named = |problem: String| FileFlaw::bad_format(SectionKind::Description.name(), problem);
    let scheme = match built_in {
        Some(scheme) => scheme,
        None => description.meaning.described_scheme().map_err(named)?,
    };
    let regions = description.meaning.region_set().map_err(named)?;
    let outside = parse_outside(file, &sections, source.canonical_dims(), &brain)?;
    if !outside.is_empty() && !labelled {
        return Err(FileFlaw::bad_format(SectionKind::Outside.name(), "labels a case without any"));
    }
    let source_labels = parse_source_labels(file, &sections, description.resampled_from())?;
    if description.resampled_from().is_some() && labelled != source_labels.is_some() {
        let problem = "says the opposite of the flags about labels";
        return Err(FileFlaw::bad_format(SectionKind::SourceLabel.name(), problem));
    }
    Ok(CaseIndex {
        id: parse_case_id(&first.id, first.id_bytes)?,
        source,
        brain,
        scheme,
        fingerprint: Fingerprint(first.fingerprint),
        preprocess: Fingerprint(first.preprocess),
        scales,
        stats,
        images,
        labels,
        foreground: parse_foreground(file, &sections, voxels, regions.len())?,
        regions,
        histograms,
        description,
        outside,
        source_labels,
        files: parse_source_files(file, &sections)?,
        sections,
    })
}

/// Reads the first `count` entries of a section table, each in the file and behind the one before.
pub(super) fn parse_section_table(
    count: u32,
    records: &[SectionRecord],
    file_bytes: usize,
) -> Result<Vec<Section>, FileFlaw> {
    let most = records.len();
    let Some(records) = records.get(..count as usize) else {
        return Err(FileFlaw::bad_format("section count", format!("{count}, at most {most}")));
    };
    let mut sections: Vec<Section> = Vec::with_capacity(records.len());
    let mut end = PAGE;
    for record in records {
        let misplaced = || {
            let problem = format!("{} bytes at {} do not fit", record.length, record.offset);
            FileFlaw::bad_format("section table", problem)
        };
        let start = usize_from_u64(record.offset)?;
        let stop = start.checked_add(usize_from_u64(record.length)?).ok_or_else(misplaced)?;
        if start < end || !start.is_multiple_of(PAGE) || stop > file_bytes {
            return Err(misplaced());
        }
        let kind = SectionKind::from_repr(record.kind.get());
        if kind.is_some() && sections.iter().any(|section| section.kind == kind) {
            return Err(FileFlaw::bad_format("section table", "two sections of one kind"));
        }
        sections.push(Section { kind, range: start..stop, checksum: record.checksum.get() });
        end = round_up_to_page(stop);
    }
    Ok(sections)
}

fn usize_from_u64(value: U64) -> Result<usize, FileFlaw> {
    // Half the address space leaves room to add and to round up to a page.
    let fits = usize::try_from(value.get()).ok().filter(|size| *size <= usize::MAX / 2);
    fits.ok_or_else(|| {
        FileFlaw::bad_format("section table", format!("{value} is beyond this machine"))
    })
}

pub(super) fn find_section(sections: &[Section], kind: SectionKind) -> Option<&Section> {
    sections.iter().find(|section| section.kind == Some(kind))
}

pub(super) fn require_section(
    sections: &[Section],
    kind: SectionKind,
) -> Result<&Section, FileFlaw> {
    find_section(sections, kind).ok_or_else(|| FileFlaw::bad_format(kind.name(), "is absent"))
}

pub(super) fn section_range(
    sections: &[Section],
    kind: SectionKind,
    bytes: usize,
) -> Result<Range<usize>, FileFlaw> {
    let range = require_section(sections, kind)?.range.clone();
    if range.len() != bytes {
        let problem = format!("{} bytes, the brain box needs {bytes}", range.len());
        return Err(FileFlaw::bad_format(kind.name(), problem));
    }
    Ok(range)
}

pub(super) fn parse_case_id(field: &[u8], bytes: u8) -> Result<CaseId, FileFlaw> {
    let name = field.get(..usize::from(bytes)).unwrap_or_default();
    let id =
        std::str::from_utf8(name).map_err(|_| FileFlaw::bad_format("case id", "is not utf-8"))?;
    match case_id_problem(id) {
        Some(problem) => Err(FileFlaw::bad_format("case id", problem)),
        None => Ok(CaseId::new(id)),
    }
}

pub(super) fn parse_extent(field: &'static str, record: [U32; 3]) -> Result<Dims, FileFlaw> {
    let dims = record.map(|length| length.get() as usize);
    let voxels = dims.iter().try_fold(1usize, |product, length| product.checked_mul(*length));
    // Voxels are numbered in u32; eight bytes for each cannot overflow either.
    match voxels.and_then(|voxels| u32::try_from(voxels).ok()) {
        Some(voxels) if voxels > 0 => Ok(Dims(dims)),
        _ => Err(FileFlaw::bad_format(field, format!("{dims:?} is no extent"))),
    }
}

/// Checks that the axes of a grid are a permutation, and that its affine is finite.
pub(super) fn check_orientation(grid: &SourceGrid) -> Result<(), FileFlaw> {
    let mut sorted = grid.axes;
    sorted.sort_unstable();
    if sorted != [0, 1, 2] {
        return Err(FileFlaw::bad_format("orientation", format!("axes {:?}", grid.axes)));
    }
    if !grid.world_from_voxel.0.as_flattened().iter().all(|entry| entry.is_finite()) {
        return Err(FileFlaw::bad_format("affine", "is not finite"));
    }
    Ok(())
}

fn parse_grids(first: &FirstPage) -> Result<(SourceGrid, Box3), FileFlaw> {
    if first.flipped.iter().any(|flag| *flag > 1) {
        return Err(FileFlaw::bad_format("orientation", format!("flipped {:?}", first.flipped)));
    }
    let affine: [[f64; 4]; 4] = std::array::from_fn(|row| {
        std::array::from_fn(|column| first.affine[row * 4 + column].get())
    });
    let source = SourceGrid {
        dims: parse_extent("source dims", first.source_dims)?,
        world_from_voxel: Affine(affine),
        axes: first.axes,
        flipped: first.flipped.map(|flag| flag == 1),
    };
    check_orientation(&source)?;
    let dims = parse_extent("brain dims", first.brain_dims)?;
    let start = first.brain_start.map(|corner| corner.get() as usize);
    let grid = source.canonical_dims().0;
    if (0..3).any(|axis| start[axis] + dims.0[axis] > grid[axis]) {
        let problem = format!("{:?} at {start:?} is not inside the grid {grid:?}", dims.0);
        return Err(FileFlaw::bad_format("brain box", problem));
    }
    Ok((source, Box3 { start, dims }))
}
