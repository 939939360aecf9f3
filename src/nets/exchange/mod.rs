//! Weight exchange with other programs: safetensors files of tensors in PyTorch's shapes.
//!
//! A file of this program has this program's names and orders (docs/weights.md). A network may also
//! know another program's names, as a [`Dialect`]. Files are read in full: every tensor must be
//! used or known to be unused, and every parameter filled or known to have no counterpart;
//! otherwise the file is refused with the names that do not fit.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use half::{bf16, f16};
use safetensors::tensor::{Metadata, TensorView};
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use crate::base::{Fault, fs};
use crate::nets::weights::{self, ParameterShape};
use crate::volume::RunChannels;

mod dialect;

pub use dialect::{Dialect, WeightLayout};

/// Key of the file's metadata: what the weights are of, as JSON.
const ABOUT: &str = "gliaflow";

/// Most names that an error lists.
const LISTED: usize = 6;

/// Parameter with its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// Name and shape.
    pub parameter: ParameterShape,
    /// Values, row-major.
    pub values: Vec<f32>,
}

/// Collects every parameter of a module, in the order of its fields. Waits for the device.
pub fn weights_of<M: Module>(module: &M) -> Vec<Weight> {
    let mut visitor = WeightCollector(Vec::new());
    module.visit(&mut visitor);
    let parameters = weights::parameter_shapes(module).into_iter().zip(visitor.0);
    parameters.map(|(parameter, values)| Weight { parameter, values }).collect()
}

/// Serialises weights as a safetensors file; the same weights give the same bytes.
///
/// # Errors
/// If the names take more than the format's header holds.
pub fn to_bytes(
    weights: &[Weight],
    network: &str,
    channels: RunChannels,
    settings: &Value,
) -> Result<Vec<u8>, Fault> {
    let bytes: Vec<Vec<u8>> = weights
        .iter()
        .map(|weight| weight.values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let unwritable = |error: &dyn std::fmt::Display| Fault::Environment {
        subject: format!("weights of {network}"),
        problem: format!("have no form as safetensors: {error}"),
        remedy: "use a network of fewer parameters".into(),
    };
    let mut views = Vec::with_capacity(weights.len());
    for (weight, bytes) in weights.iter().zip(&bytes) {
        let ParameterShape { name, shape } = &weight.parameter;
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        views.push((name.as_str(), view.map_err(|error| unwritable(&error))?));
    }
    let about = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "network": network,
        "settings": settings,
        "modalities": channels.modalities,
        "regions": channels.regions.region_names().collect::<Vec<_>>(),
        "axes": "zyx",
    });
    let metadata = HashMap::from([(ABOUT.to_string(), about.to_string())]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| unwritable(&error))
}

/// Weights read from a file.
#[derive(Debug)]
pub struct ImportedWeights {
    /// Values by the network's own names, in its own orders.
    pub values: BTreeMap<String, Vec<f32>>,
    /// Parameters that the file's program does not have; they keep the values they have.
    pub kept: Vec<String>,
    /// Names of tensors that this program has no use for.
    pub unused: Vec<String>,
    /// Program whose names the file uses.
    pub program: &'static str,
}

/// Reads the weights of the network with these `parameters` from a safetensors file.
///
/// # Errors
/// If the file cannot be read, or does not fit: names what is missing, left over, of another shape,
/// or not finite.
pub fn read_safetensors(
    file: &Path,
    parameters: &[ParameterShape],
    dialect: Option<&Dialect>,
) -> Result<ImportedWeights, Fault> {
    parse_safetensors(&fs::read(file)?, &file.display().to_string(), parameters, dialect)
}

/// Reads the weights of the network with these `parameters` from the bytes of a safetensors file;
/// errors name `subject`.
///
/// # Errors
/// As [`read_safetensors`].
pub fn parse_safetensors(
    bytes: &[u8],
    subject: &str,
    parameters: &[ParameterShape],
    dialect: Option<&Dialect>,
) -> Result<ImportedWeights, Fault> {
    let misfit = |problem: String| Fault::Environment {
        subject: subject.to_string(),
        problem,
        remedy: "see docs/weights.md for the names, and use the settings that it was trained with"
            .into(),
    };
    let damaged = |error: &dyn std::fmt::Display| misfit(format!("is no safetensors: {error}"));
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(&error))?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged(&error))?;
    let foreign = dialect.filter(|dialect| tensors.tensor(dialect.marker_tensor).is_ok());
    let layout = match foreign {
        Some(dialect) => {
            Some((dialect, dialect.parse_layout(&free_text(&header)).map_err(&misfit)?))
        }
        None => None,
    };

    let mut there: BTreeMap<String, TensorView<'_>> = tensors.tensors().into_iter().collect();
    let mut incoming = ImportedWeights {
        values: BTreeMap::new(),
        kept: Vec::new(),
        unused: Vec::new(),
        program: foreign.map_or("gliaflow", |dialect| dialect.program),
    };
    let (mut missing, mut misshaped, mut broken) = (Vec::new(), Vec::new(), Vec::new());
    for ParameterShape { name, shape } in parameters {
        let in_file = match foreign {
            Some(dialect) => (dialect.name)(name),
            None => Some(name.clone()),
        };
        let Some(in_file) = in_file else {
            incoming.kept.push(name.clone());
            continue;
        };
        let Some(tensor) = there.remove(&in_file) else {
            missing.push(in_file);
            continue;
        };
        if tensor.shape() != shape {
            misshaped.push(format!("{in_file} is {:?} for {shape:?}", tensor.shape()));
            continue;
        }
        match to_f32_values(&tensor) {
            Some(values) if values.iter().all(|value| value.is_finite()) => {
                let values = match &layout {
                    Some((dialect, layout)) => layout.to_ours(dialect, name, shape, &values),
                    None => values,
                };
                incoming.values.insert(name.clone(), values);
            }
            Some(_) => broken.push(format!("{in_file} is not finite")),
            None => broken.push(format!("{in_file} is of type {:?}", tensor.dtype())),
        }
    }
    let known = |name: &str| foreign.is_some_and(|dialect| (dialect.is_unused)(name));
    let (unused, left_over) = there.into_keys().partition(|name| known(name));
    incoming.unused = unused;
    let complaints = [
        describe_misfits("has no", &missing),
        describe_misfits("has of another shape", &misshaped),
        describe_misfits("has unusable values", &broken),
        describe_misfits("has besides", &left_over),
    ];
    let complaints: Vec<String> = complaints.into_iter().flatten().collect();
    if complaints.is_empty() { Ok(incoming) } else { Err(misfit(complaints.join(", and "))) }
}

fn describe_misfits(what: &str, names: &[String]) -> Option<String> {
    let more = names.len().saturating_sub(LISTED);
    let listed = names[..names.len() - more].join(", ");
    match (names.len(), more) {
        (0, _) => None,
        (_, 0) => Some(format!("{what} {listed}")),
        _ => Some(format!("{what} {listed} and {more} more")),
    }
}

fn free_text(header: &Metadata) -> HashMap<String, String> {
    header.metadata().clone().unwrap_or_default()
}

/// Converts little-endian floats to f32; `None` for integers.
fn to_f32_values(tensor: &TensorView<'_>) -> Option<Vec<f32>> {
    fn decode_chunks<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|chunk| value(*chunk)).collect()
    }
    let bytes = tensor.data();
    match tensor.dtype() {
        Dtype::F32 => Some(decode_chunks(bytes, f32::from_le_bytes)),
        Dtype::F16 => Some(decode_chunks(bytes, |chunk| f16::from_le_bytes(chunk).to_f32())),
        Dtype::BF16 => Some(decode_chunks(bytes, |chunk| bf16::from_le_bytes(chunk).to_f32())),
        Dtype::F64 => Some(decode_chunks(bytes, |chunk| f64::from_le_bytes(chunk) as f32)),
        _ => None,
    }
}

struct WeightCollector(Vec<Vec<f32>>);

impl ModuleVisitor for WeightCollector {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().into_data().iter::<f32>().collect());
    }
}
