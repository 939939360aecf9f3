//! Way back of operations: gradients of all inputs together, and outputs that gradient checkpointing computes again.

use std::fmt::Debug;
use std::marker::PhantomData;

use burn::backend::Backend;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::retro_forward::RetroForward;
use burn::backend::autodiff::checkpoint::state::BackwardStates;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;

/// State that the way back of an operation of `N` inputs with gradients needs of its way there.
pub(in crate::nets) trait InputGradients<B: Backend, const N: usize>:
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
pub(in crate::nets) struct BackwardPass<S>(PhantomData<S>);

impl<S> BackwardPass<S> {
    pub(in crate::nets) const fn new() -> Self {
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

/// Operation whose output gradient checkpointing computes again in place of keeping it, with the same bits.
#[derive(Debug)]
pub(in crate::nets) struct Recomputation<B: Backend, S, const N: usize> {
    pub(in crate::nets) inputs: [NodeId; N],
    pub(in crate::nets) settings: S,
    pub(in crate::nets) compute: fn([FloatTensor<B>; N], S) -> FloatTensor<B>,
}

impl<B: Backend, S: Debug + Copy + Send + 'static, const N: usize> RetroForward
    for Recomputation<B, S, N>
{
    fn forward(&self, states: &mut BackwardStates, out_node: NodeId) {
        let inputs = self.inputs.map(|input| states.get_state::<FloatTensor<B>>(&input));
        states.save(out_node, (self.compute)(inputs, self.settings));
    }
}
