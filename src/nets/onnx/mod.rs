//! Networks as ONNX: the inference pass as a graph, written through protobuf.
//!
//! A network describes its graph beside its inference pass ([`Architecture::describe_graph`]), by the
//! layers' own `add_to_graph` and the operations of [`OnnxGraph`]. Here are the operators and the file;
//! what a run knows besides is `run/onnx_file.rs`.

use prost::Message;

use crate::nets::Architecture;
use crate::nets::onnx::proto::{
    DimensionProto, GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, data_type,
};
use crate::volume::RunChannels;

mod attribute;
mod graph;
mod operators;
pub mod proto;

pub use graph::{GraphValue, OnnxGraph};
pub use operators::{GraphKernel, GraphNorm};

/// Version of the operators. The newest that all runtimes of the last years have: later ones change none
/// of the operators here for the better.
pub const OPSET: i64 = 17;

/// Version of the format, the first with [`OPSET`].
pub const IR_VERSION: i64 = 8;

/// Name of the graph's input, `[batch, modalities, depth, height, width]`.
pub const IMAGES: &str = "images";

/// Name of the graph's output, `[batch, regions, depth, height, width]`.
pub const LOGITS: &str = "logits";

/// Describes the inference pass of a network; `None` if it has no graph.
pub(crate) fn describe_network<A: Architecture>(
    module: &A,
    channels: RunChannels,
) -> Option<GraphProto> {
    let mut graph = OnnxGraph::default();
    let logits = module.describe_graph(&mut graph, GraphValue::of_input(IMAGES))?;
    let ends = [
        (IMAGES, channels.modalities.len(), "normalised images, axes z, y, x"),
        (LOGITS, channels.regions.len(), "region logits; their sigmoid is the probability"),
    ];
    let [input, output] = ends.map(|(name, count, text)| volume_info(name, count, text));
    let graph = graph.into_proto(A::NAME, &logits, LOGITS);
    Some(GraphProto { input: vec![input], output: vec![output], ..graph })
}

/// Type of a volume of `channels` channels, all other extents of which the caller chooses.
fn volume_info(name: &str, channels: usize, text: &str) -> ValueInfoProto {
    let named = |axis: &str| DimensionProto { dim_param: Some(axis.to_owned()), dim_value: None };
    let count = DimensionProto { dim_value: Some(channels as i64), dim_param: None };
    let dim = vec![named("batch"), count, named("depth"), named("height"), named("width")];
    let shape = Some(TensorShapeProto { dim });
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto { elem_type: Some(data_type::FLOAT), shape }),
        }),
        doc_string: Some(text.to_owned()),
    }
}

/// Encodes a graph as an ONNX file with these texts by key; the same graph gives the same bytes.
pub fn encode_model(graph: GraphProto, about: &str, metadata: &[(&str, String)]) -> Vec<u8> {
    let entry = |(key, value): &(&str, String)| StringStringEntryProto {
        key: Some((*key).to_owned()),
        value: Some(value.clone()),
    };
    let model = ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: Some(env!("CARGO_PKG_NAME").to_owned()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        doc_string: Some(about.to_owned()),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto {
            domain: Some(String::new()),
            version: Some(OPSET),
        }],
        metadata_props: metadata.iter().map(entry).collect(),
    };
    model.encode_to_vec()
}
