//! Another program's version of a network: its parameter names, and the orders of its channels and
//! axes.

use crate::nets::exchange::{Weight, WeightLayout};
use crate::nets::weights::ParameterShape;

/// Another program's names and orders for the parameters of one network.
pub struct Dialect {
    /// Name of the program.
    pub program: &'static str,
    /// Name of a tensor that only its files have.
    pub marker_tensor: &'static str,
    /// Maps one of our parameters to its name; `None` where it has no such parameter.
    pub name: fn(&str) -> Option<String>,
    /// Returns true for one of its tensors without a counterpart here.
    pub is_unused: fn(&str) -> bool,
    /// Orders of channels and axes, where the file names no others.
    pub layout: WeightLayout,
}

impl Dialect {
    /// Translates weights into the program's names and order of axes; channels keep their order, and what
    /// the program does not have is left out.
    pub(in crate::nets) fn translate(&self, weights: Vec<Weight>) -> Vec<Weight> {
        let translated = weights.into_iter().filter_map(|Weight { parameter, values }| {
            let own = Weight {
                parameter: ParameterShape { name: (self.name)(&parameter.name)?, ..parameter },
                values,
            };
            Some(if self.layout.x_first { turn_kernel(own) } else { own })
        });
        translated.collect()
    }
}

/// Turns a kernel `[out, in, d, h, w]` to `[out, in, w, h, d]`.
fn turn_kernel(weight: Weight) -> Weight {
    let Weight { parameter: ParameterShape { name, shape }, values } = weight;
    let [outputs, inputs, d, h, w] = shape[..] else {
        return Weight { parameter: ParameterShape { name, shape }, values };
    };
    let mut turned = Vec::with_capacity(values.len());
    for kernel in values.chunks_exact(d * h * w) {
        for x in 0..w {
            for y in 0..h {
                turned.extend((0..d).map(|z| kernel[(z * h + y) * w + x]));
            }
        }
    }
    let shape = vec![outputs, inputs, w, h, d];
    Weight { parameter: ParameterShape { name, shape }, values: turned }
}
