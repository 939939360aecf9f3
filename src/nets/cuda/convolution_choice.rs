//! Choice of the kernels of a convolution's pass: own, CubeCL's direct ones where products are to be exact, or whichever
//! is faster.

use std::time::Instant;

use burn_cubecl::tensor::CubeTensor;
use cubecl::client::Client;
use cubecl::future::block_on;

use crate::nets::cuda::cubecl_convolution::CubeclKernels;
use crate::nets::cuda::layout::ChannelsLast;
use crate::nets::kernel_choice::{KernelChoice, are_products_exact, chosen_kernels};
use crate::nets::kernel_winners::{KernelWinners, PassKernels};

/// Runs of either kernels under the clock, behind one that compiles and tunes.
const TIMED_RUNS: u32 = 3;

/// Computes a pass by own kernels, or by CubeCL's. `pass` says in words which it is, with all of its sizes.
pub(super) fn compute_pass(
    client: &Client,
    pass: impl FnOnce() -> String,
    own: impl Fn() -> CubeTensor,
    cubecl: impl Fn(CubeclKernels) -> CubeTensor,
) -> CubeTensor {
    if are_products_exact() {
        return cubecl(CubeclKernels::Direct);
    }
    if chosen_kernels() != KernelChoice::Auto {
        return own();
    }
    let compute = |kernels| match kernels {
        PassKernels::Own => own(),
        PassKernels::Cubecl => cubecl(CubeclKernels::Tuned),
    };
    let measure = |kernels| measure_seconds(client, || compute(kernels));
    let winner = KernelWinners::of_process().find_winner(&pass(), measure);
    compute(winner)
}

/// Seconds of a run, averaged; without end if the device failed, so that the other kernels win. Volumes are laid out for
/// the layers behind, if they are not yet: who computes them has to pay for it.
fn measure_seconds(client: &Client, compute: impl Fn() -> CubeTensor) -> f64 {
    let run = || {
        let answer = compute();
        drop(ChannelsLast::from_tensor(answer));
    };
    run();
    if block_on(client.sync()).is_err() {
        return f64::INFINITY;
    }
    let clock = Instant::now();
    (0..TIMED_RUNS).for_each(|_| run());
    match block_on(client.sync()) {
        Ok(()) => clock.elapsed().as_secs_f64() / f64::from(TIMED_RUNS),
        Err(_) => f64::INFINITY,
    }
}
