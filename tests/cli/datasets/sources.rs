//! Phantom cases on their way into another layout.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use gliaflow::internals::brats::{read_labels_only, write_labels};
use gliaflow::internals::volume::LabelScheme;

use crate::cli::harness::Desk;

/// Modalities of the phantoms' files, in the order of the channels.
pub(super) const NAMES: [&str; 4] = ["t1", "t1ce", "t2", "flair"];

/// Phantom case on its way into another layout.
pub(crate) struct Source {
    folder: PathBuf,
    name: String,
    pub(super) number: usize,
}

impl Source {
    /// The phantoms of a desk.
    pub(super) fn all(desk: &Desk) -> Vec<Self> {
        let mut cohort = desk.names("data");
        cohort.retain(|name| desk.path(&format!("data/{name}")).is_dir());
        let source = |(number, name): (usize, String)| Self {
            folder: desk.path(&format!("data/{name}")),
            name,
            number,
        };
        (1..).zip(cohort).map(source).collect()
    }

    pub(super) fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}_{ending}.nii.gz", self.name))
    }

    /// Copies the image of a channel.
    pub(super) fn put_image(&self, channel: usize, to: &Path) {
        put_file(to, &std::fs::read(self.file(NAMES[channel])).unwrap());
    }

    /// Writes the labels with the values of `scheme`.
    pub(super) fn put_labels(&self, scheme: LabelScheme, to: &Path) {
        self.put_values(|canonical| scheme.to_file(canonical), to);
    }

    /// Writes the labels with a value for each canonical label.
    pub(super) fn put_values(&self, value: impl Fn(u8) -> u8, to: &Path) {
        let found = read_labels_only(&self.file("seg"), LabelScheme::Brats2018).unwrap();
        let values: Vec<u8> = found.labels.iter().map(|label| value(*label)).collect();
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        write_labels(to, &found.source.to_file_order(&values), &found.source).unwrap();
    }

    /// Writes one file with the images of `order`, a volume each.
    pub(super) fn put_stack(&self, order: &[usize], to: &Path) {
        let mut stack = Vec::new();
        for (place, channel) in order.iter().enumerate() {
            let content = inflate(&self.file(NAMES[*channel]));
            let start = if place == 0 { 0 } else { 352 };
            stack.extend_from_slice(&content[start..]);
        }
        stack[40..42].copy_from_slice(&4i16.to_le_bytes());
        stack[48..50].copy_from_slice(&(order.len() as i16).to_le_bytes());
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&stack).unwrap();
        put_file(to, &packed.finish().unwrap());
    }
}

pub(super) fn inflate(path: &Path) -> Vec<u8> {
    let mut content = Vec::new();
    let packed = std::fs::read(path).unwrap();
    MultiGzDecoder::new(&packed[..]).read_to_end(&mut content).unwrap();
    content
}

pub(super) fn put_file(to: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::write(to, bytes).unwrap();
}
