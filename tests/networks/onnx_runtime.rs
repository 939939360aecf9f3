//! ONNX's operators the plain way, in f64: the witness that exported graphs are read by.

use std::collections::BTreeMap;

use gliaflow::internals::nets::onnx::proto::{
    AttributeProto, GraphProto, NodeProto, TensorProto, data_type,
};
use gliaflow::internals::nets::onnx::{IMAGES, LOGITS};

/// Tensor of any rank, row-major.
#[derive(Debug, Clone)]
pub(crate) struct GraphTensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

impl GraphTensor {
    fn of_proto(tensor: &TensorProto) -> Self {
        let bytes = tensor.raw_data.as_ref().unwrap();
        let values = match tensor.data_type.unwrap() {
            data_type::FLOAT => {
                let chunks = bytes.as_chunks().0.iter();
                chunks.map(|chunk| f32::from_le_bytes(*chunk).into()).collect()
            }
            data_type::INT64 => {
                let chunks = bytes.as_chunks().0.iter();
                chunks.map(|chunk| i64::from_le_bytes(*chunk) as f64).collect()
            }
            other => panic!("type {other}"),
        };
        Self { shape: tensor.dims.iter().map(|extent| *extent as usize).collect(), values }
    }

    /// Tensor whose values are a function of their places.
    fn from_places(shape: Vec<usize>, value: impl Fn(&[usize]) -> f64) -> Self {
        let count = shape.iter().product();
        let mut place = vec![0; shape.len()];
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(value(&place));
            for axis in (0..shape.len()).rev() {
                place[axis] += 1;
                if place[axis] < shape[axis] {
                    break;
                }
                place[axis] = 0;
            }
        }
        Self { shape, values }
    }

    fn at(&self, place: &[usize]) -> f64 {
        let offset =
            self.shape.iter().zip(place).fold(0, |offset, (extent, at)| offset * extent + at);
        self.values[offset]
    }

    /// Value at a place that may be outside of the volume, where it is 0.
    fn padded(&self, [b, c]: [usize; 2], zyx: [isize; 3]) -> f64 {
        let is_inside = |axis: usize| (0..self.shape[axis + 2] as isize).contains(&zyx[axis]);
        if !(0..3).all(is_inside) {
            return 0.0;
        }
        let [z, y, x] = zyx.map(|at| at as usize);
        self.at(&[b, c, z, y, x])
    }

    fn map(&self, value: impl Fn(f64) -> f64) -> Self {
        Self { shape: self.shape.clone(), values: self.values.iter().copied().map(value).collect() }
    }

    /// Both by values, axes of one value repeated.
    fn zip_with(&self, other: &Self, value: impl Fn(f64, f64) -> f64) -> Self {
        let rank = self.shape.len().max(other.shape.len());
        let whole = |one: &Self| [vec![1; rank - one.shape.len()], one.shape.clone()].concat();
        let [own, others] =
            [self, other].map(|one| Self { shape: whole(one), values: one.values.clone() });
        let extent = |axis: usize| {
            let (a, b) = (own.shape[axis], others.shape[axis]);
            assert!(a == b || a == 1 || b == 1, "{:?} and {:?}", self.shape, other.shape);
            a.max(b)
        };
        let within = |one: &Self, place: &[usize]| {
            let place: Vec<usize> = place.iter().zip(&one.shape).map(|(at, n)| at % n).collect();
            one.at(&place)
        };
        Self::from_places((0..rank).map(extent).collect(), |place| {
            value(within(&own, place), within(&others, place))
        })
    }
}

/// Computes a graph from its images to its logits.
pub(crate) fn compute_graph(graph: &GraphProto, images: GraphTensor) -> GraphTensor {
    let initialisers = graph.initializer.iter();
    let mut known: BTreeMap<String, GraphTensor> = initialisers
        .map(|tensor| (tensor.name.as_deref().unwrap().to_owned(), GraphTensor::of_proto(tensor)))
        .collect();
    known.insert(IMAGES.to_owned(), images);
    for node in &graph.node {
        let inputs: Vec<&GraphTensor> =
            node.input.iter().filter(|name| !name.is_empty()).map(|name| &known[name]).collect();
        let outputs = compute_node(node, &inputs);
        known.extend(node.output.iter().cloned().zip(outputs));
    }
    known.remove(LOGITS).unwrap()
}

fn setting<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name))
}

fn ints(node: &NodeProto, name: &str) -> Vec<usize> {
    setting(node, name)
        .map(|found| found.ints.iter().map(|value| *value as usize).collect())
        .unwrap_or_default()
}

fn int(node: &NodeProto, name: &str) -> usize {
    setting(node, name).unwrap().i.unwrap() as usize
}

fn float(node: &NodeProto, name: &str) -> f64 {
    setting(node, name).unwrap().f.unwrap().into()
}

fn text(node: &NodeProto, name: &str) -> String {
    String::from_utf8(setting(node, name).unwrap().s.clone().unwrap()).unwrap()
}

fn compute_node(node: &NodeProto, inputs: &[&GraphTensor]) -> Vec<GraphTensor> {
    let first = inputs[0];
    vec![match node.op_type.as_deref().unwrap() {
        "Conv" => convolve(node, inputs),
        "ConvTranspose" => transposed_convolve(node, first, inputs[1]),
        "InstanceNormalization" => normalise(first, inputs[1], inputs[2], float(node, "epsilon")),
        "Relu" => first.map(|value| value.max(0.0)),
        "LeakyRelu" => {
            let alpha = float(node, "alpha");
            first.map(|value| if value < 0.0 { alpha * value } else { value })
        }
        "Sigmoid" => first.map(|value| 1.0 / (1.0 + (-value).exp())),
        "Add" => first.zip_with(inputs[1], |a, b| a + b),
        "Mul" => first.zip_with(inputs[1], |a, b| a * b),
        "Max" => inputs[1..].iter().fold(first.clone(), |most, one| most.zip_with(one, f64::max)),
        "MaxPool" => pool(node, first, |values| values.iter().copied().fold(f64::MIN, f64::max)),
        "AveragePool" => {
            pool(node, first, |values| values.iter().sum::<f64>() / values.len() as f64)
        }
        "Resize" => {
            let settings = ["mode", "coordinate_transformation_mode"].map(|name| text(node, name));
            assert_eq!(settings, ["linear", "half_pixel"]);
            resize(first, inputs[1])
        }
        "Concat" => {
            assert_eq!(int(node, "axis"), 1);
            concatenate(inputs)
        }
        "Split" => {
            assert_eq!(int(node, "axis"), 1);
            return split(first, node.output.len());
        }
        "Shape" => {
            let values = first.shape.iter().map(|extent| *extent as f64).collect();
            GraphTensor { shape: vec![first.shape.len()], values }
        }
        "Reshape" => reshape(first, inputs[1]),
        "Unsqueeze" => {
            let mut shape = first.shape.clone();
            inputs[1].values.iter().for_each(|axis| shape.insert(*axis as usize, 1));
            GraphTensor { shape, values: first.values.clone() }
        }
        other => panic!("{} is of an unknown operator, {other}", node.name.as_deref().unwrap()),
    }]
}

fn convolve(node: &NodeProto, inputs: &[&GraphTensor]) -> GraphTensor {
    let (volume, kernel) = (inputs[0], inputs[1]);
    let groups = int(node, "group");
    let (stride, pads) = (ints(node, "strides"), ints(node, "pads"));
    assert_eq!(ints(node, "kernel_shape"), kernel.shape[2..]);
    let [outputs, members] = [kernel.shape[0], kernel.shape[1]];
    let mut shape = vec![volume.shape[0], outputs];
    for axis in 0..3 {
        let room = volume.shape[axis + 2] + pads[axis] + pads[axis + 3] - kernel.shape[axis + 2];
        shape.push(room / stride[axis] + 1);
    }
    GraphTensor::from_places(shape, |place| {
        let group = place[1] / (outputs / groups);
        let mut sum = inputs.get(2).map_or(0.0, |bias| bias.values[place[1]]);
        for member in 0..members {
            for z in 0..kernel.shape[2] {
                for y in 0..kernel.shape[3] {
                    for x in 0..kernel.shape[4] {
                        let tap = [z, y, x];
                        let at = [0, 1, 2].map(|axis| {
                            (place[axis + 2] * stride[axis] + tap[axis]) as isize
                                - pads[axis] as isize
                        });
                        let seen = volume.padded([place[0], group * members + member], at);
                        sum += seen * kernel.at(&[place[1], member, z, y, x]);
                    }
                }
            }
        }
        sum
    })
}

fn transposed_convolve(
    node: &NodeProto,
    volume: &GraphTensor,
    kernel: &GraphTensor,
) -> GraphTensor {
    assert_eq!((ints(node, "strides"), ints(node, "kernel_shape")), (vec![2; 3], vec![2; 3]));
    let [b, c, d, h, w] = volume.shape[..] else { panic!("{:?}", volume.shape) };
    GraphTensor::from_places(vec![b, kernel.shape[1], 2 * d, 2 * h, 2 * w], |place| {
        let [b, k, z, y, x] = *place else { panic!("{place:?}") };
        let part = |channel: usize| {
            volume.at(&[b, channel, z / 2, y / 2, x / 2])
                * kernel.at(&[channel, k, z % 2, y % 2, x % 2])
        };
        (0..c).map(part).sum()
    })
}

fn normalise(
    volume: &GraphTensor,
    scale: &GraphTensor,
    shift: &GraphTensor,
    epsilon: f64,
) -> GraphTensor {
    let channels = volume.shape[1];
    let count = volume.shape[2..].iter().product::<usize>();
    let mut values = Vec::with_capacity(volume.values.len());
    for (place, channel) in volume.values.chunks(count).enumerate() {
        let mean = channel.iter().sum::<f64>() / count as f64;
        let variance = channel.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count as f64;
        let factor = scale.values[place % channels] / (variance + epsilon).sqrt();
        values.extend(channel.iter().map(|v| (v - mean) * factor + shift.values[place % channels]));
    }
    GraphTensor { shape: volume.shape.clone(), values }
}

fn pool(node: &NodeProto, volume: &GraphTensor, value: impl Fn(&[f64]) -> f64) -> GraphTensor {
    assert_eq!((ints(node, "strides"), ints(node, "kernel_shape")), (vec![2; 3], vec![2; 3]));
    let [b, c, d, h, w] = volume.shape[..] else { panic!("{:?}", volume.shape) };
    GraphTensor::from_places(vec![b, c, d / 2, h / 2, w / 2], |place| {
        let [b, c, z, y, x] = *place else { panic!("{place:?}") };
        let corner =
            |n: usize| volume.at(&[b, c, 2 * z + (n >> 2), 2 * y + (n >> 1 & 1), 2 * x + (n & 1)]);
        value(&[0, 1, 2, 3, 4, 5, 6, 7].map(corner))
    })
}

/// Linear along one axis after the other, as ONNX defines `half_pixel`.
fn resize(volume: &GraphTensor, scales: &GraphTensor) -> GraphTensor {
    let mut found = volume.clone();
    for (axis, scale) in scales.values.iter().enumerate().filter(|(_, scale)| **scale != 1.0) {
        let mut shape = found.shape.clone();
        let extent = shape[axis];
        shape[axis] = (extent as f64 * scale) as usize;
        found = GraphTensor::from_places(shape, |place| {
            let source = ((place[axis] as f64 + 0.5) / scale - 0.5).clamp(0.0, (extent - 1) as f64);
            let below = source.floor() as usize;
            let value = |at: usize| {
                let mut place = place.to_vec();
                place[axis] = at.min(extent - 1);
                found.at(&place)
            };
            let share = source - below as f64;
            (1.0 - share) * value(below) + share * value(below + 1)
        });
    }
    found
}

fn concatenate(parts: &[&GraphTensor]) -> GraphTensor {
    let mut shape = parts[0].shape.clone();
    for part in parts {
        assert_eq!((part.shape[0], &part.shape[2..]), (shape[0], &shape[2..]));
    }
    shape[1] = parts.iter().map(|part| part.shape[1]).sum();
    GraphTensor::from_places(shape, |place| {
        let mut place = place.to_vec();
        for part in parts {
            if place[1] < part.shape[1] {
                return part.at(&place);
            }
            place[1] -= part.shape[1];
        }
        panic!("{place:?} is beyond the last part")
    })
}

fn split(volume: &GraphTensor, parts: usize) -> Vec<GraphTensor> {
    let size = volume.shape[1] / parts;
    assert_eq!(size * parts, volume.shape[1]);
    let mut shape = volume.shape.clone();
    shape[1] = size;
    let part = |number: usize| {
        GraphTensor::from_places(shape.clone(), |place| {
            let mut place = place.to_vec();
            place[1] += number * size;
            volume.at(&place)
        })
    };
    (0..parts).map(part).collect()
}

/// 0 keeps an extent, and -1 takes what is left.
fn reshape(volume: &GraphTensor, wanted: &GraphTensor) -> GraphTensor {
    let kept = wanted.values.iter().enumerate().map(|(axis, extent)| match *extent {
        0.0 => volume.shape[axis] as f64,
        extent => extent,
    });
    let kept: Vec<f64> = kept.collect();
    let known: f64 = kept.iter().filter(|extent| **extent > 0.0).product();
    let rest = volume.values.len() as f64 / known;
    let shape = kept.iter().map(|extent| if *extent < 0.0 { rest } else { *extent } as usize);
    let shape: Vec<usize> = shape.collect();
    assert_eq!(shape.iter().product::<usize>(), volume.values.len());
    GraphTensor { shape, values: volume.values.clone() }
}
