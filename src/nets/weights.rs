//! Parameters by name: shapes, initial values, gradient norms.
//!
//! Names are module paths (`enc.0.1.conv.weight`); the order is that of the fields, so it changes
//! only when a network does. Initial values come from [`KeyedRng`], not from the device: they depend
//! on neither backend, nor threads, nor Burn's release.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Bool, Tensor, TensorData};
use serde::Serialize;

use crate::base::seed::{Domain, KeyedRng, SampleKey};

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
    pub fn count(&self) -> usize {
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
pub fn shapes<M: Module>(module: &M) -> Vec<ParameterShape> {
    let mut visitor = Shapes::default();
    module.visit(&mut visitor);
    visitor.found
}

/// Replaces every kernel (rank 2 and up) by a draw from `N(0, 2 / fan_in)` (He et al. 2015), each
/// from a stream of its own; biases and norms keep the values of their layers.
#[must_use]
pub fn he_normal<M: Module>(module: M, seed: u64) -> M {
    draw(module, seed, |rng, [fan_in, _]| (2.0 / fan_in).sqrt() * rng.normal())
}

/// Replaces every kernel by a draw from `U(-a, a)`, `a^2 = 6 / (fan_in + fan_out)` (Glorot and
/// Bengio 2010).
#[must_use]
pub fn xavier_uniform<M: Module>(module: M, seed: u64) -> M {
    draw(module, seed, |rng, [fan_in, fan_out]| {
        let bound = (6.0 / (fan_in + fan_out)).sqrt();
        rng.uniform(-bound, bound)
    })
}

/// Draws every kernel, `[out, in, ...]`, by `value` of its generator and `[fan_in, fan_out]`.
fn draw<M: Module>(module: M, seed: u64, value: impl Fn(&mut KeyedRng, [f64; 2]) -> f64) -> M {
    let key = SampleKey { seed, epoch: 0, index: 0 };
    replace(module, &mut |place, _, shape| {
        let [outputs, inputs, ref kernel @ ..] = *shape else { return None };
        let taps: usize = kernel.iter().product();
        let fans = [inputs * taps, outputs * taps].map(|fan| fan as f64);
        let mut rng = KeyedRng::new(key, Domain::Weights).stream(place as u64);
        let count = shape.iter().product();
        Some((0..count).map(|_| value(&mut rng, fans) as f32).collect())
    })
}

/// Function from index, name and shape of a parameter to its new values; `None` leaves it.
pub type Values<'a> = dyn FnMut(usize, &str, &[usize]) -> Option<Vec<f32>> + 'a;

/// Replaces the parameters for which `values` returns some.
pub fn replace<M: Module>(module: M, values: &mut Values<'_>) -> M {
    module.map(&mut Replace { path: Vec::new(), place: 0, values })
}

/// Collects every parameter's value, without gradients, by id.
pub(crate) fn values<M: Module>(module: &M) -> GradientsParams {
    let mut visitor = Collect(GradientsParams::new());
    module.visit(&mut visitor);
    visitor.0
}

/// Returns `module` with these values, where there are any.
#[must_use]
pub(crate) fn with_values<M: Module>(module: M, values: &GradientsParams) -> M {
    module.map(&mut Put(values))
}

/// Returns `module` with 0 everywhere.
#[must_use]
pub(crate) fn zeros<M: Module>(module: M) -> M {
    module.map(&mut Zero)
}

/// Moves `module`, which has no gradients, by the share `share`, `[1]`, towards `target`, if
/// `is_finite`.
#[must_use]
pub(crate) fn moved<M: Module>(
    module: M,
    target: &M,
    share: &Tensor<1>,
    is_finite: &Tensor<1, Bool>,
) -> M {
    module.map(&mut Move { targets: &values(target), share, sound: is_finite })
}

/// Selects `yes` where `condition`, `[1]`, is true, else `no`; either may hold NaN.
pub(crate) fn chosen<const D: usize>(
    condition: &Tensor<1, Bool>,
    yes: Tensor<D>,
    no: Tensor<D>,
) -> Tensor<D> {
    let mask = condition.clone().reshape([1; D]).expand(no.dims());
    no.mask_where(mask, yes)
}

/// Turns `value` into a parameter's tensor that records gradients as `tensor` does.
pub(crate) fn in_place_of<const D: usize>(tensor: &Tensor<D>, value: Tensor<D>) -> Tensor<D> {
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
pub fn number<M: Module>(module: M) -> M {
    module.map(&mut Number(0))
}

/// Computes the L2 norm of every parameter's gradient. Waits for the device.
pub fn gradient_norms<M: Module>(module: &M, gradients: &GradientsParams) -> Vec<GradientNorm> {
    let named = shapes(module).into_iter().zip(squared_norms(module, gradients));
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
    let mut visitor = Norms { gradients, squares: Vec::new() };
    module.visit(&mut visitor);
    visitor.squares
}

#[derive(Default)]
struct Shapes {
    path: Vec<String>,
    found: Vec<ParameterShape>,
}

impl ModuleVisitor for Shapes {
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

struct Replace<'a> {
    path: Vec<String>,
    place: usize,
    values: &'a mut Values<'a>,
}

impl ModuleMapper for Replace<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape: Vec<usize> = param.lazy_shape().iter().copied().collect();
        let place = self.place;
        self.place += 1;
        let Some(values) = (self.values)(place, &self.path.join("."), &shape) else { return param };
        let device = param.lazy_device();
        let tensor = Tensor::from_data(TensorData::new(values, shape), &device);
        let value = if device.is_autodiff() { tensor.require_grad() } else { tensor };
        Param::initialized(param.id, value)
    }
}

struct Collect(GradientsParams);

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.register(param.id, param.val().without_autodiff());
    }
}

struct Put<'a>(&'a GradientsParams);

impl ModuleMapper for Put<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(value) = self.0.get::<D>(param.id) else { return param };
        param.map(|old| in_place_of(&old, value))
    }
}

struct Zero;

impl ModuleMapper for Zero {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|old| in_place_of(&old, old.clone().without_autodiff().zeros_like()))
    }
}

struct Move<'a> {
    targets: &'a GradientsParams,
    share: &'a Tensor<1>,
    sound: &'a Tensor<1, Bool>,
}

impl ModuleMapper for Move<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(target) = self.targets.get::<D>(param.id) else { return param };
        let share = self.share.clone().reshape([1; D]);
        param.map(|old| {
            let new = old.clone() + (target - old.clone()) * share;
            chosen(self.sound, new, old)
        })
    }
}

struct Number(u64);

impl ModuleMapper for Number {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.0 += 1;
        let (_random, value, mapper) = param.consume();
        Param::from_mapped_value(ParamId::from(self.0), value, mapper)
    }
}

struct Norms<'a> {
    gradients: &'a GradientsParams,
    squares: Vec<Option<Tensor<1>>>,
}

impl ModuleVisitor for Norms<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = self.gradients.get::<D>(param.id);
        self.squares.push(gradient.map(|gradient| gradient.square().sum()));
    }
}
