//! Case files mapped read-only.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use derive_more::Deref;
use memmap2::Mmap;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use zerocopy::FromBytes;

use crate::base::fs::{self, AtPath, FileError};
use crate::base::{CaseError, Fingerprint, Reason};
use crate::cache::format::{PAGE, round_up_to_page};
use crate::cache::labelled_box::find_labelled_box;
use crate::cache::mapping_faults::MappingWatch;
use crate::cache::parse::{CaseIndex, FileFlaw, Section, parse_case_file};
use crate::cache::small_sections::ForegroundRanges;
use crate::cache::{
    CaseDescription, ExpectedSource, ForegroundView, HistogramBin, IntensityScale, IntensityStats,
    OutsideLabel, RawVoxel, SourceFile, SourceLabelsView, SourceState, TissueHistogramView,
};
use crate::volume::{Box3, CaseId, LabelScheme, Modality, Region, RegionSet, SourceGrid};

/// Extent and time of the checks of a file. The first page, the statistics, the histograms, the
/// foreground index and the source files (up to 100 kB) are always checked on opening; voxels and labels differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// Voxels and labels are not checked.
    Header,
    /// Voxels and labels are checked by the first [`MappedCase::verify_voxels`].
    #[default]
    Touch,
    /// The whole file is checked on opening, to the last byte of padding.
    Full,
}

/// Memory-mapped case file.
///
/// Accessors cost a slice; the voxels are read from disk on first access.
#[derive(Debug)]
pub struct MappedCase {
    path: PathBuf,
    map: MappedFile,
    index: CaseIndex,
    verify: Verify,
    touched: OnceLock<Result<(), CaseError>>,
    labelled: OnceLock<Box3>,
}

impl MappedCase {
    /// Maps a file and checks it as far as `verify` says.
    ///
    /// # Errors
    /// When the file is missing or unreadable, or its bytes are not those of a case file.
    pub fn open(path: &Path, verify: Verify) -> Result<Self, CaseError> {
        let map = MappedFile::open(path)?;
        let index = parse_case_file(&map).map_err(|flaw| flaw.into_case_error(path))?;
        if verify == Verify::Full {
            check_all(&map, &index.sections).map_err(|flaw| flaw.into_case_error(path))?;
        }
        let path = path.to_owned();
        Ok(Self { path, map, index, verify, touched: OnceLock::new(), labelled: OnceLock::new() })
    }

    /// Checks voxels and labels where [`Verify::Touch`] asks for it. Call it before reading them:
    /// the first call reads them all, a later one costs an atomic load.
    ///
    /// # Errors
    /// When a checksum disagrees; the same at every call.
    pub fn verify_voxels(&self) -> Result<(), CaseError> {
        if self.verify != Verify::Touch {
            return Ok(());
        }
        let check = || {
            check_sections(&self.map, &self.index.sections)
                .map_err(|flaw| flaw.into_case_error(&self.path))
        };
        self.touched.get_or_init(check).clone()
    }

    /// True if [`Self::verify_voxels`] or [`Self::check_pages`] has found damage.
    pub(super) fn is_damaged(&self) -> bool {
        self.map.has_faulted() || self.touched.get().is_some_and(Result::is_err)
    }

    /// Checks that every page that was read so far was there. Call it behind the reading of voxels,
    /// labels or places, whose values are worthless otherwise.
    ///
    /// # Errors
    /// When the file was cut short, or its disk failed, under the mapping.
    pub fn check_pages(&self) -> Result<(), CaseError> {
        self.map.check_pages(&self.path)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The case's name.
    pub const fn id(&self) -> &CaseId {
        &self.index.id
    }

    /// Grid of the voxels: that of the source files, or the one that they were resampled to.
    pub const fn source_grid(&self) -> &SourceGrid {
        &self.index.source
    }

    /// The stored box, in the canonical grid.
    pub const fn brain_box(&self) -> Box3 {
        self.index.brain
    }

    /// Meaning of the source's label values.
    pub const fn label_scheme(&self) -> LabelScheme {
        self.index.scheme
    }

    /// Fingerprint of the source's compressed bytes.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.index.fingerprint
    }

    /// Fingerprint of the preprocessing.
    pub const fn preprocess_fingerprint(&self) -> Fingerprint {
        self.index.preprocess
    }

    /// Bytes of the whole file.
    pub(super) fn file_content(&self) -> &[u8] {
        &self.map
    }

    /// Length of the file: address space, and page cache once read.
    pub fn file_bytes(&self) -> u64 {
        self.map.len() as u64
    }

    /// State of the source files when the case was built; empty when not recorded.
    pub fn source_files(&self) -> &[SourceFile] {
        &self.index.files
    }

    /// Place and state of the source files when the case was built, if they were known.
    pub const fn source_state(&self) -> Option<&SourceState> {
        self.index.description.source.as_ref()
    }

    /// True if the case was built from the expected source, as far as its file says.
    pub fn matches_source(&self, expected: ExpectedSource<'_>) -> bool {
        match expected {
            ExpectedSource::Anything => true,
            ExpectedSource::Fingerprint(fingerprint) => self.fingerprint() == fingerprint,
            ExpectedSource::State(expected) => {
                self.source_state().is_some_and(|own| own.state == expected.state)
            }
        }
    }

    /// Raw voxels `[d, h, w]` of the box, modalities interleaved.
    pub fn images(&self) -> &[RawVoxel] {
        <[RawVoxel]>::ref_from_bytes(&self.map[self.index.images.clone()])
            .expect("whole voxels on a page boundary, checked by parse")
    }

    /// Canonical labels `[d, h, w]` of the box.
    pub fn labels(&self) -> Option<&[u8]> {
        self.index.labels.clone().map(|range| &self.map[range])
    }

    /// Smallest box around the voxels with a label, in the brain box; the first call reads all labels.
    pub fn labelled_box(&self) -> Box3 {
        let find = || find_labelled_box(self.labels().unwrap_or_default(), self.brain_box().dims);
        *self.labelled.get_or_init(find)
    }

    /// Grid of the source files, if the case was resampled to another.
    pub fn resampled_from(&self) -> Option<&SourceGrid> {
        self.description().resampled_from()
    }

    /// Grid of the source files.
    pub fn file_grid(&self) -> &SourceGrid {
        self.resampled_from().unwrap_or(&self.index.source)
    }

    /// Labels on the grid that the case was resampled from.
    pub fn source_labels(&self) -> Option<SourceLabelsView<'_>> {
        let own = self.index.source_labels.as_ref()?;
        Some(SourceLabelsView { labelled: own.labelled, labels: &self.map[own.range.clone()] })
    }

    /// Intensity scale of a modality.
    pub const fn intensity_scale(&self, modality: Modality) -> &IntensityScale {
        &self.index.scales[modality.index()]
    }

    /// Statistics of a modality over its tissue.
    pub const fn intensity_stats(&self, modality: Modality) -> &IntensityStats {
        &self.index.stats[modality.index()]
    }

    /// Histogram of a modality's tissue; empty for a file of v1.
    pub fn tissue_histogram(&self, modality: Modality) -> TissueHistogramView<'_> {
        let bins = self.index.histograms[modality.index()].clone();
        let bins = <[HistogramBin]>::ref_from_bytes(&self.map[bins]);
        TissueHistogramView::new(bins.expect("whole bins of unaligned fields, checked by parse"))
    }

    /// Meaning of the content, and what preprocessing did to it.
    pub const fn description(&self) -> &CaseDescription {
        &self.index.description
    }

    /// Labels of the voxels outside the brain box, ascending.
    pub fn outside_labels(&self) -> &[OutsideLabel] {
        &self.index.outside
    }

    /// Regions of the foreground index.
    pub const fn indexed_regions(&self) -> RegionSet {
        self.index.regions
    }

    /// Voxels of a region of [`Self::indexed_regions`]; empty for unlabelled cases.
    pub fn foreground(&self, region: Region) -> ForegroundView<'_> {
        self.map.region_voxels(&self.index.foreground, region.index())
    }

    /// Voxels of the region of that index.
    pub fn foreground_at(&self, region: usize) -> ForegroundView<'_> {
        self.map.region_voxels(&self.index.foreground, region)
    }
}

/// A file's bytes, mapped read-only.
#[derive(Debug, Deref)]
pub(super) struct MappedFile {
    /// The first field, since it must be dropped before the mapping.
    watch: MappingWatch,
    #[deref(forward)]
    bytes: Mmap,
}

impl MappedFile {
    pub(super) fn open(path: &Path) -> Result<Self, CaseError> {
        let bytes = map_file(path).map_err(|error| match error.cause.raw_os_error() {
            Some(code) if code == Errno::NODEV.raw_os_error() => unmappable_error(path),
            _ => error.into(),
        })?;
        Ok(Self { watch: MappingWatch::over(&bytes), bytes })
    }

    fn has_faulted(&self) -> bool {
        self.watch.has_faulted()
    }

    /// Checks that every page that was read so far was there.
    pub(super) fn check_pages(&self, path: &Path) -> Result<(), CaseError> {
        if !self.has_faulted() {
            return Ok(());
        }
        Err(CaseError::new(
            Reason::Checksum,
            path.display(),
            "pages of it went away while it was mapped: it was cut short, or its disk fails",
            "leave the cache's files alone while a run uses them, and see the system's log",
        ))
    }

    /// Voxels of a region from a foreground index that has been checked.
    pub(super) fn region_voxels(
        &self,
        index: &ForegroundRanges,
        region: usize,
    ) -> ForegroundView<'_> {
        let (count, range) = &index[region];
        let voxels = <[u32]>::ref_from_bytes(&self.bytes[range.clone()])
            .expect("whole places behind records of 16 bytes on a page boundary, checked by parse");
        ForegroundView { count: *count, voxels }
    }
}

/// Maps a file and lets it go: an error where a cache cannot work.
///
/// # Errors
/// If the file is missing or unreadable, or its file system has no shared file maps.
pub fn check_mapping(path: &Path) -> Result<(), CaseError> {
    MappedFile::open(path).map(drop)
}

/// Error of a file system without shared file maps, such as FUSE with direct input and output.
fn unmappable_error(path: &Path) -> CaseError {
    CaseError::new(
        Reason::Io,
        path.display(),
        "this file system has no shared file maps, which a cache needs",
        "put the cache on another one with --cache DIR or --set data.cache=DIR, or train without a \
         cache: `gliaflow train --no-cache`",
    )
}

#[allow(unsafe_code)]
fn map_file(path: &Path) -> Result<Mmap, FileError> {
    let file = fs::open(path)?;
    // SAFETY: mapped bytes must not change while they are borrowed. A published file is never
    // opened for writing again: `writer` writes under another name in `tmp/`, syncs, and renames;
    // a newer build replaces the directory entry and leaves the old file, which this mapping keeps
    // alive, as it was. `gc` unlinks and never truncates. A process outside gliaflow that writes
    // into the cache breaks this rule, as `cache/README.md` says. One that cuts a file short is seen:
    // `mapping_faults` marks the mapping, and what was read of it is thrown away.
    fs::try_again(|| unsafe { Mmap::map(&file) }).at_path(path)
}

fn check_sections(file: &[u8], sections: &[Section]) -> Result<(), FileFlaw> {
    sections.iter().try_for_each(|section| section.verify_checksum(file))
}

/// Checks every byte behind the first page.
pub(super) fn check_all(file: &[u8], sections: &[Section]) -> Result<(), FileFlaw> {
    check_sections(file, sections)?;
    let mut end = PAGE;
    for section in sections {
        check_padding(&file[end..section.range.start])?;
        end = section.range.end;
    }
    check_padding(&file[end..])?;
    if file.len() != round_up_to_page(end) {
        return Err(FileFlaw::bad_format(
            "length",
            "the file does not end with its last section's page",
        ));
    }
    Ok(())
}

fn check_padding(padding: &[u8]) -> Result<(), FileFlaw> {
    if padding.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    Err(FileFlaw::bad_format("padding", "holds bytes that are not 0"))
}
