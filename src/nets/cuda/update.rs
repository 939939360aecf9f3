//! Launches of an optimiser's step: the norm of all gradients, and the update of all parameters.

use burn::backend::{DType, TensorMetadata};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::server::Handle;
use cubecl::zspace::Shape;

use crate::nets::cuda::kernel::{CudaKernel, KernelFile};
use crate::nets::cuda::layout::to_field;

/// Elements of a tensor that a block has.
const STRETCH: usize = 4096;

/// Gradients of a launch: their pointers and sizes make 2 KiB, of the 4 KiB that every driver takes.
const GRADIENT_SLOTS: usize = 128;

/// Parameters of a launch, each with its gradient and up to three moments, before and after: 2.7 KiB.
const PARAMETER_SLOTS: usize = 32;

/// Update rule in `kernels/update_parameters.cu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::nets) enum RuleKind {
    Sgd,
    Adam,
    AdamW,
}

/// Numbers of an optimiser's step.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::nets) struct UpdateSettings {
    pub(in crate::nets) rule: RuleKind,
    /// Moments of each parameter.
    pub(in crate::nets) moments: usize,
    pub(in crate::nets) rate: f64,
    /// Decays of the moments; of SGD the momentum alone.
    pub(in crate::nets) betas: [f64; 2],
    pub(in crate::nets) epsilon: f64,
    pub(in crate::nets) is_nesterov: bool,
    /// Weight decay of each parameter.
    pub(in crate::nets) decays: Vec<f64>,
}

impl UpdateSettings {
    /// Bias corrections, which Adam's means have.
    pub(super) fn corrections(&self) -> usize {
        if self.rule == RuleKind::Sgd { 0 } else { 2 }
    }

    /// Tensors of a parameter: weights, gradient, moments.
    pub(super) fn tensors_of_parameter(&self) -> usize {
        2 + self.moments
    }
}

/// Blocks up to the end of each tensor of a launch, and sizes; slots behind the last have neither.
struct Slots {
    ends: Vec<i32>,
    sizes: Vec<i32>,
    blocks: usize,
}

impl Slots {
    fn new(tensors: &[&CubeTensor], slots: usize) -> Self {
        let mut blocks = 0;
        let (mut ends, mut sizes) = (Vec::with_capacity(slots), Vec::with_capacity(slots));
        for tensor in tensors {
            let size = tensor.meta.num_elements();
            blocks += size.div_ceil(STRETCH);
            ends.push(to_field(blocks));
            sizes.push(to_field(size));
        }
        ends.resize(slots, to_field(blocks));
        sizes.resize(slots, 0);
        Self { ends, sizes, blocks }
    }
}

/// Handles of one tensor for each slot; those behind the last are the first again.
fn fill_slots<'a>(handles: impl Iterator<Item = &'a Handle>, slots: usize) -> Vec<&'a Handle> {
    let mut filled: Vec<&Handle> = handles.collect();
    filled.resize(slots, filled[0]);
    filled
}

fn number(value: f64) -> i32 {
    (value as f32).to_bits().cast_signed()
}

fn slot_macro(slots: usize) -> (&'static str, u32) {
    ("SLOTS", u32::try_from(slots).expect("slots are few"))
}

/// Measures the gradients of a step, f32, which are sums over `1 / mean` batches, with those batches' losses,
/// `[1]`. Returns the norm of their mean; the same, but not finite if a loss is not; and the factor that takes
/// them to the mean, clipped to a norm of `longest`; `[1]` each.
pub(super) fn measure_gradients(
    gradients: Vec<CubeTensor>,
    losses: CubeTensor,
    mean: f64,
    longest: Option<f64>,
) -> [CubeTensor; 3] {
    let gradients: Vec<CubeTensor> = gradients.into_iter().map(into_contiguous).collect();
    let client = &losses.client;
    let blocks_of = |tensor: &CubeTensor| tensor.meta.num_elements().div_ceil(STRETCH);
    let all_blocks: usize = gradients.iter().map(blocks_of).sum();
    let parts = client.empty(all_blocks * size_of::<f32>());
    let mut first = 0;
    for some in gradients.chunks(GRADIENT_SLOTS) {
        let slots = Slots::new(&some.iter().collect::<Vec<_>>(), GRADIENT_SLOTS);
        let mut buffers = fill_slots(some.iter().map(|tensor| &tensor.handle), GRADIENT_SLOTS);
        buffers.push(&parts);
        let fields = [&[to_field(first)], &slots.ends[..], &slots.sizes].concat();
        let kernel = CudaKernel::new(KernelFile::GradientSquares, &[slot_macro(GRADIENT_SLOTS)]);
        kernel.launch_blocks(client, [slots.blocks, 1, 1], &buffers, &fields);
        first += slots.blocks;
    }
    let single = || {
        let handle = client.empty(size_of::<f32>());
        let device = losses.device.clone();
        CubeTensor::new_contiguous(client.clone(), device, Shape::from([1]), handle, DType::F32)
    };
    let answers @ [norm, checked, factor] = &[single(), single(), single()];
    let fields = [to_field(all_blocks), number(mean), number(longest.unwrap_or(0.0))];
    let buffers = [&parts, &losses.handle, &norm.handle, &checked.handle, &factor.handle];
    CudaKernel::new(KernelFile::GradientNorm, &[]).launch_blocks(
        client,
        [1, 1, 1],
        &buffers,
        &fields,
    );
    answers.clone()
}

/// Updates parameters by one step of an optimiser. `tensors` has the norm that tells if the step is finite and
/// the factor of [`measure_gradients`], the bias corrections, and of each parameter weights, gradient and
/// moments. Returns the bias corrections, and of each parameter weights and moments.
pub(super) fn update_parameters(
    tensors: Vec<CubeTensor>,
    settings: &UpdateSettings,
) -> Vec<CubeTensor> {
    let tensors: Vec<CubeTensor> = tensors.into_iter().map(into_contiguous).collect();
    let (figures, tensors) = tensors.split_at(2);
    let (seen, parameters) = tensors.split_at(settings.corrections());
    let allocate = |like: &CubeTensor| {
        let shape = like.shape();
        let handle = like.client.empty(like.meta.num_elements() * size_of::<f32>());
        let (client, device) = (like.client.clone(), like.device.clone());
        CubeTensor::new_contiguous(client, device, shape, handle, DType::F32)
    };
    let mut answers: Vec<CubeTensor> = seen.iter().map(allocate).collect();
    let place = |tensors: &'_ [CubeTensor], at: usize| -> Handle {
        tensors.get(at).unwrap_or(&figures[0]).handle.clone()
    };
    let corrections = [place(seen, 0), place(seen, 1), place(&answers, 0), place(&answers, 1)];
    let of_parameter = settings.tensors_of_parameter();
    let chunks = parameters.chunks(PARAMETER_SLOTS * of_parameter);
    for (launch, some) in chunks.enumerate() {
        let some: Vec<&[CubeTensor]> = some.chunks(of_parameter).collect();
        let updated: Vec<Vec<CubeTensor>> = some
            .iter()
            .map(|tensors| {
                [0].into_iter().chain(2..of_parameter).map(|at| allocate(&tensors[at])).collect()
            })
            .collect();
        let decays = &settings.decays[launch * PARAMETER_SLOTS..][..some.len()];
        launch_update(settings, launch == 0, &some, &updated, decays, figures, &corrections);
        answers.extend(updated.into_iter().flatten());
    }
    answers
}

fn launch_update(
    settings: &UpdateSettings,
    is_first: bool,
    parameters: &[&[CubeTensor]],
    updated: &[Vec<CubeTensor>],
    decays: &[f64],
    figures: &[CubeTensor],
    corrections: &[Handle],
) {
    let weights: Vec<&CubeTensor> = parameters.iter().map(|tensors| &tensors[0]).collect();
    let slots = Slots::new(&weights, PARAMETER_SLOTS);
    let before = |at: usize| parameters.iter().map(move |tensors| &tensors[at].handle);
    let after = |at: usize| updated.iter().map(move |tensors| &tensors[at].handle);
    let mut buffers: Vec<&Handle> = Vec::new();
    buffers.extend(fill_slots(before(0), PARAMETER_SLOTS));
    buffers.extend(fill_slots(before(1), PARAMETER_SLOTS));
    buffers.extend(fill_slots(after(0), PARAMETER_SLOTS));
    let moments_before: Vec<Vec<&Handle>> =
        (0..settings.moments).map(|at| fill_slots(before(2 + at), PARAMETER_SLOTS)).collect();
    let moments_after: Vec<Vec<&Handle>> =
        (0..settings.moments).map(|at| fill_slots(after(1 + at), PARAMETER_SLOTS)).collect();
    // As the kernel lists them: a slot's moments side by side.
    for moments in [&moments_before, &moments_after] {
        let by_slot =
            (0..PARAMETER_SLOTS).flat_map(|slot| moments.iter().map(move |all| all[slot]));
        buffers.extend(by_slot);
    }
    buffers.extend(figures.iter().map(|tensor| &tensor.handle));
    buffers.extend(corrections);
    let mut all_decays: Vec<i32> = decays.iter().copied().map(number).collect();
    all_decays.resize(PARAMETER_SLOTS, 0);
    let [beta1, beta2] = settings.betas;
    let numbers = [settings.rate, beta1, beta2, 1.0 - beta1, 1.0 - beta2, settings.epsilon];
    let flags = [settings.is_nesterov, is_first].map(i32::from);
    let fields =
        [&slots.ends[..], &slots.sizes, &all_decays, &numbers.map(number), &flags].concat();
    let macros = [
        slot_macro(PARAMETER_SLOTS),
        ("MOMENTS", u32::try_from(settings.moments).expect("three at most")),
        ("RULE", settings.rule as u32),
    ];
    CudaKernel::new(KernelFile::UpdateParameters, &macros).launch_blocks(
        &figures[0].client,
        [slots.blocks, 1, 1],
        &buffers,
        &fields,
    );
}
