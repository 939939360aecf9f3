//! Parameters that training leaves as they are, named by the parts of the network that they are in.

use std::collections::BTreeSet;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::base::ConfigError;
use crate::nets::weights::{ParameterShape, parameter_shapes};

/// Setting that names the parts.
const FIELD: &str = "train.freeze";

/// True if a parameter is in one of the frozen `parts`, such as `enc.0.1.conv.weight` in `enc` or `enc.0`.
fn is_in_parts(name: &str, parts: &[String]) -> bool {
    parts.iter().any(|part| {
        let rest = name.strip_prefix(part.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Checks that each of `parts` is one of the network with these `parameters`, and that something is left to
/// train.
///
/// # Errors
/// If a part has no parameter, with the names of those that have, or if all parameters are frozen.
pub fn check_frozen_parts(
    parts: &[String],
    parameters: &[ParameterShape],
) -> Result<(), ConfigError> {
    for part in parts {
        let own = std::slice::from_ref(part);
        if !parameters.iter().any(|parameter| is_in_parts(&parameter.name, own)) {
            let problem = "no part of the network";
            let way_out = format!("write one of {}", part_names(parameters).join(", "));
            return Err(ConfigError::new(FIELD, format!("{part:?}"), problem, way_out));
        }
    }
    if parameters.iter().all(|parameter| is_in_parts(&parameter.name, parts)) {
        let problem = "the whole network, and nothing would be trained";
        let way_out = "leave out what is to be trained, such as the head";
        return Err(ConfigError::new(FIELD, format!("{parts:?}"), problem, way_out));
    }
    Ok(())
}

/// Names of the parts of a network, in the order of its parameters: the first word of their names, and the
/// first two.
fn part_names(parameters: &[ParameterShape]) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for ParameterShape { name, .. } in parameters {
        let ends = name.match_indices('.').map(|(end, _)| end).take(2);
        for part in ends.map(|end| &name[..end]) {
            if seen.insert(part) {
                names.push(part);
            }
        }
    }
    names
}

/// Parameters of one module that are frozen, in its order; none for a default.
#[derive(Debug, Clone, Default)]
pub(super) struct FrozenParameters(Vec<bool>);

impl FrozenParameters {
    /// Finds the parameters of `module` in `parts`.
    pub(super) fn of_parts<M: Module>(module: &M, parts: &[String]) -> Self {
        if parts.is_empty() {
            return Self::default();
        }
        let parameters = parameter_shapes(module);
        Self(parameters.iter().map(|parameter| is_in_parts(&parameter.name, parts)).collect())
    }

    /// Drops the gradients of frozen parameters: what has none is not updated, nor decayed, and counts in no
    /// norm.
    pub(super) fn drop_gradients<M: Module>(&self, module: &M, gradients: &mut GradientsParams) {
        if !self.0.is_empty() {
            module.visit(&mut GradientDropper { frozen: self.0.iter(), gradients });
        }
    }
}

struct GradientDropper<'a> {
    frozen: std::slice::Iter<'a, bool>,
    gradients: &'a mut GradientsParams,
}

impl ModuleVisitor for GradientDropper<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.frozen.next() == Some(&true) {
            drop(self.gradients.remove::<D>(param.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> Vec<ParameterShape> {
        ["enc.0.0.conv.weight", "enc.0.0.conv.bias", "enc.1.0.conv.weight", "head.weight"]
            .map(|name| ParameterShape { name: name.into(), shape: vec![1] })
            .to_vec()
    }

    fn check(parts: &[&str]) -> Result<(), String> {
        let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
        check_frozen_parts(&parts, &parameters()).map_err(|error| error.to_string())
    }

    #[test]
    fn parts_are_whole_words_of_names() {
        for parts in [&["enc"][..], &["enc.0", "head.weight"], &["enc.1.0.conv"], &[]] {
            assert_eq!(check(parts), Ok(()), "{parts:?}");
        }
        for parts in [["en"], ["enc.0.0.conv.w"], ["encoder"], [""], ["enc."]] {
            let refused = check(&parts).unwrap_err();
            assert!(refused.contains("enc, enc.0, enc.1, head"), "{refused}");
            assert!(refused.starts_with(&format!("train.freeze = {:?}", parts[0])), "{refused}");
        }
    }

    #[test]
    fn a_network_without_anything_to_train_is_refused() {
        assert!(check(&["enc", "head"]).unwrap_err().contains("nothing would be trained"));
    }
}
