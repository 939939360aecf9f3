//! The kernels that all GPUs share, without a GPU: Mesa's llvmpipe plays one, through Vulkan.
//!
//! `just cubecl` runs it twice, with operations fused and not. Needs the packages
//! mesa-vulkan-drivers and libvulkan1.

use gliaflow::internals::run::device::{DeviceChoice, choose_device};
use gliaflow::internals::run::tools::device_check::{NetworkSize, compare_with_cpu};

#[test]
fn every_operation_and_network_computes_on_an_adapter_what_it_does_on_the_cpu() {
    let chosen = choose_device(DeviceChoice::Wgpu).map_err(|failure| failure.to_string()).unwrap();
    let fused = if cfg!(feature = "fusion") { "fused" } else { "not fused" };
    println!("{}, {fused}", chosen.name);
    let all =
        compare_with_cpu(&chosen.device, NetworkSize::Tiny, |compared| println!("{compared:?}"));
    let wrong: Vec<_> = all.iter().filter(|compared| !compared.is_within_tolerance()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
