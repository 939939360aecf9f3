//! Parameters by name: shapes, initial values, gradient norms.
//!
//! Names are module paths (`enc.0.1.conv.weight`); the order is that of the fields, so it changes
//! only when a network does. Initial values come from [`KeyedRng`], not from the device: they depend
//! on neither backend, nor threads, nor Burn's release.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Bool, Tensor, TensorData};
use serde::Serialize;

use crate::base::{Domain, KeyedRng, SampleKey};
use crate::nets::cpu;

/// Name and shape of a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParameterShape {
    /// Path in the module tree.
    pub name: String,
    /// Extents; a convolution's are `[out, in, d, h, w]`.
    pub shape: Vec<usize>,
}

impl ParameterShape {
    /// Counts the values.
    pub fn value_count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Gradient norm of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GradientNorm {
    /// Path in the module tree.
    pub name: String,
    /// L2 norm of the gradient.
    pub norm: f32,
}

/// Lists name and shape of every parameter, without allocating any of them.
pub fn parameter_shapes<M: Module>(module: &M) -> Vec<ParameterShape> {
    let mut visitor = ShapeCollector::default();
    module.visit(&mut visitor);
    visitor.found
}

/// Replaces every kernel (rank 2 and up) by a draw from `N(0, 2 / fan_in)` (He et al. 2015), each
/// from a stream of its own; biases and norms keep the values of their layers.
#[must_use]
pub fn he_normal<M: Module>(module: M, seed: u64) -> M {
    draw_kernels(module, seed, |rng, [fan_in, _]| (2.0 / fan_in).sqrt() * rng.standard_normal())
}

/// Replaces every kernel by a draw from `U(-a, a)`, `a^2 = 1 / fan_in`, as PyTorch initialises its
/// convolutions and dense layers (biases stay 0, PyTorch draws them as well).
#[must_use]
pub fn torch_uniform<M: Module>(module: M, seed: u64) -> M {
    draw_kernels(module, seed, |rng, [fan_in, _]| {
        let bound = fan_in.recip().sqrt();
        rng.uniform(-bound, bound)
    })
}

/// Replaces every kernel by a draw from `U(-a, a)`, `a^2 = 6 / (fan_in + fan_out)` (Glorot and
/// Bengio 2010).
#[must_use]
pub fn xavier_uniform<M: Module>(module: M, seed: u64) -> M {
    draw_kernels(module, seed, |rng, [fan_in, fan_out]| {
        let bound = (6.0 / (fan_in + fan_out)).sqrt();
        rng.uniform(-bound, bound)
    })
}

/// Draws every kernel, `[out, in, ...]`, by `value` of its generator and `[fan_in, fan_out]`.
fn draw_kernels<M: Module>(
    module: M,
    seed: u64,
    value: impl Fn(&mut KeyedRng, [f64; 2]) -> f64,
) -> M {
    let key = SampleKey { seed, epoch: 0, index: 0 };
    replace_parameters(module, &mut |place, _, shape| {
        let [outputs, inputs, ref kernel @ ..] = *shape else { return None };
        let taps: usize = kernel.iter().product();
        let fans = [inputs * taps, outputs * taps].map(|fan| fan as f64);
        let mut rng = KeyedRng::new(key, Domain::Weights).with_stream(place as u64);
        let count = shape.iter().product();
        Some((0..count).map(|_| value(&mut rng, fans) as f32).collect())
    })
}

/// Function from index, name and shape of a parameter to its new values; `None` leaves it.
pub type NewValues<'a> = dyn FnMut(usize, &str, &[usize]) -> Option<Vec<f32>> + 'a;

/// Replaces the parameters for which `values` returns some.
pub fn replace_parameters<M: Module>(module: M, values: &mut NewValues<'_>) -> M {
    let parameters = parameter_shapes(&module).into_iter().enumerate();
    module.map(&mut ValueReplacer { parameters, values })
}

/// Collects every parameter's value, without gradients, by id.
pub(crate) fn parameter_values<M: Module>(module: &M) -> GradientsParams {
    let mut visitor = ValueCollector(GradientsParams::new());
    module.visit(&mut visitor);
    visitor.0
}

/// Returns `module` with these values, where there are any.
#[must_use]
pub(crate) fn with_values<M: Module>(module: M, values: &GradientsParams) -> M {
    module.map(&mut ValueSetter(values))
}

/// Returns `module` with 0 everywhere.
#[must_use]
pub(crate) fn zero_parameters<M: Module>(module: M) -> M {
    module.map(&mut ZeroSetter)
}

/// Moves `module`, which has no gradients, by the share `share`, `[1]`, towards `target`, if
/// `is_finite`.
#[must_use]
pub(crate) fn blend_towards<M: Module>(
    module: M,
    target: &M,
    share: &Tensor<1>,
    is_finite: &Tensor<1, Bool>,
) -> M {
    module.map(&mut ValueBlender { targets: &parameter_values(target), share, is_finite })
}

/// Selects `yes` where `condition`, `[1]`, is true, else `no`; either may hold NaN.
pub(crate) fn select_if<const D: usize>(
    condition: &Tensor<1, Bool>,
    yes: Tensor<D>,
    no: Tensor<D>,
) -> Tensor<D> {
    if cpu::computes(&no) {
        // Computed already: reading it costs nothing, and no value has to be looked at.
        let is_true = condition.clone().into_data().iter::<bool>().all(|condition| condition);
        return if is_true { yes } else { no };
    }
    let mask = condition.clone().reshape([1; D]).expand(no.dims());
    no.mask_where(mask, yes)
}

/// Turns `value` into a parameter's tensor that records gradients as `tensor` does.
pub(crate) fn with_gradients_of<const D: usize>(tensor: &Tensor<D>, value: Tensor<D>) -> Tensor<D> {
    if !tensor.is_autodiff() {
        return value;
    }
    let mut value = value.autodiff();
    if let Some(strategy) = tensor.gradient_checkpointing_strategy() {
        value = value.with_gradient_checkpointing_strategy(strategy);
    }
    value.set_require_grad(tensor.is_require_grad())
}

/// Numbers the parameters: each gets its index, counted from 1, as its id.
///
/// Burn draws ids at random and writes them into checkpoints; with these, the same weights are the
/// same file.
#[must_use]
pub fn number_parameters<M: Module>(module: M) -> M {
    module.map(&mut IdNumbering(0))
}

/// Computes the L2 norm of every parameter's gradient. Waits for the device.
pub fn gradient_norms<M: Module>(module: &M, gradients: &GradientsParams) -> Vec<GradientNorm> {
    let named = parameter_shapes(module).into_iter().zip(squared_norms(module, gradients));
    let read = |(parameter, square): (ParameterShape, Option<Tensor<1>>)| {
        Some(GradientNorm { name: parameter.name, norm: square?.sqrt().into_scalar() })
    };
    named.filter_map(read).collect()
}

/// Computes the L2 norm of all gradients together, `[1]`; stays on the device.
pub fn global_norm<M: Module>(module: &M, gradients: &GradientsParams) -> Option<Tensor<1>> {
    let squares = squared_norms(module, gradients).into_iter().flatten();
    let squares: Vec<Tensor<1>> = squares.collect();
    (!squares.is_empty()).then(|| Tensor::cat(squares, 0).sum().sqrt())
}

/// Squared L2 norm of each parameter's gradient, `[1]`; `None` without a gradient.
fn squared_norms<M: Module>(module: &M, gradients: &GradientsParams) -> Vec<Option<Tensor<1>>> {
    let mut visitor = NormCollector { gradients, squares: Vec::new() };
    module.visit(&mut visitor);
    visitor.squares
}

#[derive(Default)]
struct ShapeCollector {
    path: Vec<String>,
    found: Vec<ParameterShape>,
}

impl ModuleVisitor for ShapeCollector {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let shape = param.lazy_shape().iter().copied().collect();
        self.found.push(ParameterShape { name: self.path.join("."), shape });
    }
}

struct ValueReplacer<'a> {
    parameters: std::iter::Enumerate<std::vec::IntoIter<ParameterShape>>,
    values: &'a mut NewValues<'a>,
}

impl ModuleMapper for ValueReplacer<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let parameter = self.parameters.next();
        let (place, ParameterShape { name, shape }) = parameter.expect("the module was visited");
        let Some(values) = (self.values)(place, &name, &shape) else { return param };
        let device = param.lazy_device();
        let tensor = Tensor::from_data(TensorData::new(values, shape), &device);
        let value = if device.is_autodiff() { tensor.require_grad() } else { tensor };
        Param::initialized(param.id, value)
    }
}

struct ValueCollector(GradientsParams);

impl ModuleVisitor for ValueCollector {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.register(param.id, param.val().without_autodiff());
    }
}

struct ValueSetter<'a>(&'a GradientsParams);

impl ModuleMapper for ValueSetter<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(value) = self.0.get::<D>(param.id) else { return param };
        param.map(|old| with_gradients_of(&old, value))
    }
}

struct ZeroSetter;

impl ModuleMapper for ZeroSetter {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|old| with_gradients_of(&old, old.clone().without_autodiff().zeros_like()))
    }
}

struct ValueBlender<'a> {
    targets: &'a GradientsParams,
    share: &'a Tensor<1>,
    is_finite: &'a Tensor<1, Bool>,
}

impl ModuleMapper for ValueBlender<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(target) = self.targets.get::<D>(param.id) else { return param };
        let share = self.share.clone().reshape([1; D]);
        param.map(|old| {
            let new = old.clone() + (target - old.clone()) * share;
            select_if(self.is_finite, new, old)
        })
    }
}

struct IdNumbering(u64);

impl ModuleMapper for IdNumbering {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.0 += 1;
        let (_random, value, mapper) = param.consume();
        Param::from_mapped_value(ParamId::from(self.0), value, mapper)
    }
}

struct NormCollector<'a> {
    gradients: &'a GradientsParams,
    squares: Vec<Option<Tensor<1>>>,
}

impl ModuleVisitor for NormCollector<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = self.gradients.get::<D>(param.id);
        self.squares.push(gradient.map(|gradient| gradient.square().sum()));
    }
}
