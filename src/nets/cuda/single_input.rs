//! Way back of the operations that have a gradient in one input alone.

use std::fmt::Debug;
use std::marker::PhantomData;

use burn::backend::Backend;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;

/// State that an operation's way back needs of its way there.
pub(super) trait InputGradient<B: Backend>: Debug + Clone + Send + 'static {
    /// Computes the gradient of the input from that of the output.
    fn compute_gradient(
        self,
        slopes: FloatTensor<B>,
        checkpointer: &mut Checkpointer,
    ) -> FloatTensor<B>;
}

/// Backward pass that hands the output's gradient to the saved state and registers what it computes.
#[derive(Debug)]
pub(super) struct SingleInput<S>(PhantomData<S>);

impl<S> SingleInput<S> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<B: Backend, S: InputGradient<B>> Backward<B, 1> for SingleInput<S> {
    type State = S;

    fn backward(self, ops: Ops<S, 1>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [parent] = ops.parents;
        let slopes = gradients.consume::<B>(&ops.node);
        let gradient = ops.state.compute_gradient(slopes, checkpointer);
        if let Some(node) = parent {
            gradients.register::<B>(node.id, gradient);
        }
    }
}
