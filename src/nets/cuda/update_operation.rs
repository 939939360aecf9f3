//! An optimiser's step as two operations of CUDA GPUs, for all parameters of a network at once.

use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use crate::nets::cuda::tensor_list::TensorList;
use crate::nets::cuda::update::{self, UpdateSettings};
use crate::nets::weights;

/// Passes of an optimiser's step.
#[backend_extension(Cube, Fusion)]
pub(in crate::nets) trait UpdateParameters: Backend {
    /// Norm of all gradients' mean; the same, not finite if a loss is not; factor to the clipped mean.
    #[fusion(meta = |_gradients, _losses, _mean, _longest| (single(), single(), single()))]
    fn measure_gradients(
        #[extension_type] gradients: TensorList<Self>,
        losses: FloatTensor<Self>,
        mean: f64,
        longest: Option<f64>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    #[fusion(meta = updated_specs)]
    fn update_parameters(
        #[extension_type] tensors: TensorList<Self>,
        settings: UpdateSettings,
    ) -> TensorList<Self>;
}

fn single() -> TensorSpec {
    TensorSpec::new(Shape::from([1]), DType::F32)
}

fn updated_specs(tensors: &Vec<TensorSpec>, settings: &UpdateSettings) -> Vec<TensorSpec> {
    let (seen, parameters) = tensors[2..].split_at(settings.corrections());
    let kept = |tensors: &[TensorSpec]| [&tensors[..1], &tensors[2..]].concat();
    let parameters = parameters.chunks(settings.tensors_of_parameter()).flat_map(kept);
    seen.iter().cloned().chain(parameters).collect()
}

impl UpdateParameters for CubeBackend {
    fn measure_gradients(
        gradients: TensorList<Self>,
        losses: CubeTensor,
        mean: f64,
        longest: Option<f64>,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        update::measure_gradients(gradients.0, losses, mean, longest).into()
    }

    fn update_parameters(tensors: TensorList<Self>, settings: UpdateSettings) -> TensorList<Self> {
        TensorList(update::update_parameters(tensors.0, &settings))
    }
}

/// Measures the gradients of a module's parameters; see [`update::measure_gradients`].
pub(in crate::nets) fn measure_gradients<M: Module>(
    module: &M,
    gradients: &GradientsParams,
    losses: Tensor<1>,
    mean: f64,
    longest: Option<f64>,
) -> [Tensor<1>; 3] {
    let mut list = GradientLister { gradients, found: Vec::new() };
    module.visit(&mut list);
    let losses = losses.into_dispatch();
    let gradients = TensorList(list.found);
    let (norm, checked, factor) =
        <Dispatch as UpdateParameters>::measure_gradients(gradients, losses, mean, longest);
    [norm, checked, factor].map(Tensor::from_dispatch)
}

/// Updates the parameters of a module that have gradients, and the moments of the same. `figures` are the last
/// two of [`measure_gradients`]; `decay_of` tells the weight decay of a parameter by its rank.
pub(in crate::nets) fn update_parameters<M: Module>(
    module: M,
    gradients: GradientsParams,
    moments: &mut [GradientsParams],
    seen: &mut [Tensor<1>],
    figures: [Tensor<1>; 2],
    decay_of: impl Fn(usize) -> f64,
    mut settings: UpdateSettings,
) -> M {
    let mut list = ParameterLister {
        gradients,
        moments,
        decay_of,
        parameters: Vec::new(),
        tensors: figures
            .into_iter()
            .chain(seen.iter().cloned())
            .map(Tensor::into_dispatch)
            .collect(),
        decays: Vec::new(),
    };
    module.visit(&mut list);
    settings.decays = list.decays;
    let (parameters, tensors) = (list.parameters, TensorList(list.tensors));
    let updated = <Dispatch as UpdateParameters>::update_parameters(tensors, settings);
    let mut updated = updated.0.into_iter();
    for one in &mut *seen {
        *one = Tensor::from_dispatch(updated.next().expect("corrections come back"));
    }
    let mut parameters = parameters.into_iter().peekable();
    let mut set = UpdatedSetter { parameters: &mut parameters, updated, moments };
    module.map(&mut set)
}

type DispatchTensor = FloatTensor<Dispatch>;

struct GradientLister<'a> {
    gradients: &'a GradientsParams,
    found: Vec<DispatchTensor>,
}

impl ModuleVisitor for GradientLister<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = self.gradients.get::<D>(param.id);
        self.found.extend(gradient.map(Tensor::into_dispatch));
    }
}

struct ParameterLister<'a, F> {
    gradients: GradientsParams,
    moments: &'a mut [GradientsParams],
    decay_of: F,
    parameters: Vec<ParamId>,
    tensors: Vec<DispatchTensor>,
    decays: Vec<f64>,
}

impl<F: Fn(usize) -> f64> ModuleVisitor for ParameterLister<'_, F> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return };
        self.parameters.push(param.id);
        self.decays.push((self.decay_of)(D));
        self.tensors.push(param.val().without_autodiff().into_dispatch());
        self.tensors.push(gradient.into_dispatch());
        for moment in &mut *self.moments {
            let old = moment.remove::<D>(param.id);
            self.tensors.push(old.expect("the memory was made of this module").into_dispatch());
        }
    }
}

struct UpdatedSetter<'a, P, U> {
    parameters: &'a mut P,
    updated: U,
    moments: &'a mut [GradientsParams],
}

impl<P, U> ModuleMapper for UpdatedSetter<'_, std::iter::Peekable<P>, U>
where
    P: Iterator<Item = ParamId>,
    U: Iterator<Item = DispatchTensor>,
{
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        if self.parameters.next_if_eq(&id).is_none() {
            return param;
        }
        let mut next = || -> Tensor<D> {
            Tensor::from_dispatch(self.updated.next().expect("every parameter is updated"))
        };
        let value = next();
        for moment in &mut *self.moments {
            moment.register(id, next());
        }
        param.map(|old| weights::with_gradients_of(&old, value))
    }
}
