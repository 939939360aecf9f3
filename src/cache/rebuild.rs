//! Command that builds a damaged case file again, under the settings that it was made with.

use std::path::Path;

use crate::cache::{CaseMeaning, MappedCase, PreprocessConfig, Verify};
use crate::quality::{ForegroundRule, QualityPolicy};
use crate::resampling::Resampling;
use crate::volume::RunChannels;

/// Way out for a damaged case file of the cache at `root`: the command that builds exactly this file
/// again, or its removal where it does not say how and from what it was built.
pub(super) fn rebuild_remedy(path: &Path, root: &Path) -> String {
    let command = MappedCase::open(path, Verify::Header).ok().and_then(|case| {
        let folder = case.source_state().filter(|source| source.is_there())?.folder.clone();
        let foreground = ForegroundRule::from(case.description().foreground.clone());
        let resampling = case.description().resampling.map(|own| Resampling {
            spacing_mm: own.spacing_mm,
            interpolation: own.interpolation,
            max_voxels: usize::MAX,
        });
        let quality = QualityPolicy::ALL.into_iter().find(|quality| {
            let config = PreprocessConfig {
                foreground: foreground.clone(),
                quality: *quality,
                resampling,
                ..PreprocessConfig::default()
            };
            config.fingerprint() == case.preprocess_fingerprint()
        })?;
        let scheme = case.label_scheme();
        let regions = scheme.default_regions();
        let ingested = CaseMeaning::new(scheme, RunChannels { regions, ..RunChannels::default() });
        // Other channels, and labels without a name, are in a run's settings or a description.
        let is_ingested = case.description().meaning == ingested;
        (is_ingested && scheme.described_tissues().is_none()).then_some(())?;
        let voxel_size = resampling.map_or_else(String::new, |own| {
            let [x, y, z] = own.spacing_mm;
            format!(" --spacing {x},{y},{z} --interpolation {}", own.interpolation.name())
        });
        Some(format!(
            "`gliaflow ingest --verify --data {} --cache {} --foreground {} --quality {} --labels \
             {}{voxel_size}` builds it again",
            quote_word(&folder),
            quote_word(&root.display().to_string()),
            quote_word(&foreground.to_string()),
            quality.name(),
            scheme.name()
        ))
    });
    command.unwrap_or_else(|| {
        let file = quote_word(&path.display().to_string());
        format!("`rm {file}` removes it, and the next run or ingest of its case builds it again")
    })
}

/// Word of a shell's command line.
fn quote_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,+@".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_what_a_shell_reads_as_one() {
        for (text, word) in [
            ("a/b-1.case", "a/b-1.case"),
            ("my data", "'my data'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quote_word(text), word);
        }
    }
}
