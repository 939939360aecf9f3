//! Graph under construction: nodes in the order of computation, and the tensors that they take.

use burn::module::Param;
use burn::tensor::Tensor;

use crate::nets::onnx::attribute::OperatorSetting;
use crate::nets::onnx::proto::{GraphProto, NodeProto, TensorProto, data_type};

/// Value of a graph, by its name: the images, a parameter, a constant, or the output of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphValue(String);

impl GraphValue {
    /// Input of the graph of this name.
    pub(super) fn of_input(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// ONNX graph that layers add their operations to. Operators are those of [`OPSET`](super::OPSET).
///
/// A node has the name of its layer, `enc.0.0.conv`; a parameter has the name that it has in files of
/// weights, `enc.0.0.conv.weight`, and its shape there. A value has the name of its node.
#[derive(Debug, Default)]
pub struct OnnxGraph {
    nodes: Vec<NodeProto>,
    tensors: Vec<TensorProto>,
}

impl OnnxGraph {
    /// Adds a parameter of the network with its values. Waits for the device.
    pub fn add_parameter<const D: usize>(
        &mut self,
        name: String,
        parameter: &Param<Tensor<D>>,
    ) -> GraphValue {
        let tensor = parameter.val();
        let dims = tensor.dims().map(|extent| extent as i64);
        let bytes = tensor.into_data().iter::<f32>().flat_map(f32::to_le_bytes).collect();
        self.add_tensor(name, dims.to_vec(), data_type::FLOAT, bytes)
    }

    /// Adds a constant of one axis, once however often it is asked for: a name stands for its values.
    pub fn add_float_constant(&mut self, name: &str, values: &[f32]) -> GraphValue {
        let bytes = values.iter().copied().flat_map(f32::to_le_bytes).collect();
        self.add_constant(name, values.len(), data_type::FLOAT, bytes)
    }

    /// Adds a constant of whole numbers, as [`Self::add_float_constant`].
    pub fn add_int_constant(&mut self, name: &str, values: &[i64]) -> GraphValue {
        let bytes = values.iter().copied().flat_map(i64::to_le_bytes).collect();
        self.add_constant(name, values.len(), data_type::INT64, bytes)
    }

    fn add_constant(&mut self, name: &str, len: usize, kind: i32, bytes: Vec<u8>) -> GraphValue {
        if self.tensors.iter().any(|tensor| tensor.name.as_deref() == Some(name)) {
            return GraphValue(name.to_owned());
        }
        self.add_tensor(name.to_owned(), vec![len as i64], kind, bytes)
    }

    fn add_tensor(
        &mut self,
        name: String,
        dims: Vec<i64>,
        kind: i32,
        bytes: Vec<u8>,
    ) -> GraphValue {
        self.tensors.push(TensorProto {
            dims,
            data_type: Some(kind),
            name: Some(name.clone()),
            raw_data: Some(bytes),
        });
        GraphValue(name)
    }

    /// Adds a node with one output, of the node's name. An absent input is one that the operator can do
    /// without.
    pub fn add_node(
        &mut self,
        name: &str,
        operator: &str,
        inputs: &[Option<&GraphValue>],
        settings: &[(&str, OperatorSetting<'_>)],
    ) -> GraphValue {
        self.add_node_of_outputs(name, operator, inputs, settings, vec![name.to_owned()]).remove(0)
    }

    /// Adds a node with several outputs, `name.0`, `name.1` and so on.
    pub fn add_splitting_node(
        &mut self,
        name: &str,
        operator: &str,
        input: &GraphValue,
        settings: &[(&str, OperatorSetting<'_>)],
        outputs: usize,
    ) -> Vec<GraphValue> {
        let outputs = (0..outputs).map(|place| format!("{name}.{place}")).collect();
        self.add_node_of_outputs(name, operator, &[Some(input)], settings, outputs)
    }

    fn add_node_of_outputs(
        &mut self,
        name: &str,
        operator: &str,
        inputs: &[Option<&GraphValue>],
        settings: &[(&str, OperatorSetting<'_>)],
        outputs: Vec<String>,
    ) -> Vec<GraphValue> {
        let input = inputs.iter().map(|value| value.map_or(String::new(), |value| value.0.clone()));
        self.nodes.push(NodeProto {
            input: input.collect(),
            output: outputs.clone(),
            name: Some(name.to_owned()),
            op_type: Some(operator.to_owned()),
            attribute: settings.iter().map(|(name, setting)| setting.to_proto(name)).collect(),
        });
        outputs.into_iter().map(GraphValue).collect()
    }

    /// Returns the message of the graph, without input and output, with `value` under the name `output`.
    pub(super) fn into_proto(mut self, name: &str, value: &GraphValue, output: &str) -> GraphProto {
        let names =
            self.nodes.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output));
        names.filter(|name| **name == value.0).for_each(|name| output.clone_into(name));
        GraphProto {
            node: self.nodes,
            name: Some(name.to_owned()),
            initializer: self.tensors,
            ..GraphProto::default()
        }
    }
}
