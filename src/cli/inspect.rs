//! `inspect`: contents and problems of a file or a dataset.

use std::path::{Path, PathBuf};

use crate::base::{CaseError, format_percent, fs};
use crate::brats::{
    DEFAULT_MAX_VOXELS, Depth, FileReport, FolderReport, inspect_file, inspect_folder,
};
use crate::cli::{CommandOutput, Console, VerbResult};
use crate::quality::{Consequence, QualityPolicy};
use crate::run::Failure;
use crate::storage;
use crate::volume::LabelScheme;

/// Show what a NIfTI file or a dataset folder holds, and what is wrong with it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow inspect case_t1.nii.gz --json
  gliaflow inspect data/BraTS2020 --deep
  gliaflow inspect data/BraTS-PEDs2024 --labels brats2024-ped
  gliaflow inspect data/hospital --write data/hospital/dataset.toml

A folder's layout is that of its dataset.toml, or else of its own dataset.json, or else the built-in one \
that its names fit (docs/datasets.md). A folder with problems is listed in full, and the exit code is 3. --deep also prints findings that \
no case is refused for (docs/data-quality.md); they leave the exit code alone.")]
pub(super) struct Inspect {
    /// A NIfTI file, a case's folder, or a dataset's folder, on a disk or in object storage
    path: PathBuf,

    /// Read every file of a folder: headers, checksums, agreement, labels, and how tissue and
    /// background of each image are distributed
    #[arg(long)]
    deep: bool,

    /// Meaning of a folder's label values, as docs/labels.md lists them [default: from file names]
    #[arg(long, value_name = "SCHEME")]
    labels: Option<LabelScheme>,

    /// File that describes a folder, in place of the dataset.toml beside it
    #[arg(long, value_name = "FILE")]
    description: Option<PathBuf>,

    /// File to write the description to that is used for a folder, for editing
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,

    /// Voxels of the largest volume that is read
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_VOXELS)]
    max_voxels: usize,
}

impl Inspect {
    pub(super) fn run(self, _: &Console) -> VerbResult {
        if storage::is_folder(&self.path) {
            let depth = if self.deep { Depth::Voxels } else { Depth::Names };
            let described = self.description.as_deref();
            let found = inspect_folder(&self.path, described, depth, self.labels, self.max_voxels)?;
            let bad = !found.problems.is_empty();
            let mut text = folder_text(&found);
            if let Some(file) = &self.write {
                write_description(file, &found)?;
                text += &format!("  description written to {}\n", file.display());
            }
            return Ok(CommandOutput::new(&found, text).with_bad_data(bad));
        }
        if self.description.is_some() || self.write.is_some() {
            let file = self.path.display();
            let problem =
                format!("{file}: is a file, and descriptions are of folders; name a folder");
            return Err(Failure::Usage(problem));
        }
        let found = inspect_file(&self.path, self.max_voxels)?;
        Ok(CommandOutput::new(&found, file_text(&found)))
    }
}

fn write_description(file: &Path, found: &FolderReport) -> Result<(), Failure> {
    if file.exists() {
        let problem = format!("{}: is there already; name another file", file.display());
        return Err(Failure::Usage(problem));
    }
    let text = found.description.to_file_text().map_err(Failure::Usage)?;
    Ok(fs::write(file, text).map_err(CaseError::from)?)
}

fn file_text(found: &FileReport) -> String {
    let shape: Vec<String> = found.shape.iter().map(ToString::to_string).collect();
    let spacing: Vec<String> = found.spacing_mm.iter().map(|edge| format!("{edge:.4}")).collect();
    let value = |value: Option<f64>| value.map_or_else(|| "none".to_string(), |v| v.to_string());
    let mut text = format!(
        "{}\n  shape        {}\n  spacing      {} mm\n  datatype     {}\n  orientation  {}\n  \
         values       {} to {}, sum {}\n",
        found.path,
        shape.join(" x "),
        spacing.join(" x "),
        found.datatype,
        found.orientation,
        value(found.min),
        value(found.max),
        found.sum
    );
    if found.non_finite > 0 {
        let voxels = found.non_finite;
        text += &format!("  not finite   {voxels} voxels; they count as background\n");
    }
    text
}

fn folder_text(found: &FolderReport) -> String {
    let labelled = found.cases.iter().filter(|case| case.labelled).count();
    let mut text = format!(
        "{} cases ({labelled} labelled), layout {}, labels {} ({})\n",
        found.cases.len(),
        json_name(&found.layout),
        found.scheme,
        found.scheme_reason
    );
    text += &format!("  layout {}: {}", found.layout, found.layout_reason);
    text += &match found.sources.as_slice() {
        [] => "; unproved, no public page states it\n".to_owned(),
        sources => format!("; stated by {}\n", sources.join(", ")),
    };
    text += &format!("  modalities {}\n", found.modalities);
    text.push_str(&region_table(found));
    for case in found.cases.iter().filter(|case| case.scheme != found.scheme) {
        text += &format!("  labels of {}: {}\n", case.id, case.scheme);
    }
    text.push_str(&quality_table(found));
    for problem in &found.problems {
        text += &format!("  problem: {problem}\n");
    }
    text
}

/// Table of the regions: what makes each, and the value that it is written as.
fn region_table(found: &FolderReport) -> String {
    let list = |names: Vec<String>| names.join(", ");
    let rows: Vec<[String; 5]> = found
        .regions
        .iter()
        .map(|own| {
            [
                own.region.to_owned(),
                list(own.tissues.iter().map(ToString::to_string).collect()),
                list(own.values.iter().map(ToString::to_string).collect()),
                own.written.to_string(),
                own.voxels.map_or_else(String::new, |voxels| voxels.to_string()),
            ]
        })
        .collect();
    let counted = found.regions.iter().any(|own| own.voxels.is_some());
    let last = if counted { "voxels" } else { "" };
    let head = ["region", "tissues", "values", "written", last].map(str::to_owned);
    let width = |column: usize| {
        let cells = rows.iter().chain([&head]).map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut text = String::new();
    for row in std::iter::once(&head).chain(&rows) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text += &format!("  {}\n", line.trim_end());
    }
    if found.regions.len() > 1 {
        let names: Vec<&str> = found.regions.iter().map(|own| own.region).collect();
        text += &format!("  painted in the order {}; the last one overrides\n", names.join(", "));
    }
    if !found.ignored_values.is_empty() {
        let values = list(found.ignored_values.iter().map(ToString::to_string).collect());
        text += &format!("  ignored: {values}, in every loss and score\n");
    }
    text
}

/// Table of the images' tissue, and the findings that no case is refused for; empty where no voxel
/// was read.
fn quality_table(found: &FolderReport) -> String {
    let mut text = String::new();
    let mut findings = String::new();
    for case in &found.cases {
        let Some(examination) = &case.examination else { continue };
        if text.is_empty() {
            text = format!(
                "{:<24} {:<5} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8} {:>10}\n",
                "case",
                "image",
                "tissue",
                "mean",
                "sd",
                "min",
                "0.5 %",
                "50 %",
                "99.5 %",
                "max",
                "covers",
                "background"
            );
        }
        for image in &examination.images {
            let tissue = &image.quality.tissue;
            let [low, _, _, median, _, _, high] = tissue.percentiles;
            let figures = [tissue.mean, tissue.sd, tissue.min, low, median, high, tissue.max]
                .map(intensity_text);
            text += &format!(
                "{:<24} {:<5} {:>8} {} {:>8} {:>10}\n",
                case.id,
                image.modality,
                format_percent(tissue.share),
                figures.join(" "),
                format_percent(image.coverage),
                intensity_text(image.quality.background.range.value).trim_start()
            );
        }
        for located in &examination.findings {
            let severity = located.finding.severity;
            if QualityPolicy::default().decide_on(severity) != Consequence::Refuse {
                let weight = json_name(&severity);
                findings += &format!("  {weight}: case {}: {located}\n", case.id);
            }
        }
    }
    text + &findings
}

/// Intensity in nine characters, four significant digits.
fn intensity_text(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) {
        return format!("{value:>9.2e}");
    }
    let digits =
        if size >= 1000.0 || size == 0.0 { 0 } else { (3.0 - size.log10().floor()) as usize };
    format!("{value:>9.digits$}")
}

/// Name of a value in JSON, so that text and document have the same.
fn json_name(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().map_or_else(|| json.to_string(), str::to_string)
}
