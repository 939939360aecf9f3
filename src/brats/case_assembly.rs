//! Cases made of the files that a layout names: images of one case agree in all named parts, and
//! labels are joined to them by name. What is missing or there twice is said, never guessed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::{CaseError, Reason};
use crate::brats::description::{DatasetDescription, Parts};
use crate::brats::folder_scan::FileHit;
use crate::brats::{StackPlaces, TumourGrade};
use crate::volume::Modality;

/// Key of a case: its name, the place that its paths begin at, its layout, and its named parts.
type CaseKey = (String, PathBuf, usize, Parts);

/// Files of cases, by what they have in common.
#[derive(Default)]
pub(super) struct CaseAssembly {
    images: BTreeMap<CaseKey, FoundImages>,
    /// Label files by layout and name of the case.
    labels: BTreeMap<(usize, String), Vec<FoundLabels>>,
}

/// Image files of a case; of a stack, the first place is the file.
#[derive(Default)]
struct FoundImages {
    files: [Option<RankedFile>; Modality::COUNT],
    grade: Option<TumourGrade>,
    /// Files that are not taken because they are there compressed as well, by their place.
    doubled: Vec<(usize, PathBuf)>,
    /// Two files for one place.
    rivals: Option<(PathBuf, PathBuf)>,
}

struct RankedFile {
    rank: usize,
    path: PathBuf,
}

struct FoundLabels {
    file: RankedFile,
    base: PathBuf,
    parts: Parts,
    grade: Option<TumourGrade>,
}

/// Case that the found files make.
pub(super) struct AssembledCase {
    pub(super) name: String,
    pub(super) layout: usize,
    pub(super) parts: Parts,
    pub(super) grade: Option<TumourGrade>,
    /// Files of the modalities, those of a stack all the same; or the error of a case that has two for
    /// one place.
    pub(super) images: Result<AssembledImages, CaseError>,
    pub(super) stack: Option<StackPlaces>,
    pub(super) labels: Option<PathBuf>,
    /// A folder that files of it lie in.
    pub(super) folder: PathBuf,
    pub(super) doubled: Vec<PathBuf>,
}

/// Images of a case.
pub(super) struct AssembledImages {
    /// File of each modality; empty where there is none.
    pub(super) files: [PathBuf; Modality::COUNT],
    /// Error of a case that has not all modalities of its layout.
    pub(super) error: Option<CaseError>,
}

impl AssembledImages {
    /// True if there is no file of the modality.
    pub(super) fn lacks_modality(&self, modality: Modality) -> bool {
        self.files[modality.index()].as_os_str().is_empty()
    }
}

impl CaseAssembly {
    /// Adds a file that the layout at `place` names.
    pub(super) fn add_file(&mut self, layouts: &[DatasetDescription], place: usize, hit: FileHit) {
        let FileHit { path, named, is_labels, grade } = hit;
        let case = layouts[place].case_of(&named.parts);
        let base = path.ancestors().nth(named.depth).unwrap_or(Path::new("")).to_owned();
        let file = RankedFile { rank: named.rank, path };
        if is_labels {
            let own = FoundLabels { file, base, parts: named.parts, grade };
            self.labels.entry((place, case)).or_default().push(own);
            return;
        }
        let images = self.images.entry((case, base, place, named.parts)).or_default();
        images.grade = images.grade.or(grade);
        images.add_file(named.modality.map_or(0, Modality::index), file);
    }

    /// Makes the cases, those of labels without an image among them.
    pub(super) fn into_cases(self, layouts: &[DatasetDescription]) -> Vec<AssembledCase> {
        let Self { images, mut labels } = self;
        let mut cases = Vec::new();
        for ((name, base, place, parts), found) in images {
            let mut of_case = labels.remove(&(place, name.clone())).unwrap_or_default();
            let own: Vec<FoundLabels> =
                of_case.extract_if(.., |labels| have_same_parts(&labels.parts, &parts)).collect();
            // Cases of one name are told apart later; labels that are not this one's are theirs.
            let own = match own.iter().any(|labels| labels.base == base) {
                true => {
                    let (own, others) = own.into_iter().partition(|labels| labels.base == base);
                    of_case.extend::<Vec<FoundLabels>>(others);
                    own
                }
                false => own,
            };
            if !of_case.is_empty() {
                labels.insert((place, name.clone()), of_case);
            }
            cases.push(found.into_case(name, place, parts, own, &layouts[place]));
        }
        for ((place, name), alone) in labels {
            let Some(first) = alone.first() else { continue };
            let parts = first.parts.clone();
            let found = FoundImages { grade: first.grade, ..FoundImages::default() };
            cases.push(found.into_case(name, place, parts, alone, &layouts[place]));
        }
        cases
    }
}

/// True if the parts that both have are the same.
fn have_same_parts(one: &Parts, other: &Parts) -> bool {
    one.iter().all(|(name, text)| other.get(name).is_none_or(|own| own == text))
}

impl FoundImages {
    fn add_file(&mut self, slot: usize, file: RankedFile) {
        let kept = match self.files[slot].take() {
            None => file,
            Some(known) => self.choose_file(slot, known, file),
        };
        self.files[slot] = Some(kept);
    }

    fn choose_file(&mut self, slot: usize, known: RankedFile, other: RankedFile) -> RankedFile {
        if known.rank != other.rank {
            return if known.rank < other.rank { known } else { other };
        }
        match prefer_compressed(&known.path, &other.path) {
            Some(true) => {
                self.doubled.push((slot, other.path));
                known
            }
            Some(false) => {
                self.doubled.push((slot, known.path));
                other
            }
            None => {
                self.rivals.get_or_insert((known.path.clone(), other.path));
                known
            }
        }
    }

    fn into_case(
        mut self,
        name: String,
        layout: usize,
        parts: Parts,
        labels: Vec<FoundLabels>,
        description: &DatasetDescription,
    ) -> AssembledCase {
        let labels = self.choose_labels(labels);
        let images = self.files.iter().flatten();
        let first = images.map(|file| &file.path).chain(&labels).next();
        let folder = first.and_then(|path| path.parent()).unwrap_or(Path::new("")).to_owned();
        let stack = description.stack_places();
        let images = match &self.rivals {
            Some((one, other)) => Err(rivals_error(&name, one, other)),
            None => Ok(self.complete_images(&name, &parts, &folder, description)),
        };
        self.doubled.sort();
        let doubled = self.doubled.into_iter().map(|(_, path)| path).collect();
        let grade = self.grade;
        AssembledCase { name, layout, parts, grade, images, stack, labels, folder, doubled }
    }

    /// The preferred of a case's label files; two that are alike are rivals.
    fn choose_labels(&mut self, labels: Vec<FoundLabels>) -> Option<PathBuf> {
        let mut chosen: Option<RankedFile> = None;
        for FoundLabels { file, .. } in labels {
            chosen = Some(match chosen {
                None => file,
                Some(known) => self.choose_file(Modality::COUNT, known, file),
            });
        }
        chosen.map(|file| file.path)
    }

    fn complete_images(
        &self,
        name: &str,
        parts: &Parts,
        folder: &Path,
        description: &DatasetDescription,
    ) -> AssembledImages {
        let rank = self.files.iter().flatten().map(|file| file.rank).min().unwrap_or(0);
        let mut missing = Vec::new();
        let mut images: [PathBuf; Modality::COUNT] = Default::default();
        for modality in description.modality_set().iter() {
            let slot = if description.is_of_stacks() { 0 } else { modality.index() };
            match &self.files[slot] {
                Some(file) => images[modality.index()].clone_from(&file.path),
                None => missing.push(description.expected_image(rank, modality, parts)),
            }
        }
        missing.dedup();
        if missing.is_empty() {
            return AssembledImages { files: images, error: None };
        }
        let file_name = |path: &String| match path.rsplit_once('/') {
            // Where the modality names a folder, the file's own name tells nothing.
            Some((above, _)) if !is_same_end(folder, above) => path.clone(),
            Some((_, file)) => file.to_owned(),
            None => path.clone(),
        };
        let missing: Vec<String> = missing.iter().map(file_name).collect();
        let error = CaseError::new(
            Reason::Missing,
            format!("case {name}"),
            format!("{} is not in {}", missing.join(" and "), folder.display()),
            "download the case again, move its folder away, or use what is there with data.missing = \
             \"zero\" or fewer data.modalities",
        );
        AssembledImages { files: images, error: Some(error) }
    }
}

fn is_same_end(folder: &Path, end: &str) -> bool {
    folder.ends_with(end) || std::path::absolute(folder).is_ok_and(|whole| whole.ends_with(end))
}

/// True if the first of two files is the compressed form of the other, false if it is the other way
/// round; `None` if they are two files.
fn prefer_compressed(one: &Path, other: &Path) -> Option<bool> {
    let is_of = |packed: &Path, plain: &Path| {
        packed.to_string_lossy().strip_suffix(".gz") == Some(&*plain.to_string_lossy())
    };
    match (is_of(one, other), is_of(other, one)) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

fn rivals_error(case: &str, one: &Path, other: &Path) -> CaseError {
    CaseError::new(
        Reason::Format,
        format!("case {case}"),
        format!("{} and {} are both of one place in it", one.display(), other.display()),
        "move one away, or tell cases apart by what their names differ in, as with \
         case = \"{case}_{date}\" in dataset.toml (docs/datasets.md)",
    )
}
