//! Parts of a topology: a source names items, stages process them, a sink collects outcomes.
//!
//! Implementors see one item at a time and no thread, channel, ticket or clock. A stage or source
//! that waits for something outside must wait on something that the topology's
//! [`StopLatch`](crate::actor::StopLatch) ends: nothing else can interrupt it.

use crate::base::CaseError;

/// A synchronous function of one item, with whatever state makes it fast.
///
/// It is built inside its worker's thread by a factory, so it need not be `Send`, and built again
/// after a panic, so it need not be unwind-safe. Its output must depend on the item alone.
pub trait Stage: 'static {
    /// Name of the threads, of the metric label and of the key in `[loader.workers]`.
    const NAME: &'static str;
    /// Input item.
    type In: Send + 'static;
    /// Output item.
    type Out: Send + 'static;

    /// Processes one item.
    ///
    /// # Errors
    /// The error of this item. It becomes the item's outcome, and later stages never see the item.
    fn process(&mut self, item: Self::In) -> Result<Self::Out, CaseError>;

    /// Fuses this stage and `next` into one actor: no thread and no queue between the two.
    fn fuse_with<B: Stage<In = Self::Out>>(self, next: B) -> FusedStage<Self, B>
    where
        Self: Sized,
    {
        FusedStage { first: self, second: next }
    }
}

/// Two stages in one actor, named `first+second`. Made by [`Stage::fuse_with`].
#[derive(Debug)]
pub struct FusedStage<A, B> {
    first: A,
    second: B,
}

/// Bytes of the longest fused name; a longer one does not compile.
const NAME_BYTES: usize = 96;

const fn join_names(parts: [&str; 3]) -> [u8; NAME_BYTES] {
    let mut bytes = [0; NAME_BYTES];
    let mut filled = 0;
    let mut part = 0;
    while part < parts.len() {
        let text = parts[part].as_bytes();
        let mut place = 0;
        while place < text.len() {
            bytes[filled] = text[place];
            filled += 1;
            place += 1;
        }
        part += 1;
    }
    bytes
}

impl<A: Stage, B: Stage<In = A::Out>> FusedStage<A, B> {
    const JOINED: [u8; NAME_BYTES] = join_names([A::NAME, "+", B::NAME]);
}

impl<A: Stage, B: Stage<In = A::Out>> Stage for FusedStage<A, B> {
    const NAME: &'static str = {
        let (used, _) = Self::JOINED.split_at(A::NAME.len() + 1 + B::NAME.len());
        match std::str::from_utf8(used) {
            Ok(name) => name,
            Err(_) => panic!("three joined strings are a string"),
        }
    };
    type In = A::In;
    type Out = B::Out;

    fn process(&mut self, item: Self::In) -> Result<Self::Out, CaseError> {
        self.second.process(self.first.process(item)?)
    }
}

/// Describes an item in the texts of faults and reports: "epoch 0 index 5", a case id.
pub trait Describe {
    /// Description in a few words.
    fn describe(&self) -> String;

    /// Name of what the item is about, where several items are about the same.
    fn subject(&self) -> Option<String> {
        None
    }
}

/// Names the items of a topology, in order, on one thread; asked only when there is a ticket.
pub trait Source: Send + 'static {
    /// Name of the thread and of the metric label.
    const NAME: &'static str;
    /// Item type.
    type Item: Describe + Send + 'static;

    /// Returns the next item, or `None` at the end. May block; a drain takes effect afterwards.
    fn next(&mut self) -> Option<Self::Item>;
}

/// Item that came through every stage, or was skipped.
pub type Outcome<T> = Result<T, SkippedItem>;

/// Skipped item.
#[derive(Debug, Clone, PartialEq)]
pub struct SkippedItem {
    /// Position in the source's order, from 0.
    pub ordinal: u64,
    /// Description of the item by its source.
    pub item: String,
    /// Error that made the item be skipped.
    pub error: CaseError,
}

/// Collects outcomes in the source's order, whatever the number of workers.
pub trait Sink: Send + 'static {
    /// Name of the thread and of the metric label.
    const NAME: &'static str;
    /// Output of the last stage.
    type In: Send + 'static;
    /// Output of the sink, such as a batch.
    type Out: Send + 'static;

    /// Takes one outcome; may complete an output. The item's ticket is free once this returns, so
    /// what is kept of an item is counted with the outputs, not with the tickets.
    fn accept_outcome(&mut self, outcome: Outcome<Self::In>) -> Option<Self::Out>;

    /// Returns what is left at the end, such as a partial batch. Not called after an abort.
    fn finish(&mut self) -> Option<Self::Out> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Reason;

    struct Half;
    struct Less(u32);

    impl Stage for Half {
        const NAME: &'static str = "half";
        type In = u32;
        type Out = u32;
        fn process(&mut self, item: u32) -> Result<u32, CaseError> {
            if item % 2 == 1 {
                return Err(CaseError::new(Reason::Format, item, "is odd", "double it"));
            }
            Ok(item / 2)
        }
    }

    impl Stage for Less {
        const NAME: &'static str = "less";
        type In = u32;
        type Out = String;
        fn process(&mut self, item: u32) -> Result<String, CaseError> {
            self.0 += 1;
            Ok(format!("{}", item - 1))
        }
    }

    fn name<S: Stage>(_: &S) -> &'static str {
        S::NAME
    }

    #[test]
    fn fused_stages_do_what_the_two_do_in_turn_and_carry_both_names() {
        let mut fused = Half.fuse_with(Half).fuse_with(Less(0));
        assert_eq!(name(&fused), "half+half+less");
        assert_eq!(fused.process(12), Ok("2".to_owned()));
        assert!(fused.process(6).is_err(), "the second half refuses 3");
        assert_eq!(fused.second.0, 1, "an item that failed is not shown to later stages");
    }
}
