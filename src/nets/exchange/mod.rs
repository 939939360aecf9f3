//! Weight exchange with other programs: safetensors files of tensors in PyTorch's shapes.
//!
//! A file of this program has this program's names and orders (docs/weights.md). A network may also
//! know another program's names, as a [`Dialect`]. A network with another head or other channels takes
//! what fits and names what does not: weights of a modality or region go to the one of that name alone. A
//! file that fills less than half of a network is refused with the names, and so is one with unusable
//! values.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use crate::base::{Fault, fs};
use crate::nets::weights::{self, ParameterShape};
use crate::volume::RunChannels;

mod channel_axes;
mod dialect;
mod file_layout;
mod torch_file;

pub use channel_axes::WeightTarget;
pub use dialect::Dialect;
use file_layout::FileLayout;
pub use file_layout::WeightLayout;
pub use torch_file::to_torch_bytes;

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
    /// Values of parameters of which the file has some channels and not others.
    pub in_part: BTreeMap<String, Vec<Option<f32>>>,
    /// Parameters that the file's program does not have; they keep the values they have.
    pub kept: Vec<String>,
    /// Names of tensors that this program has no use for.
    pub unused: Vec<String>,
    /// Tensors and parameters that do not fit, each with its reason. Such parameters keep the values they
    /// have.
    pub misfits: Vec<String>,
    /// Program whose names the file uses.
    pub program: &'static str,
}

impl ImportedWeights {
    /// Fills the parameters of which the file has some channels up with the values that were `drawn`.
    pub fn complete_from(&mut self, drawn: &[Weight]) {
        for Weight { parameter, values } in drawn {
            if let Some(own) = self.in_part.remove(&parameter.name) {
                let whole = own.into_iter().zip(values).map(|(own, drawn)| own.unwrap_or(*drawn));
                self.values.insert(parameter.name.clone(), whole.collect());
            }
        }
    }

    /// Number of values that the file gives.
    fn value_count(&self) -> usize {
        let whole: usize = self.values.values().map(Vec::len).sum();
        whole + self.in_part.values().flatten().flatten().count()
    }
}

/// Reads the weights of the network `target` from a safetensors file.
///
/// # Errors
/// If the file cannot be read, has values that are not finite, or fills less than half of the network:
/// names what is missing, left over, or of another shape.
pub fn read_safetensors(
    file: &Path,
    target: &WeightTarget,
    dialect: Option<&Dialect>,
) -> Result<ImportedWeights, Fault> {
    parse_safetensors(&fs::read(file)?, &file.display().to_string(), target, dialect)
}

/// Reads the weights of the network `target` from the bytes of a safetensors file; errors name `subject`.
///
/// # Errors
/// As [`read_safetensors`].
pub fn parse_safetensors(
    bytes: &[u8],
    subject: &str,
    target: &WeightTarget,
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
    let defaults = foreign.map_or(WeightLayout::BRATS, |dialect| dialect.layout);
    let mut text = header.metadata().clone().unwrap_or_default();
    if foreign.is_some() {
        // Not of these tensors: another program wrote them, in its orders.
        text.remove(ABOUT);
    }
    let layout = FileLayout::of_text(&text, defaults).map_err(&misfit)?;
    let name_in_file = |name: &str| match foreign {
        Some(dialect) => (dialect.name)(name),
        None => Some(name.to_owned()),
    };

    let mut there: BTreeMap<String, TensorView<'_>> = tensors.tensors().into_iter().collect();
    let mut incoming = ImportedWeights {
        values: BTreeMap::new(),
        in_part: BTreeMap::new(),
        kept: Vec::new(),
        unused: Vec::new(),
        misfits: Vec::new(),
        program: foreign.map_or("gliaflow", |dialect| dialect.program),
    };
    let (mut missing, mut misshaped, mut broken) = (Vec::new(), Vec::new(), Vec::new());
    for parameter in &target.parameters {
        let name = &parameter.own.name;
        let Some(in_file) = name_in_file(name) else {
            incoming.kept.push(name.clone());
            continue;
        };
        let Some(tensor) = there.remove(&in_file) else {
            missing.push(in_file);
            continue;
        };
        let expected = parameter.shape_in_file(&layout);
        if tensor.shape() != expected {
            let mut problem = format!("{in_file} is {:?} for {expected:?}", tensor.shape());
            if parameter.has_channels() && !layout.is_stated {
                let (inputs, outputs) = (layout.modalities.join(","), layout.regions.join(","));
                problem += &format!(
                    " of {inputs} and {outputs}, unless its metadata names others \
                     (\"modalities\", \"regions\")"
                );
            }
            misshaped.push(problem);
            continue;
        }
        match to_f32_values(&tensor) {
            Some(values) if values.iter().all(|value| value.is_finite()) => {
                let placed = parameter.place_values(target, &layout, &values);
                match placed.iter().copied().collect::<Option<Vec<f32>>>() {
                    Some(whole) => _ = incoming.values.insert(name.clone(), whole),
                    None => _ = incoming.in_part.insert(name.clone(), placed),
                }
            }
            Some(_) => broken.push(format!("{in_file} is not finite")),
            None => broken.push(format!("{in_file} is of type {:?}", tensor.dtype())),
        }
    }
    let known = |name: &str| foreign.is_some_and(|dialect| (dialect.is_unused)(name));
    let (unused, left_over): (_, Vec<String>) = there.into_keys().partition(|name| known(name));
    incoming.unused = unused;
    let other_channels = target.describe_other_channels(&layout, name_in_file);
    let complaints = [
        describe_misfits("has no", &missing),
        describe_misfits("has of another shape", &misshaped),
        describe_misfits("has unusable values", &broken),
        describe_misfits("has besides", &left_over),
        describe_misfits("has other channels:", &other_channels),
    ];
    let complaints: Vec<String> = complaints.into_iter().flatten().collect();
    let fillable = target.parameters.iter().filter(|one| !incoming.kept.contains(&one.own.name));
    let fillable: usize = fillable.map(|one| one.own.value_count()).sum();
    if !broken.is_empty() || 2 * incoming.value_count() < fillable {
        return Err(misfit(complaints.join(", and ")));
    }
    let absent = missing.into_iter().map(|name| format!("{name} is not in the file"));
    let surplus = left_over.into_iter().map(|name| format!("{name} is not in the network"));
    let unfit = absent.chain(misshaped).chain(surplus);
    incoming.misfits = other_channels.into_iter().chain(unfit).collect();
    Ok(incoming)
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
