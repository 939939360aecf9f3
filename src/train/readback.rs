//! Read-back of a step's figures from a GPU, beside the thread that enqueues the steps.
//!
//! A read is enqueued where it is asked for: asked for after the next step has been enqueued, it would wait for that
//! one, too, and the GPU would be idle until the step after it comes. So it is asked for at the end of its own step,
//! by a thread of its own, whose stream waits for that step alone; the trainer takes the answer a step later.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;

use burn::tensor::{Device, ExecutionError, TensorData, Transaction};

use crate::base::{Fault, spawn_named};

type Answer = Result<Vec<TensorData>, ExecutionError>;

/// Steps that are under way at most: the one that is enqueued, and the one before it.
const STEPS_AT_ONCE: usize = 2;

/// Reader of tensors: a thread on a GPU, none on the CPU.
pub struct ReadbackReader {
    requests: Option<SyncSender<(Transaction, SyncSender<Answer>)>>,
    thread: Option<JoinHandle<()>>,
}

impl ReadbackReader {
    /// Creates a reader for the tensors of `device`.
    ///
    /// # Errors
    /// If the system refuses the thread.
    pub fn for_device(device: &Device) -> Result<Self, Fault> {
        if device.clone().without_autodiff() == Device::flex() {
            return Ok(Self { requests: None, thread: None });
        }
        Self::with_thread()
    }

    fn with_thread() -> Result<Self, Fault> {
        let (requests, asked) =
            mpsc::sync_channel::<(Transaction, SyncSender<Answer>)>(STEPS_AT_ONCE);
        let thread = spawn_named("readback", move || {
            for (transaction, answer) in asked {
                // Nobody waits for the answer of a step that was given up.
                let _unwanted = answer.send(transaction.try_execute());
            }
        })?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Asks for the tensors of a transaction, without waiting for them.
    pub fn request_tensors(&self, transaction: Transaction) -> PendingReadback {
        let Some(requests) = &self.requests else { return PendingReadback::NotAsked(transaction) };
        let (answer, answers) = mpsc::sync_channel(1);
        match requests.send((transaction, answer)) {
            Ok(()) => PendingReadback::Asked(answers),
            // The thread has panicked, as a backend's calls may; the tensors are read here, and say why.
            Err(mpsc::SendError((transaction, _))) => PendingReadback::NotAsked(transaction),
        }
    }
}

impl Drop for ReadbackReader {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it has been said, and shows as an answer that does not come.
            let _panicked = thread.join();
        }
    }
}

/// Tensors on their way from the device.
pub enum PendingReadback {
    /// Tensors of the CPU, which are there.
    NotAsked(Transaction),
    /// Asked for by the thread of the reader.
    Asked(Receiver<Answer>),
}

impl PendingReadback {
    /// Waits for the tensors, in the order in which they were registered.
    ///
    /// # Errors
    /// The device's failure, in its words.
    pub fn wait_for_tensors(self) -> Result<Vec<TensorData>, String> {
        let read = match self {
            Self::NotAsked(transaction) => transaction.try_execute(),
            Self::Asked(answers) => {
                answers.recv().map_err(|_| "the thread that reads figures has ended".to_owned())?
            }
        };
        read.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;

    use super::*;

    fn of_values(values: [f32; 2]) -> Transaction {
        let tensor = |value| Tensor::<1>::full([1], value, &Device::flex());
        Transaction::default().register(tensor(values[0])).register(tensor(values[1]))
    }

    fn read(pending: PendingReadback) -> Vec<f64> {
        pending.wait_for_tensors().unwrap().iter().flat_map(TensorData::iter::<f64>).collect()
    }

    #[test]
    fn answers_belong_to_their_questions_however_late_they_are_taken() {
        for reader in [ReadbackReader::for_device(&Device::flex()), ReadbackReader::with_thread()] {
            let reader = reader.unwrap();
            let first = reader.request_tensors(of_values([1.0, 2.0]));
            let second = reader.request_tensors(of_values([3.0, 4.0]));
            assert_eq!(read(second), [3.0, 4.0]);
            drop(reader.request_tensors(of_values([5.0, 6.0])));
            assert_eq!(read(first), [1.0, 2.0]);
        }
    }

    #[test]
    fn the_cpu_has_no_thread_for_it() {
        assert!(ReadbackReader::for_device(&Device::flex()).unwrap().thread.is_none());
        assert!(ReadbackReader::for_device(&Device::flex().autodiff()).unwrap().thread.is_none());
    }
}
