//! Way back of the operations that compute the gradients of their inputs together.

use std::fmt::Debug;
use std::marker::PhantomData;

use burn::backend::Backend;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;

/// State that the way back of an operation of `N` inputs with gradients needs of its way there.
pub(super) trait InputGradients<B: Backend, const N: usize>:
    Debug + Clone + Send + 'static
{
    /// Computes the gradients of the inputs from that of the output.
    fn compute_gradients(
        self,
        slopes: FloatTensor<B>,
        checkpointer: &mut Checkpointer,
    ) -> [FloatTensor<B>; N];
}

/// Backward pass that hands the output's gradient to the saved state and registers what it computes.
#[derive(Debug)]
pub(super) struct BackwardPass<S>(PhantomData<S>);

impl<S> BackwardPass<S> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<B: Backend, S: InputGradients<B, N>, const N: usize> Backward<B, N> for BackwardPass<S> {
    type State = S;

    fn backward(self, ops: Ops<S, N>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let slopes = gradients.consume::<B>(&ops.node);
        let computed = ops.state.compute_gradients(slopes, checkpointer);
        for (parent, gradient) in ops.parents.into_iter().zip(computed) {
            if let Some(node) = parent {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}
