//! Names that other datasets have for modalities and tissues.

use crate::volume::{LabelScheme, Modality, label};

/// Names of the modalities, without case, blanks and punctuation.
const MODALITIES: [(Modality, &[&str]); Modality::COUNT] = [
    (Modality::T1, &["t1", "t1w", "t1n", "t1native", "t1pre", "t1wpre"]),
    (
        Modality::T1ce,
        &["t1ce", "t1c", "t1gd", "t1wce", "t1wc", "t1wgd", "t1post", "t1wpost", "cet1", "cet1w"],
    ),
    (Modality::T2, &["t2", "t2w"]),
    (Modality::Flair, &["flair", "t2flair", "t2f", "t2wflair", "flairw"]),
];

/// Names of canonical labels, spelt as in American English.
const TISSUES: [(u8, &[&str]); 5] = [
    (label::BACKGROUND, &["background"]),
    (
        label::NCR,
        &[
            "nonenhancingtumor",
            "nonenhancing",
            "nonenhancingtumorcore",
            "necrosis",
            "necrotic",
            "necroticcore",
            "necrotictumorcore",
            "necroticandnonenhancingtumorcore",
            "necroticandnonenhancingtumor",
            "ncr",
            "ncrnet",
            "net",
            "netc",
        ],
    ),
    (
        label::ED,
        &["edema", "ed", "peritumoraledema", "surroundingnonenhancingflairhyperintensity", "snfh"],
    ),
    (label::ET, &["enhancingtumor", "enhancing", "et", "gdenhancingtumor"]),
    (label::RC, &["resectioncavity", "rc"]),
];

fn plain_name(name: &str) -> String {
    let letters = name.chars().filter(|letter| letter.is_alphanumeric());
    let plain: String = letters.flat_map(char::to_lowercase).collect();
    plain.replace("tumour", "tumor").replace("oedema", "edema")
}

/// Modality of a name such as `T1w` or `t1gd`.
pub(in crate::brats) fn modality_of_name(name: &str) -> Option<Modality> {
    let plain = plain_name(name);
    let of_name = |(_, names): &&(Modality, &[&str])| names.contains(&plain.as_str());
    MODALITIES.iter().find(of_name).map(|(modality, _)| *modality)
}

/// Modality that the name of a file ends with, after `_`, `-` or `.`.
pub(in crate::brats) fn modality_of_file(stem: &str) -> Option<Modality> {
    let (_, last) = stem.rsplit_once(['_', '-', '.'])?;
    modality_of_name(last)
}

/// Canonical label of a tissue such as `edema`.
pub(in crate::brats) fn tissue_of_name(name: &str) -> Option<u8> {
    let plain = plain_name(name);
    let of_name = |(_, names): &&(u8, &[&str])| names.contains(&plain.as_str());
    TISSUES.iter().find(of_name).map(|(tissue, _)| *tissue)
}

/// Place of a region in the nesting of whole tumour, core and enhancing tumour, and the tissue that
/// it has over the next inner one.
pub(in crate::brats) fn region_rank(name: &str) -> Option<(usize, u8)> {
    match plain_name(name).as_str() {
        "wholetumor" | "wt" => Some((0, label::ED)),
        "tumorcore" | "tc" => Some((1, label::NCR)),
        "enhancingtumor" | "et" => Some((2, label::ET)),
        _ => None,
    }
}

/// The scheme that gives values these canonical labels: all of its values, or else some.
pub(in crate::brats) fn scheme_of_pairs(pairs: &[(u8, u8)]) -> Option<LabelScheme> {
    let agrees = |scheme: &LabelScheme| {
        pairs.iter().all(|(value, tissue)| scheme.to_canonical(*value) == Some(*tissue))
    };
    let is_whole = |scheme: &LabelScheme| {
        scheme.file_values().iter().all(|value| pairs.iter().any(|(own, _)| own == value))
    };
    let mut fitting = LabelScheme::ALL.into_iter().filter(agrees);
    let first = fitting.clone().next();
    fitting.find(is_whole).or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_field_are_known_however_they_are_spelt() {
        for (name, modality) in [
            ("T1w", Modality::T1),
            ("t1gd", Modality::T1ce),
            ("T1-ce", Modality::T1ce),
            ("T2w", Modality::T2),
            ("T2-FLAIR", Modality::Flair),
        ] {
            assert_eq!(modality_of_name(name), Some(modality), "{name}");
        }
        assert_eq!(modality_of_name("ADC"), None);
        assert_eq!(modality_of_file("BraTS2021_01146_flair"), Some(Modality::Flair));
        assert_eq!(modality_of_file("BraTS-GLI-00001-000-t1c"), Some(Modality::T1ce));
        assert_eq!(tissue_of_name("non-enhancing tumour"), Some(label::NCR));
        assert_eq!(tissue_of_name("Oedema"), Some(label::ED));
        assert_eq!(tissue_of_name("tumor"), None, "which of them is not said");
    }

    #[test]
    fn values_with_their_tissues_tell_the_scheme() {
        for scheme in LabelScheme::ALL.into_iter().filter(|own| *own != LabelScheme::Brats2024Ped) {
            let mut pairs = scheme.label_pairs().to_vec();
            pairs.push((0, label::BACKGROUND));
            assert_eq!(scheme_of_pairs(&pairs), Some(scheme));
        }
        assert_eq!(scheme_of_pairs(&[(1, label::ET), (2, label::ED)]), None);
    }
}
