//! Encoding of a case file: the first page and the sections, in file order.

use std::borrow::Cow;
use std::io::{self, Write};

use zerocopy::little_endian::{F64, I64, U32, U64};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use crate::base::{CaseError, Reason};
use crate::cache::flaw::page_checksum;
use crate::cache::format::{
    FirstPage, ForegroundRecord, HistogramHead, LABELLED, MAGIC, OutsideRecord, PAGE, SectionKind,
    SectionRecord, SourceHead, SourceLabelHead, SourceRecord, StatsRecord, StatsSection, VERSION,
    round_up_to_page,
};
use crate::cache::{CaseContents, Foreground, OutsideLabel, SourceLabels};
use crate::volume::{Modality, case_id_problem};

/// Sections of a file. Large ones are borrowed: a case is never copied to be written.
pub(super) type Sections<'a> = Vec<(SectionKind, Cow<'a, [u8]>)>;

/// Encoded file with its first page, not yet written.
pub(super) struct ComposedFile<'a, P> {
    pub(super) first: P,
    pub(super) sections: Sections<'a>,
}

/// Encodes `contents`.
///
/// # Errors
/// When the id cannot name a file, or a number does not fit its field.
pub(super) fn compose_case_file(
    contents: &CaseContents,
) -> Result<ComposedFile<'_, FirstPage>, CaseError> {
    let flaw = |field: &str, problem: String| {
        let remedy = "rename the case's folder or convert its files again";
        CaseError::new(Reason::Format, field, problem, remedy).of_case(&contents.id)
    };
    if let Some(problem) = case_id_problem(contents.id.as_str()) {
        return Err(flaw("case id", problem));
    }
    let sections = case_sections(contents).map_err(|problem| flaw("sections", problem))?;
    let mut first = compose_first_page(contents).map_err(|problem| flaw("grid", problem))?;
    let end = fill_table(&sections, &mut first.sections);
    first.section_count = U32::new(sections.len() as u32);
    first.file_bytes = U64::new(end as u64);
    first.checksum = U32::new(page_checksum(first.as_bytes()));
    Ok(ComposedFile { first, sections })
}

impl<P: IntoBytes + Immutable> ComposedFile<'_, P> {
    /// Writes the file from its first byte to its last: each section is padded to whole pages.
    pub(super) fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(self.first.as_bytes())?;
        for (_, bytes) in &self.sections {
            out.write_all(bytes)?;
            out.write_all(&[0; PAGE][..round_up_to_page(bytes.len()) - bytes.len()])?;
        }
        Ok(())
    }
}

/// Fills the section table, one entry per section; returns the length of the file.
pub(super) fn fill_table(sections: &Sections<'_>, table: &mut [SectionRecord]) -> usize {
    let mut end = PAGE;
    for ((kind, bytes), record) in sections.iter().zip(table) {
        *record = SectionRecord {
            kind: U32::new(kind.code()),
            checksum: U32::new(crc32c::crc32c(bytes)),
            offset: U64::new(end as u64),
            length: U64::new(bytes.len() as u64),
            reserved: [0; 8],
        };
        end += round_up_to_page(bytes.len());
    }
    end
}

fn case_sections(contents: &CaseContents) -> Result<Sections<'_>, String> {
    let mut sections =
        vec![(SectionKind::Image, Cow::Borrowed(contents.images.as_slice().as_bytes()))];
    if let Some(labels) = &contents.labels {
        sections.push((SectionKind::Label, Cow::Borrowed(labels)));
    }
    sections.push((SectionKind::Stats, Cow::Owned(stats_section(contents))));
    sections.push((SectionKind::Foreground, Cow::Owned(foreground_section(&contents.foreground))));
    sections.push((SectionKind::Histogram, Cow::Owned(histogram_section(contents))));
    let description = contents.description.to_text()?.into_bytes();
    sections.push((SectionKind::Description, Cow::Owned(description)));
    if !contents.outside.is_empty() {
        sections.push((SectionKind::Outside, Cow::Owned(outside_section(&contents.outside))));
    }
    if let Some(labels) = &contents.source_labels {
        let section = source_label_section(labels)?;
        sections.push((SectionKind::SourceLabel, Cow::Owned(section)));
    }
    if !contents.files.is_empty() {
        sections.push((SectionKind::Source, Cow::Owned(source_section(contents)?)));
    }
    Ok(sections)
}

fn compose_first_page(contents: &CaseContents) -> Result<FirstPage, String> {
    let mut first = FirstPage::new_zeroed();
    first.magic = MAGIC;
    first.version = U32::new(VERSION);
    first.header_bytes = U32::new(PAGE as u32);
    first.flags = U32::new(if contents.labels.is_some() { LABELLED } else { 0 });
    first.brain_start = extent_to_u32(contents.brain.start)?;
    first.brain_dims = extent_to_u32(contents.brain.dims.0)?;
    first.source_dims = extent_to_u32(contents.source.dims.0)?;
    first.axes = contents.source.axes;
    first.flipped = contents.source.flipped.map(u8::from);
    first.scheme = contents.scheme.code();
    for (entry, value) in
        first.affine.iter_mut().zip(contents.source.world_from_voxel.0.as_flattened())
    {
        *entry = F64::new(*value);
    }
    first.fingerprint = contents.fingerprint.0;
    first.preprocess = contents.preprocess.0;
    first.meaning = contents.description.meaning.fingerprint().0;
    let name = contents.id.as_str().as_bytes();
    first.id_bytes = name.len() as u8;
    first.id[..name.len()].copy_from_slice(name);
    Ok(first)
}

pub(super) fn extent_to_u32(extent: [usize; 3]) -> Result<[U32; 3], String> {
    let mut narrowed = [U32::ZERO; 3];
    for (place, value) in narrowed.iter_mut().zip(extent) {
        *place = U32::new(u32::try_from(value).map_err(|_| format!("{value} does not fit u32"))?);
    }
    Ok(narrowed)
}

fn stats_section(contents: &CaseContents) -> Vec<u8> {
    let section: StatsSection = Modality::ALL.map(|modality| {
        let scale = &contents.scales[modality.index()];
        let stats = &contents.stats[modality.index()];
        StatsRecord {
            slope: F64::new(scale.slope),
            inter: F64::new(scale.inter),
            max_error: F64::new(scale.max_error),
            count: U64::new(stats.count),
            mean: F64::new(stats.mean),
            sd: F64::new(stats.sd),
            min: F64::new(stats.min),
            max: F64::new(stats.max),
            percentiles: stats.percentiles.map(F64::new),
        }
    });
    section.as_bytes().to_vec()
}

/// Encodes a foreground index.
pub(super) fn foreground_section(index: &[Foreground]) -> Vec<u8> {
    let head = index.iter().map(|region| ForegroundRecord {
        count: U64::new(region.count),
        stored: U32::new(region.voxels.len() as u32),
        reserved: [0; 4],
    });
    let mut bytes = head.collect::<Vec<_>>().as_bytes().to_vec();
    for region in index {
        bytes.extend_from_slice(region.voxels.as_bytes());
    }
    bytes
}

fn histogram_section(contents: &CaseContents) -> Vec<u8> {
    let views = contents.histograms.each_ref().map(|histogram| histogram.as_view().bins());
    let head: HistogramHead = views.map(|bins| U32::new(bins.len() as u32));
    let mut bytes = head.as_bytes().to_vec();
    for bins in views {
        bytes.extend_from_slice(bins.as_bytes());
    }
    bytes
}

fn outside_section(outside: &[OutsideLabel]) -> Vec<u8> {
    let record = |label: &OutsideLabel| OutsideRecord {
        voxel: U32::new(label.voxel),
        label: label.label,
        reserved: [0; 3],
    };
    outside.iter().map(record).collect::<Vec<_>>().as_bytes().to_vec()
}

fn source_label_section(own: &SourceLabels) -> Result<Vec<u8>, String> {
    let start = extent_to_u32(own.labelled.start)?;
    let head = SourceLabelHead { start, dims: extent_to_u32(own.labelled.dims.0)? };
    Ok([head.as_bytes(), &own.labels].concat())
}

fn source_section(contents: &CaseContents) -> Result<Vec<u8>, String> {
    let fits = |value: usize| u32::try_from(value).map_err(|_| format!("{value} is too many"));
    let head = SourceHead { count: U32::new(fits(contents.files.len())?), reserved: [0; 4] };
    let mut bytes = head.as_bytes().to_vec();
    for file in &contents.files {
        let record = SourceRecord {
            bytes: U64::new(file.bytes),
            modified_ns: I64::new(file.modified_ns),
            name_bytes: U32::new(fits(file.name.len())?),
            reserved: [0; 4],
        };
        bytes.extend_from_slice(record.as_bytes());
    }
    for file in &contents.files {
        bytes.extend_from_slice(file.name.as_bytes());
    }
    Ok(bytes)
}
