//! Bounded queues between actors: the only place that names the channel library.
//!
//! Only kanal's synchronous side is used. Its futures lose messages when they are dropped half-way
//! (under `select!` or `timeout`), so none is ever made (docs/adr/003). Both ends sit in an `Arc`:
//! the channel's own counts then say *the last sender is gone* and *the last receiver is gone*
//! although closers and gauges hold on to it, weakly.

use std::sync::{Arc, Weak};

/// Error of a mailbox whose other end is gone or that was closed; the item has been dropped.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MailboxClosed;

/// Sending end. When the last one is dropped, the receivers drain what is queued and then end.
#[derive(Debug)]
pub(super) struct Outbox<T>(Arc<kanal::Sender<T>>);

/// Receiving end, shared by any number of workers.
#[derive(Debug)]
pub(super) struct Inbox<T>(Arc<kanal::Receiver<T>>);

/// Makes a mailbox for `capacity` items; with 0 a sender waits until a receiver takes.
pub(super) fn mailbox<T>(capacity: usize) -> (Outbox<T>, Inbox<T>) {
    let (sender, receiver) = kanal::bounded(capacity);
    (Outbox(Arc::new(sender)), Inbox(Arc::new(receiver)))
}

impl<T> Clone for Outbox<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Clone for Inbox<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Outbox<T> {
    /// Sends without ever waiting, for mailboxes that have a place for each ticket. A full one
    /// would be a bug, and the ticket of the item, dropped here, would report itself as lost.
    pub(super) fn try_send(&self, item: T) -> Result<(), MailboxClosed> {
        match self.0.try_send(item) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(MailboxClosed),
        }
    }

    /// Sends, waiting for a free place: the one wait for a consumer.
    pub(super) fn send(&self, item: T) -> Result<(), MailboxClosed> {
        self.0.send(item).map_err(|_| MailboxClosed)
    }

    /// Returns a function to another sending end, if there is one left; it keeps no mailbox open.
    pub(super) fn downgrade(&self) -> impl Fn() -> Option<Self> + use<T> {
        let sender = Arc::downgrade(&self.0);
        move || sender.upgrade().map(Self)
    }
}

impl<T> Inbox<T> {
    /// Waits for the next item; `None` once closed, or without senders and with an empty queue.
    pub(super) fn receive(&self) -> Option<T> {
        self.0.recv().ok()
    }

    /// Returns a function to another receiving end, if one is left; it keeps no mailbox open.
    pub(super) fn downgrade(&self) -> impl Fn() -> Option<Self> + use<T> {
        let receiver = Arc::downgrade(&self.0);
        move || receiver.upgrade().map(Self)
    }
}

impl<T: Send + 'static> Inbox<T> {
    /// Returns a control of the mailbox, whatever its item type, that does not keep it open.
    pub(super) fn control(&self) -> Arc<dyn MailboxControl> {
        Arc::new(Arc::downgrade(&self.0))
    }
}

/// Closes or measures a mailbox from outside, whatever its item type.
pub(super) trait MailboxControl: Send + Sync {
    /// Drops what is queued and wakes every waiter at either end.
    fn close(&self);
    /// Items queued now; 0 once the receivers are gone.
    fn queue_depth(&self) -> usize;
}

impl<T: Send + 'static> MailboxControl for Weak<kanal::Receiver<T>> {
    fn close(&self) {
        let Some(receiver) = self.upgrade() else { return };
        // It fails only where the mailbox is closed already, which is what was asked for.
        let _ = receiver.close();
    }

    fn queue_depth(&self) -> usize {
        self.upgrade().map_or(0, |receiver| receiver.len())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_last_sender_to_go_lets_the_receivers_drain() {
        let (outbox, inbox) = mailbox(3);
        let second = outbox.clone();
        outbox.try_send(1).unwrap();
        second.try_send(2).unwrap();
        drop(outbox);
        drop(second);
        assert_eq!([inbox.receive(), inbox.receive(), inbox.receive()], [Some(1), Some(2), None]);
    }

    #[test]
    fn closing_drops_what_is_queued_and_wakes_both_ends() {
        let counted = Arc::new(());
        let (outbox, inbox) = mailbox(1);
        let (_idle_outbox, idle_inbox) = mailbox::<u8>(1);
        let (valve, idle_valve) = (inbox.control(), idle_inbox.control());
        outbox.try_send(Arc::clone(&counted)).unwrap();
        thread::scope(|scope| {
            let sender = scope.spawn(|| outbox.send(Arc::clone(&counted)));
            let receiver = scope.spawn(|| idle_inbox.receive());
            while Arc::strong_count(&counted) < 3 {
                thread::yield_now();
            }
            valve.close();
            idle_valve.close();
            assert_eq!(sender.join().unwrap(), Err(MailboxClosed));
            assert_eq!(receiver.join().unwrap(), None);
        });
        assert_eq!(Arc::strong_count(&counted), 1, "the queued and the waiting item were dropped");
        assert_eq!(outbox.try_send(Arc::clone(&counted)), Err(MailboxClosed));
    }

    #[test]
    fn a_valve_does_not_keep_a_mailbox_open() {
        let (outbox, inbox) = mailbox(2);
        let valve = inbox.control();
        outbox.try_send(1).unwrap();
        assert_eq!(valve.queue_depth(), 1);
        drop(inbox);
        assert_eq!((outbox.try_send(2), valve.queue_depth()), (Err(MailboxClosed), 0));
        valve.close();
    }

    #[test]
    fn a_weak_end_makes_more_ends_but_keeps_none() {
        let (outbox, inbox) = mailbox(2);
        let (weak_outbox, weak_inbox) = (outbox.downgrade(), inbox.downgrade());
        let (second_outbox, second_inbox) = (weak_outbox().unwrap(), weak_inbox().unwrap());
        drop(outbox);
        second_outbox.try_send(1).unwrap();
        drop(second_outbox);
        assert_eq!((inbox.receive(), second_inbox.receive()), (Some(1), None));
        drop((inbox, second_inbox));
        assert!(weak_outbox().is_none() && weak_inbox().is_none());
    }

    #[test]
    fn a_full_mailbox_refuses_instead_of_waiting() {
        let (outbox, inbox) = mailbox(1);
        outbox.try_send(1).unwrap();
        assert_eq!(outbox.try_send(2), Err(MailboxClosed));
        assert_eq!(inbox.receive(), Some(1));
    }
}
