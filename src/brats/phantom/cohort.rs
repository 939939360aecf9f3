//! Phantom cohorts on disk, in the BraTS 2020 layout: resumable, and never a mix of two cohorts.
//!
//! A case is written into a hidden folder and renamed when it is whole, so a case folder that
//! exists is complete. `phantom.json` in the root holds the cohort's settings. One process at a
//! time; within it, cases may be written by several threads.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{GENERATOR, PhantomCase, PhantomConfig, case_id, generate_phantom};
use crate::base::{CaseError, Reason, fs, replace_file_with};
use crate::brats::{write_intensities, write_labels};
use crate::volume::{CaseId, LabelScheme, Modality};

/// File in a cohort's root that holds its settings.
pub const MANIFEST: &str = "phantom.json";

/// Content of [`MANIFEST`].
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    generator: u32,
    config: PhantomConfig,
}

/// Writes case `index` into `folder` unless it is there: four images and the segmentation, labels
/// 1, 2 and 4, as `BraTS20_Training_001/BraTS20_Training_001_flair.nii.gz` and so on. Claims the
/// folder for `config`.
///
/// # Errors
/// If the grid is out of range, the folder holds another cohort, or the disk refuses.
pub fn write_case(folder: &Path, config: &PhantomConfig, index: u64) -> Result<CaseId, CaseError> {
    claim_folder(folder, config)?;
    let id = case_id(index);
    let place = folder.join(id.as_str());
    if is_complete(&place, &id) {
        return Ok(id);
    }
    let partial = folder.join(format!(".{id}.partial"));
    fs::if_present(fs::remove_dir_all(&partial))?;
    fs::create_dir(&partial)?;
    write_files(&partial, &generate_phantom(config, index))?;
    fs::if_present(fs::remove_dir_all(&place))?;
    fs::rename(&partial, &place)?;
    Ok(id)
}

/// Claims `folder` for this cohort: writes the manifest, or checks the one that is there.
///
/// # Errors
/// If the grid is out of range or the folder holds another cohort ([`Reason::Geometry`]), or the
/// disk refuses.
pub fn claim_folder(folder: &Path, config: &PhantomConfig) -> Result<(), CaseError> {
    config.check()?;
    let manifest = folder.join(MANIFEST);
    let wanted = Manifest { generator: GENERATOR, config: config.clone() };
    if manifest.exists() {
        return check_manifest(&manifest, &wanted);
    }
    fs::create_dir_all(folder)?;
    // The second look: another thread may have claimed the folder and written a case meanwhile.
    if let Some(case) = first_case(folder)?
        && !manifest.exists()
    {
        let problem = format!("holds `{case}` but no {MANIFEST}, so its cases are no phantoms");
        let remedy = "choose another folder";
        return Err(CaseError::new(Reason::Geometry, folder.display(), problem, remedy));
    }
    let text = serde_json::to_string_pretty(&wanted).expect("a manifest is plain JSON") + "\n";
    // Threads of one cohort write the same text; each renames its own whole file into place.
    Ok(replace_file_with(&manifest, |file| file.write_all(text.as_bytes()))?)
}

fn check_manifest(path: &Path, wanted: &Manifest) -> Result<(), CaseError> {
    let text = fs::read_to_string(path)?;
    let found: Manifest = serde_json::from_str(&text).map_err(|error| {
        let remedy = "delete the folder or choose another";
        CaseError::new(Reason::Format, path.display(), error.to_string(), remedy)
    })?;
    if found == *wanted {
        return Ok(());
    }
    let describe = |manifest: &Manifest| {
        let PhantomConfig { dims, seed } = manifest.config;
        format!("shape {dims}, seed {seed}, generator {}", manifest.generator)
    };
    let problem = format!("holds {}, asked for {}", describe(&found), describe(wanted));
    let remedy = "choose another folder or delete this one";
    Err(CaseError::new(Reason::Geometry, path.display(), problem, remedy))
}

/// First case in the folder, if there is one. Cases without a manifest are real data.
fn first_case(folder: &Path) -> Result<Option<String>, CaseError> {
    let names = fs::list_dir(folder)?.into_iter();
    let mut names = names.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    Ok(names.find(|name| name.starts_with("BraTS")))
}

fn write_files(folder: &Path, phantom: &PhantomCase) -> Result<(), CaseError> {
    let PhantomCase { id, source, images, labels } = phantom;
    for modality in Modality::ALL {
        let path = folder.join(file_name(id, modality.name()));
        write_intensities(&path, &images[modality.index()], source)?;
    }
    let values: Vec<u8> =
        labels.iter().map(|canonical| LabelScheme::Brats2018.to_file(*canonical)).collect();
    write_labels(&folder.join(file_name(id, "seg")), &values, source)
}

fn is_complete(place: &Path, id: &CaseId) -> bool {
    let suffixes = Modality::ALL.map(Modality::name).into_iter().chain(["seg"]);
    suffixes.map(|suffix| place.join(file_name(id, suffix))).all(|path| path.is_file())
}

fn file_name(id: &CaseId, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{id}_{suffix}.nii.gz"))
}
