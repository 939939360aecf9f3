//! Operations of networks as ONNX has them, each equal to the one of the same name in `nets`.

use crate::nets::LEAKY_SLOPE;
use crate::nets::onnx::attribute::OperatorSetting::{Float, Int, Ints, Text};
use crate::nets::onnx::graph::{GraphValue, OnnxGraph};

/// Kernel and stride of a window of two voxels along each axis.
const OF_TWO: [i64; 3] = [2; 3];

/// Axis of channels in `[b, c, d, h, w]`.
const CHANNELS: i64 = 1;

/// Kernel of a convolution in a graph.
pub struct GraphKernel {
    /// `[out, in / groups, k, k, k]`.
    pub weight: GraphValue,
    /// `[out]`.
    pub bias: Option<GraphValue>,
    /// Size `k`, odd.
    pub size: usize,
    /// Stride.
    pub stride: usize,
    /// Number of channel groups.
    pub groups: usize,
}

/// Norm in a graph.
pub struct GraphNorm {
    /// Scale per channel, `[c]`.
    pub weight: GraphValue,
    /// Shift per channel, `[c]`.
    pub bias: GraphValue,
    /// Number of groups.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f64,
    /// True if each channel is a group of its own.
    pub is_instance: bool,
}

impl OnnxGraph {
    /// Convolution with zeros around the volume, as [`convolve`](crate::nets::convolve).
    pub fn convolve(
        &mut self,
        name: &str,
        volume: &GraphValue,
        kernel: &GraphKernel,
    ) -> GraphValue {
        let GraphKernel { weight, bias, size, stride, groups } = kernel;
        let settings = [
            ("kernel_shape", Ints(&[*size as i64; 3])),
            ("strides", Ints(&[*stride as i64; 3])),
            ("pads", Ints(&[(size / 2) as i64; 6])),
            ("group", Int(*groups as i64)),
        ];
        let inputs = [Some(volume), Some(weight), bias.as_ref()];
        let given = if bias.is_some() { 3 } else { 2 };
        self.add_node(name, "Conv", &inputs[..given], &settings)
    }

    /// Transposed convolution with a kernel `[in, out, 2, 2, 2]` and stride 2.
    pub fn transposed_convolution(
        &mut self,
        name: &str,
        volume: &GraphValue,
        weight: &GraphValue,
    ) -> GraphValue {
        let settings = [("kernel_shape", Ints(&OF_TWO)), ("strides", Ints(&OF_TWO))];
        self.add_node(name, "ConvTranspose", &[Some(volume), Some(weight)], &settings)
    }

    /// Group norm. One of several channels a group is an instance norm of the groups, which more
    /// runtimes have than `GroupNormalization` of opset 21, and then scale and shift by channel.
    pub fn normalise(&mut self, name: &str, volume: &GraphValue, norm: &GraphNorm) -> GraphValue {
        let epsilon = [("epsilon", Float(norm.epsilon as f32))];
        let GraphNorm { weight, bias, groups, is_instance, .. } = norm;
        if *is_instance {
            let inputs = [Some(volume), Some(weight), Some(bias)];
            return self.add_node(name, "InstanceNormalization", &inputs, &epsilon);
        }
        let part = |end: &str| format!("{name}.{end}");
        let by_group =
            self.add_int_constant(&format!("by_{groups}_groups"), &[0, *groups as i64, -1]);
        let ones = self.add_float_constant(&format!("ones_{groups}"), &vec![1.0; *groups]);
        let zeros = self.add_float_constant(&format!("zeros_{groups}"), &vec![0.0; *groups]);
        let volume_axes = self.add_int_constant("volume_axes", &[1, 2, 3]);
        let shape = self.add_node(&part("shape"), "Shape", &[Some(volume)], &[]);
        let grouped =
            self.add_node(&part("grouped"), "Reshape", &[Some(volume), Some(&by_group)], &[]);
        let inputs = [Some(&grouped), Some(&ones), Some(&zeros)];
        let even = self.add_node(&part("normalised"), "InstanceNormalization", &inputs, &epsilon);
        let even = self.add_node(&part("ungrouped"), "Reshape", &[Some(&even), Some(&shape)], &[]);
        let mut by_channel = |end: &str, values: &GraphValue| {
            self.add_node(&part(end), "Unsqueeze", &[Some(values), Some(&volume_axes)], &[])
        };
        let (scale, shift) = (by_channel("scale", weight), by_channel("shift", bias));
        let scaled = self.add_node(&part("scaled"), "Mul", &[Some(&even), Some(&scale)], &[]);
        self.add_node(name, "Add", &[Some(&scaled), Some(&shift)], &[])
    }

    /// ReLU.
    pub fn relu(&mut self, name: &str, volume: &GraphValue) -> GraphValue {
        self.add_node(name, "Relu", &[Some(volume)], &[])
    }

    /// Leaky ReLU with the slope [`LEAKY_SLOPE`].
    pub fn leaky_relu(&mut self, name: &str, volume: &GraphValue) -> GraphValue {
        self.add_node(name, "LeakyRelu", &[Some(volume)], &[("alpha", Float(LEAKY_SLOPE as f32))])
    }

    /// Probabilities of logits.
    pub fn sigmoid(&mut self, name: &str, logits: &GraphValue) -> GraphValue {
        self.add_node(name, "Sigmoid", &[Some(logits)], &[])
    }

    /// Sum of two volumes of the same shape.
    pub fn sum(&mut self, name: &str, first: &GraphValue, second: &GraphValue) -> GraphValue {
        self.add_node(name, "Add", &[Some(first), Some(second)], &[])
    }

    /// Maximum pooling 2x2x2, stride 2.
    pub fn max_pool(&mut self, name: &str, volume: &GraphValue) -> GraphValue {
        self.pool(name, "MaxPool", volume)
    }

    /// Mean pooling 2x2x2, stride 2.
    pub fn mean_pool(&mut self, name: &str, volume: &GraphValue) -> GraphValue {
        self.pool(name, "AveragePool", volume)
    }

    fn pool(&mut self, name: &str, operator: &str, volume: &GraphValue) -> GraphValue {
        let settings = [("kernel_shape", Ints(&OF_TWO)), ("strides", Ints(&OF_TWO))];
        self.add_node(name, operator, &[Some(volume)], &settings)
    }

    /// Trilinear up-sampling by two with half-pixel centres.
    pub fn upsample_trilinear(&mut self, name: &str, volume: &GraphValue) -> GraphValue {
        let doubling = self.add_float_constant("doubling", &[1.0, 1.0, 2.0, 2.0, 2.0]);
        let settings =
            [("mode", Text("linear")), ("coordinate_transformation_mode", Text("half_pixel"))];
        // The second input is a region, for another mode of coordinates.
        self.add_node(name, "Resize", &[Some(volume), None, Some(&doubling)], &settings)
    }

    /// Volumes with their channels one after the other.
    pub fn concatenate_channels(&mut self, name: &str, volumes: &[&GraphValue]) -> GraphValue {
        let volumes: Vec<Option<&GraphValue>> = volumes.iter().map(|one| Some(*one)).collect();
        self.add_node(name, "Concat", &volumes, &[("axis", Int(CHANNELS))])
    }

    /// Largest of the channels at the same place of each of `groups` groups.
    pub fn max_over_groups(
        &mut self,
        name: &str,
        volume: &GraphValue,
        groups: usize,
    ) -> GraphValue {
        if groups == 1 {
            return volume.clone();
        }
        let parts = format!("{name}.parts");
        let parts =
            self.add_splitting_node(&parts, "Split", volume, &[("axis", Int(CHANNELS))], groups);
        let parts: Vec<Option<&GraphValue>> = parts.iter().map(Some).collect();
        self.add_node(name, "Max", &parts, &[])
    }
}
