//! Checks of a description's fields that depend on each other. Every refusal names the field, its
//! value, and the line that would be accepted.

use crate::base::ConfigError;
use crate::brats::description::{
    DatasetDescription, MODALITY, NamePattern, OneOrMany, UNUSED_VOLUME,
};
use crate::volume::Modality;

impl DatasetDescription {
    /// Checks the fields against each other.
    ///
    /// # Errors
    /// The first that cannot be, with the line that can.
    pub(super) fn check_fields(&self) -> Result<(), ConfigError> {
        if self.images.is_empty() && self.label_files.is_empty() && self.datalist.is_none() {
            return Err(self.no_images_error());
        }
        for pattern in self.images.iter() {
            let is_of_files = pattern.part_names().any(|name| name == MODALITY);
            if is_of_files == self.is_of_stacks() {
                let (problem, way_out) = match is_of_files {
                    true => ("a file for each modality, beside an order of stacks", "keep one"),
                    false => ("without the part {modality}", STACK_WAY_OUT),
                };
                return Err(ConfigError::new("images", pattern, problem, way_out));
            }
            self.check_case_parts("images", pattern)?;
        }
        for pattern in self.label_files.iter() {
            if pattern.part_names().any(|name| name == MODALITY) {
                let way_out = "name one label file for each case";
                return Err(ConfigError::new("label_files", pattern, "of a modality", way_out));
            }
            self.check_case_parts("label_files", pattern)?;
        }
        if !self.label_files.is_empty() && self.label_scheme.is_empty() && self.labels.is_none() {
            let way_out = r#"write what they mean, as label_scheme = "brats2018" (docs/labels.md), or a section [labels]"#;
            let problem = "a way to labels whose values have no meaning";
            return Err(ConfigError::new("label_files", &self.label_files[0], problem, way_out));
        }
        for pattern in self.patient.iter() {
            if pattern.part_names().all(|name| name != "patient") {
                let way_out = r#"write one such as patient = "{patient}_*""#;
                return Err(ConfigError::new("patient", pattern, "without {patient}", way_out));
            }
        }
        self.check_regions()?;
        if self.is_of_stacks() { self.check_order() } else { self.check_modalities() }
    }

    /// Error of a description that finds no image.
    pub(in crate::brats) fn no_images_error(&self) -> ConfigError {
        let way_out = r#"write images = "{case}/{case}_{modality}.nii[.gz]", or layout = "NAME""#;
        ConfigError::new("images", "none", "no way to find a file", way_out)
    }

    fn check_regions(&self) -> Result<(), ConfigError> {
        let Some(named) = &self.regions else {
            if let Some(painting) = &self.painting {
                let way_out = "write the regions in a section [regions], too";
                let shown = format!("{painting:?}");
                return Err(ConfigError::new("painting", shown, "an order of no regions", way_out));
            }
            return Ok(());
        };
        for scheme in self.schemes() {
            named.to_set(Some(*scheme), self.painting.as_deref()).map_err(|problem| {
                let shown = serde_json::to_string(named).unwrap_or_default();
                ConfigError::new("regions", shown, "no set of regions", problem)
            })?;
        }
        Ok(())
    }

    /// Names of the parts that a case's name is made of.
    pub(in crate::brats) fn case_parts(&self) -> Vec<&str> {
        self.case.as_ref().map_or_else(|| vec!["case"], |case| case.part_names().collect())
    }

    fn check_case_parts(&self, field: &str, pattern: &NamePattern) -> Result<(), ConfigError> {
        let has_part = |wanted: &str| pattern.part_names().any(|name| name == wanted);
        let Some(missing) = self.case_parts().into_iter().find(|part| !has_part(part)) else {
            return Ok(());
        };
        let problem = format!("without {{{missing}}}, which names the case");
        let way_out = format!(
            r#"put {{{missing}}} into it, or say what names a case, as case = "{{patient}}_{{scan}}""#
        );
        Err(ConfigError::new(field, pattern, problem, way_out))
    }

    fn check_order(&self) -> Result<(), ConfigError> {
        let whole = || format!("{:?}", self.order);
        let way_out = r#"write t1, t1ce, t2 and flair, those that there are, once, and "-" for other volumes"#;
        let known = |name: &str| Modality::ALL.iter().any(|modality| modality.name() == name);
        if let Some(other) = self.order.iter().find(|name| !known(name) && *name != UNUSED_VOLUME) {
            let problem = format!("no order: {other} is no modality");
            return Err(ConfigError::new("order", whole(), problem, way_out));
        }
        for modality in Modality::ALL {
            let count = self.order.iter().filter(|name| *name == modality.name()).count();
            if count > 1 {
                let problem = format!("no order: {modality} is in it {count} times");
                return Err(ConfigError::new("order", whole(), problem, way_out));
            }
        }
        if self.order.iter().all(|name| name == UNUSED_VOLUME) {
            return Err(ConfigError::new("order", whole(), "no order of any modality", way_out));
        }
        Ok(())
    }

    fn check_modalities(&self) -> Result<(), ConfigError> {
        if self.datalist.is_some() || self.images.is_empty() {
            return Ok(());
        }
        if Modality::ALL.iter().all(|own| self.modalities.names_of(*own).is_empty()) {
            let way_out = "write the names in file names of those that there are, as t1ce = \"…\"";
            return Err(ConfigError::new("modalities", "none", "without a name", way_out));
        }
        for modality in Modality::ALL {
            let field = format!("modalities.{modality}");
            let names: &OneOrMany<String> = self.modalities.names_of(modality);
            for name in names.iter() {
                let count = self.modalities.all_names().filter(|(_, own)| own == name).count();
                if name.is_empty() || name.contains('/') || count > 1 {
                    let problem = "empty, a path, or the name of two modalities";
                    return Err(ConfigError::new(field, name, problem, NAME_WAY_OUT));
                }
            }
        }
        Ok(())
    }
}

const NAME_WAY_OUT: &str = r#"name each by its own part of the file names, as t1 = "t1n""#;

const STACK_WAY_OUT: &str = r#"put it where the modality's name is, or, if a file holds all modalities, write order = ["flair", "t1", "t1ce", "t2"]"#;
