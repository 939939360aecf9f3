//! Checked decoding of a case file's small sections: all but images and labels.

use std::ops::Range;

use zerocopy::FromBytes;
use zerocopy::little_endian::{F64, U32};

use crate::base::Fingerprint;
use crate::cache::flaw::FileFlaw;
use crate::cache::format::{
    ForegroundRecord, HistogramHead, OutsideRecord, SectionKind, SourceHead, SourceLabelHead,
    SourceRecord, StatsRecord, StatsSection,
};
use crate::cache::parse::{
    Section, check_orientation, find_section, parse_extent, require_section,
};
use crate::cache::{
    CaseDescription, HistogramBin, IntensityScale, IntensityStats, MAX_BINS, OutsideLabel,
    SourceFile,
};
use crate::volume::{Box3, Dims, LabelScheme, Modality, SourceGrid, label};

/// Voxel count, and byte range of the stored `[u32]`, per region.
pub(super) type ForegroundRanges = Vec<(u64, Range<usize>)>;

/// Byte range of the bins, per modality.
pub(super) type HistogramRanges = [Range<usize>; Modality::COUNT];

/// Labels of a resampled case on its source's grid: their box, and the range of its bytes.
#[derive(Debug)]
pub(super) struct SourceLabelRange {
    pub(super) labelled: Box3,
    pub(super) range: Range<usize>,
}

type ScalesAndStats = ([IntensityScale; Modality::COUNT], [IntensityStats; Modality::COUNT]);

pub(super) fn parse_stats(file: &[u8], sections: &[Section]) -> Result<ScalesAndStats, FileFlaw> {
    let section = require_section(sections, SectionKind::Stats)?;
    section.verify_checksum(file)?;
    let Ok(records) = StatsSection::ref_from_bytes(&file[section.range.clone()]) else {
        let problem = format!("{} bytes, not {}", section.range.len(), size_of::<StatsSection>());
        return Err(FileFlaw::bad_format(SectionKind::Stats.name(), problem));
    };
    let reals = |record: &StatsRecord| {
        let named = [record.slope, record.inter, record.max_error, record.mean, record.sd];
        named.into_iter().chain([record.min, record.max]).chain(record.percentiles)
    };
    if !records.iter().flat_map(reals).map(F64::get).all(f64::is_finite) {
        return Err(FileFlaw::bad_format(
            SectionKind::Stats.name(),
            "holds a value that is not finite",
        ));
    }
    let scales = records.each_ref().map(|record| IntensityScale {
        slope: record.slope.get(),
        inter: record.inter.get(),
        max_error: record.max_error.get(),
    });
    let stats = records.each_ref().map(|record| IntensityStats {
        count: record.count.get(),
        mean: record.mean.get(),
        sd: record.sd.get(),
        min: record.min.get(),
        max: record.max.get(),
        percentiles: record.percentiles.map(F64::get),
    });
    Ok((scales, stats))
}

pub(super) fn parse_foreground(
    file: &[u8],
    sections: &[Section],
    voxels: usize,
    regions: usize,
) -> Result<ForegroundRanges, FileFlaw> {
    let flaw = |problem: &str| FileFlaw::bad_format(SectionKind::Foreground.name(), problem);
    let section = require_section(sections, SectionKind::Foreground)?;
    section.verify_checksum(file)?;
    let bytes = &file[section.range.clone()];
    let head = <[ForegroundRecord]>::ref_from_prefix_with_elems(bytes, regions);
    let Ok((head, places)) = head else {
        return Err(flaw("is shorter than its head"));
    };
    let Ok(places) = <[U32]>::ref_from_bytes(places) else {
        return Err(flaw("does not end on a whole place"));
    };
    let mut rest = places;
    let mut start = section.range.start + size_of_val(head);
    let mut ranges = Vec::with_capacity(regions);
    for record in head {
        let Some((own, others)) = rest.split_at_checked(record.stored.get() as usize) else {
            return Err(flaw("is shorter than its regions"));
        };
        let ascending = own.windows(2).all(|pair| pair[0].get() < pair[1].get());
        let inside = own.last().is_none_or(|place| (place.get() as usize) < voxels);
        if !ascending || !inside || record.count.get() < own.len() as u64 {
            return Err(flaw("places are not ascending, not in the box, or more than counted"));
        }
        ranges.push((record.count.get(), start..start + size_of_val(own)));
        start += size_of_val(own);
        rest = others;
    }
    if rest.is_empty() { Ok(ranges) } else { Err(flaw("is longer than its regions")) }
}

pub(super) fn parse_histograms(
    file: &[u8],
    sections: &[Section],
    stats: &[IntensityStats; Modality::COUNT],
) -> Result<HistogramRanges, FileFlaw> {
    let flaw = |problem: &str| FileFlaw::bad_format(SectionKind::Histogram.name(), problem);
    let section = require_section(sections, SectionKind::Histogram)?;
    section.verify_checksum(file)?;
    let bytes = &file[section.range.clone()];
    let Ok((head, bins)) = HistogramHead::ref_from_prefix(bytes) else {
        return Err(flaw("is shorter than its head"));
    };
    let Ok(mut rest) = <[HistogramBin]>::ref_from_bytes(bins) else {
        return Err(flaw("does not end on a whole bin"));
    };
    let mut start = section.range.start + size_of::<HistogramHead>();
    let mut ranges = HistogramRanges::default();
    for ((range, length), stats) in ranges.iter_mut().zip(head).zip(stats) {
        let length = length.get() as usize;
        let Some((own, others)) = rest.split_at_checked(length) else {
            return Err(flaw("is shorter than its bins"));
        };
        let ascending = own.windows(2).all(|pair| pair[0].mean_code() < pair[1].mean_code());
        let codes = f64::from(i16::MIN)..=f64::from(i16::MAX);
        let inside =
            own.iter().all(|bin| codes.contains(&bin.mean_code()) && bin.voxel_count() > 0);
        let total: u64 = own.iter().map(HistogramBin::voxel_count).sum();
        if !ascending || !inside || length > MAX_BINS || total != stats.count {
            return Err(flaw("bins do not ascend, are too many, or do not add up to the tissue"));
        }
        *range = start..start + size_of_val(own);
        start += size_of_val(own);
        rest = others;
    }
    if rest.is_empty() { Ok(ranges) } else { Err(flaw("is longer than its bins")) }
}

pub(super) fn parse_description(
    file: &[u8],
    sections: &[Section],
    scheme: Option<LabelScheme>,
    meaning: Fingerprint,
) -> Result<CaseDescription, FileFlaw> {
    let flaw = |problem: &str| FileFlaw::bad_format(SectionKind::Description.name(), problem);
    let section = require_section(sections, SectionKind::Description)?;
    section.verify_checksum(file)?;
    let text = std::str::from_utf8(&file[section.range.clone()]);
    let text = text.map_err(|_| flaw("is not utf-8"))?;
    let description = CaseDescription::from_text(text).map_err(|problem| flaw(&problem))?;
    if scheme.is_some_and(|scheme| description.meaning.label_scheme != scheme.name()) {
        return Err(flaw("names another label scheme than the header"));
    }
    if let Some(source) = description.resampled_from() {
        check_orientation(source)?;
        if source.dims.0.map(u32::try_from).iter().any(Result::is_err)
            || parse_extent("resampled dims", source.dims.0.map(|n| U32::new(n as u32))).is_err()
        {
            return Err(flaw("has a source grid of no extent"));
        }
    }
    if description.meaning.fingerprint() != meaning {
        return Err(flaw("has another meaning than the header's fingerprint"));
    }
    Ok(description)
}

pub(super) fn parse_outside(
    file: &[u8],
    sections: &[Section],
    grid: Dims,
    brain: &Box3,
) -> Result<Vec<OutsideLabel>, FileFlaw> {
    let flaw = |problem: &str| FileFlaw::bad_format(SectionKind::Outside.name(), problem);
    let Some(section) = find_section(sections, SectionKind::Outside) else { return Ok(Vec::new()) };
    section.verify_checksum(file)?;
    let Ok(records) = <[OutsideRecord]>::ref_from_bytes(&file[section.range.clone()]) else {
        return Err(flaw("does not end on a whole label"));
    };
    let ascending = records.windows(2).all(|pair| pair[0].voxel.get() < pair[1].voxel.get());
    let misplaced = records.iter().any(|record| {
        let voxel = record.voxel.get() as usize;
        voxel >= grid.voxel_count()
            || brain.contains_voxel(grid.zyx_from_offset(voxel))
            || record.label == label::BACKGROUND
    });
    if !ascending || misplaced {
        return Err(flaw("labels do not ascend, are background, or lie in the brain box"));
    }
    let label =
        |record: &OutsideRecord| OutsideLabel { voxel: record.voxel.get(), label: record.label };
    Ok(records.iter().map(label).collect())
}

/// Finds the labels on the grid that a case was resampled from.
pub(super) fn parse_source_labels(
    file: &[u8],
    sections: &[Section],
    source: Option<&SourceGrid>,
) -> Result<Option<SourceLabelRange>, FileFlaw> {
    let flaw = |problem: &str| FileFlaw::bad_format(SectionKind::SourceLabel.name(), problem);
    let Some(section) = find_section(sections, SectionKind::SourceLabel) else { return Ok(None) };
    section.verify_checksum(file)?;
    let source = source.ok_or_else(|| flaw("is there, but the case was not resampled"))?;
    let Ok((head, labels)) = SourceLabelHead::ref_from_prefix(&file[section.range.clone()]) else {
        return Err(flaw("is shorter than its head"));
    };
    let dims = parse_extent("source label dims", head.dims)?;
    let start = head.start.map(|corner| corner.get() as usize);
    let grid = source.canonical_dims().0;
    if (0..3).any(|axis| start[axis] + dims.0[axis] > grid[axis]) {
        return Err(flaw("has a box that is not inside the source's grid"));
    }
    if labels.len() != dims.voxel_count() {
        return Err(flaw("has not one label for each voxel of its box"));
    }
    let range = section.range.end - labels.len()..section.range.end;
    Ok(Some(SourceLabelRange { labelled: Box3 { start, dims }, range }))
}

pub(super) fn parse_source_files(
    file: &[u8],
    sections: &[Section],
) -> Result<Vec<SourceFile>, FileFlaw> {
    let Some(section) = find_section(sections, SectionKind::Source) else { return Ok(Vec::new()) };
    section.verify_checksum(file)?;
    let short = || FileFlaw::bad_format(SectionKind::Source.name(), "is shorter than its files");
    let bytes = &file[section.range.clone()];
    let (head, rest) = SourceHead::ref_from_prefix(bytes).map_err(|_| short())?;
    let count = head.count.get() as usize;
    let records = <[SourceRecord]>::ref_from_prefix_with_elems(rest, count);
    let (records, mut names) = records.map_err(|_| short())?;
    let mut files = Vec::with_capacity(count);
    for record in records {
        let own = names.split_at_checked(record.name_bytes.get() as usize).ok_or_else(short)?;
        let name = std::str::from_utf8(own.0).map_err(|_| {
            FileFlaw::bad_format(SectionKind::Source.name(), "a file name is not utf-8")
        })?;
        files.push(SourceFile {
            name: name.to_owned(),
            bytes: record.bytes.get(),
            modified_ns: record.modified_ns.get(),
        });
        names = own.1;
    }
    Ok(files)
}
