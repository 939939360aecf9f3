//! Line that a description's reader would accept, for the error about one that it does not.

/// Fields with a line of each.
const EXAMPLES: [(&str, &str); 14] = [
    ("schema", "schema = 1"),
    ("layout", "layout = \"brats2021\""),
    ("sources", "sources = [\"https://arxiv.org/abs/2107.02314\"]"),
    ("label_scheme", "label_scheme = \"brats2018\""),
    ("labels", "ET = 3 under [labels]"),
    ("regions", "core = [\"ET\", \"NCR\"] under [regions]"),
    ("painting", "painting = [\"WT\", \"TC\", \"ET\"]"),
    ("images", "images = \"{case}/{case}_{modality}.nii[.gz]\""),
    ("label_files", "label_files = \"{case}/{case}_seg.nii[.gz]\""),
    ("datalist", "datalist = \"dataset.json\""),
    ("case", "case = \"{patient}_{scan}\""),
    ("patient", "patient = \"{patient}_*\""),
    ("order", "order = [\"flair\", \"t1\", \"t1ce\", \"t2\"]"),
    ("modalities", "t1ce = \"t1c\" under [modalities]"),
];

/// Letters that an unknown field has in common with the one that was meant, at least.
const COMMON_LETTERS: usize = 3;

/// Line for the field that stands at `place` of a description's text.
pub(super) fn example_at(text: &str, place: usize) -> &'static str {
    let before = text.get(..place).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = text.get(start..).unwrap_or("").lines().next().unwrap_or("");
    let key = line.split('=').next().unwrap_or("").trim();
    let section = |line: &str| {
        let named = line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        named.map(|name| name.trim().to_owned())
    };
    let above = || before.lines().rev().find_map(section);
    let field = section(line).or_else(above).unwrap_or_else(|| key.to_owned());
    example_of(&field)
}

fn example_of(field: &str) -> &'static str {
    let own = EXAMPLES.iter().find(|(name, _)| *name == field);
    let common = |name: &str| name.bytes().zip(field.bytes()).take_while(|(a, b)| a == b).count();
    let alike = || {
        let alike = EXAMPLES.iter().filter(|(name, _)| common(name) >= COMMON_LETTERS);
        // Of equals the first: none is likelier.
        alike.rev().max_by_key(|(name, _)| common(name))
    };
    let images = EXAMPLES.iter().find(|(name, _)| *name == "images");
    own.or_else(alike).or(images).map_or("", |(_, line)| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_that_of_the_field_of_its_section_or_of_one_spelt_alike() {
        let text = "label_file = 3\nlayout = 4\n[labels]\nET = \"x\"\n\n[modalities]\nadc = 1\n";
        for (word, wanted) in [
            ("label_file", "label_files = "),
            ("layout", "layout = "),
            ("[labels]", "under [labels]"),
            ("ET", "under [labels]"),
            ("adc", "under [modalities]"),
        ] {
            let found = example_at(text, text.find(word).unwrap());
            assert!(found.contains(wanted), "{word}: {found}");
        }
        assert!(example_of("zzz").starts_with("images = "));
    }
}
