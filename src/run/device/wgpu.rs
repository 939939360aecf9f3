//! GPUs of any maker, through Vulkan, Metal or DirectX 12: the first adapter, or why there is none.

use burn::tensor::Device;

/// The first adapter and its name.
///
/// # Errors
/// What is missing and the way out.
#[cfg(feature = "wgpu")]
pub(super) fn first_adapter() -> Result<(Device, String), &'static str> {
    use burn::tensor::DeviceType;

    let device = Device::enumerate(DeviceType::Wgpu).into_iter().next().ok_or(
        "there is no graphics adapter; install the maker's Vulkan driver, or mesa-vulkan-drivers, \
         whose llvmpipe needs no GPU",
    )?;
    let name = device.identity().map_or_else(|| "an adapter".into(), |identity| identity.name);
    Ok((device, name))
}

/// Returns the way to a build with wgpu.
///
/// # Errors
/// Always.
#[cfg(not(feature = "wgpu"))]
pub(super) const fn first_adapter() -> Result<(Device, String), &'static str> {
    Err("this program was built without it; build one with `cargo build --release --features \
         wgpu,fusion`")
}
