//! Another program's version of a network: its parameter names, and the orders of its channels and
//! axes.

use crate::nets::exchange::WeightLayout;

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
