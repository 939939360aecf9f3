//! Launches of a convolution's three passes.

use burn::backend::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::zspace::Shape;

use crate::nets::cuda::convolution_choice::compute_pass;
use crate::nets::cuda::cubecl_convolution::{self, ConvolutionSizes};
use crate::nets::cuda::geometry::{PassGeometry, PassWay};
use crate::nets::cuda::kernel::{CudaKernel, KernelFile};
use crate::nets::cuda::layout::{ChannelsLast, bf16_macro, volume_shape};

/// Convolves `[b, c, d, h, w]`, f32 or bf16, with a zero-padded kernel `[k, c/groups, s, s, s]`, f32, `s` 1
/// or 3, to `[b, k, d', h', w']`, `d' = ceil(d / stride)`, and adds a bias `[k]`, f32. Products are in TF32 or
/// bf16, sums in f32.
pub(in crate::nets) fn convolve(
    volume: CubeTensor,
    kernel: CubeTensor,
    bias: Option<CubeTensor>,
    stride: usize,
    groups: usize,
) -> CubeTensor {
    let sizes = ConvolutionSizes { side: volume_shape(&kernel)[2], stride, groups };
    let pass = || name_pass("convolution", &volume, volume_shape(&kernel)[0], sizes);
    let operands = || (volume.clone(), kernel.clone(), bias.clone());
    let own = || {
        let (volume, kernel, bias) = operands();
        own_convolve(volume, kernel, bias, sizes)
    };
    compute_pass(&volume.client, pass, own, |kernels| {
        let (volume, kernel, bias) = operands();
        cubecl_convolution::convolve(volume, kernel, bias, sizes, kernels)
    })
}

fn own_convolve(
    volume: CubeTensor,
    kernel: CubeTensor,
    bias: Option<CubeTensor>,
    sizes: ConvolutionSizes,
) -> CubeTensor {
    let ConvolutionSizes { stride, groups, .. } = sizes;
    let [samples, _, d, h, w] = volume_shape(&volume);
    let [outputs, _, side, ..] = volume_shape(&kernel);
    let [td, th, tw] = [d, h, w].map(|axis| axis.div_ceil(stride));
    let source = ChannelsLast::from_tensor(volume);
    let target = ChannelsLast::allocate(&source.tensor, [samples, outputs, td, th, tw]);
    let way = PassWay { side, stride, groups, is_transposed: false };
    let geometry = PassGeometry::new(&source, &target, way);
    correlate(&geometry, &source, kernel, bias, target)
}

/// Computes the gradient of a convolution's input `[b, c, d, h, w]`, `extent` its `[d, h, w]`, from its
/// output's.
pub(in crate::nets) fn volume_gradient(
    slopes: CubeTensor,
    kernel: CubeTensor,
    extent: [usize; 3],
    stride: usize,
    groups: usize,
) -> CubeTensor {
    let sizes = ConvolutionSizes { side: volume_shape(&kernel)[2], stride, groups };
    let pass = || name_pass("gradient of input", &slopes, volume_shape(&kernel)[1], sizes);
    let own = || own_volume_gradient(slopes.clone(), kernel.clone(), extent, sizes);
    compute_pass(&slopes.client, pass, own, |kernels| {
        let (slopes, kernel) = (slopes.clone(), kernel.clone());
        cubecl_convolution::volume_gradient(slopes, kernel, extent, sizes, kernels)
    })
}

fn own_volume_gradient(
    slopes: CubeTensor,
    kernel: CubeTensor,
    extent: [usize; 3],
    sizes: ConvolutionSizes,
) -> CubeTensor {
    let ConvolutionSizes { stride, groups, .. } = sizes;
    let samples = volume_shape(&slopes)[0];
    let [_, inputs, side, ..] = volume_shape(&kernel);
    let source = ChannelsLast::from_tensor(slopes);
    let [td, th, tw] = extent;
    let target = ChannelsLast::allocate(&source.tensor, [samples, inputs * groups, td, th, tw]);
    let way = PassWay { side, stride, groups, is_transposed: true };
    let geometry = PassGeometry::new(&source, &target, way);
    correlate(&geometry, &source, kernel, None, target)
}

/// Computes the gradient of a convolution's kernel, f32 `[k, c/groups, s, s, s]`, from the convolution's
/// input and its output's gradient.
pub(in crate::nets) fn kernel_gradient(
    volume: CubeTensor,
    slopes: CubeTensor,
    side: usize,
    stride: usize,
    groups: usize,
) -> CubeTensor {
    let sizes = ConvolutionSizes { side, stride, groups };
    let pass = || name_pass("gradient of kernel", &volume, volume_shape(&slopes)[1], sizes);
    let own = || own_kernel_gradient(volume.clone(), slopes.clone(), sizes);
    compute_pass(&volume.client, pass, own, |kernels| {
        cubecl_convolution::kernel_gradient(volume.clone(), slopes.clone(), sizes, kernels)
    })
}

fn own_kernel_gradient(
    volume: CubeTensor,
    slopes: CubeTensor,
    sizes: ConvolutionSizes,
) -> CubeTensor {
    let ConvolutionSizes { side, stride, groups } = sizes;
    let [inputs, outputs] = [&volume, &slopes].map(|tensor| volume_shape(tensor)[1]);
    let source = ChannelsLast::from_tensor(volume);
    let slopes = ChannelsLast::from_tensor(slopes);
    let way = PassWay { side, stride, groups, is_transposed: false };
    let geometry = PassGeometry::new(&source, &slopes, way);
    let client = &source.tensor.client;
    let splits = geometry.gradient_splits();
    let fields = geometry.kernel_fields(splits);
    let macros = tile_macros(&geometry, source.tensor.dtype);
    let parts = client.empty(geometry.gradient_parts(splits) * size_of::<f32>());
    let with_target = [&macros[..], &[target_granule(&geometry)]].concat();
    CudaKernel::new(KernelFile::KernelGradient, &with_target).launch_blocks(
        client,
        geometry.gradient_blocks(splits),
        &[&source.tensor.handle, &slopes.tensor.handle, &parts],
        &fields,
    );
    let shape = [outputs, inputs / groups, side, side, side];
    let elements: usize = shape.iter().product();
    let gradient = client.empty(elements * size_of::<f32>());
    CudaKernel::new(KernelFile::AddKernelParts, &macros).launch_blocks(
        client,
        [elements.div_ceil(256), 1, 1],
        &[&parts, &gradient],
        &fields,
    );
    let device = source.tensor.device.clone();
    CubeTensor::new_contiguous(client.clone(), device, Shape::from(shape), gradient, DType::F32)
}

/// Names a pass by all that its time depends on.
fn name_pass(kind: &str, read: &CubeTensor, channels: usize, sizes: ConvolutionSizes) -> String {
    let ConvolutionSizes { side, stride, groups } = sizes;
    let (shape, dtype) = (volume_shape(read), read.dtype);
    format!("{kind} {shape:?} {dtype:?} to {channels}, {side}^3, stride {stride}, groups {groups}")
}

/// Packs the kernel, multiplies, and adds up the parts where blocks share sums.
fn correlate(
    geometry: &PassGeometry,
    source: &ChannelsLast,
    kernel: CubeTensor,
    bias: Option<CubeTensor>,
    target: ChannelsLast,
) -> CubeTensor {
    let client = &source.tensor.client;
    let dtype = source.tensor.dtype;
    let splits = geometry.correlate_splits();
    let fields = geometry.kernel_fields(splits);
    let macros = tile_macros(geometry, dtype);
    let kernel = into_contiguous(kernel);
    let packed = client.empty(geometry.packed_elements() * geometry.width);
    CudaKernel::new(KernelFile::PackKernel, &macros).launch_blocks(
        client,
        [geometry.packed_elements().div_ceil(256), 1, 1],
        &[&kernel.handle, &packed],
        &fields,
    );
    let [d, h, w] = geometry.target;
    let elements = geometry.samples * d * h * w * geometry.target_pitch;
    // Without splits there are no parts, and without a bias no bias: any buffer stands for them.
    let parts = (splits > 1).then(|| client.empty(splits * elements * size_of::<f32>()));
    let parts = parts.as_ref().unwrap_or(&packed);
    let has_bias = ("BIAS", u32::from(bias.is_some()));
    let bias = bias.map(into_contiguous);
    let bias = bias.as_ref().map_or(&packed, |bias| &bias.handle);
    let all = [&macros[..], &[target_granule(geometry), has_bias]].concat();
    CudaKernel::new(KernelFile::Correlate, &all).launch_blocks(
        client,
        geometry.correlate_blocks(splits),
        &[&source.tensor.handle, &packed, bias, &target.tensor.handle, parts],
        &fields,
    );
    if splits > 1 {
        CudaKernel::new(KernelFile::AddParts, &[bf16_macro(dtype), has_bias]).launch_blocks(
            client,
            [elements.div_ceil(256), 1, 1],
            &[parts, bias, &target.tensor.handle],
            &fields,
        );
    }
    target.tensor
}

fn tile_macros(geometry: &PassGeometry, dtype: DType) -> [(&'static str, u32); 3] {
    let size = |bytes: usize| u32::try_from(bytes).expect("a few bytes");
    [
        bf16_macro(dtype),
        ("COLUMNS", size(geometry.block_columns())),
        ("GRANULE", size(geometry.source_granule())),
    ]
}

fn target_granule(geometry: &PassGeometry) -> (&'static str, u32) {
    ("TARGET_GRANULE", u32::try_from(geometry.target_granule()).expect("a few bytes"))
}
