//! Puts outcomes back in ticket order. Not a queue: a ring with one place per ticket.
//!
//! The sink resolves tickets in order, so those outstanding are the T ordinals from the next one
//! on at most, and the ring cannot overflow.

/// Ring buffer of outcomes that have come too early.
#[derive(Debug)]
pub(super) struct Sequencer<T> {
    places: Vec<Option<T>>,
    next: u64,
}

impl<T> Sequencer<T> {
    /// Makes a ring for `tickets` outstanding ordinals, beginning with 0.
    pub(super) fn new(tickets: usize) -> Self {
        Self { places: (0..tickets).map(|_| None).collect(), next: 0 }
    }

    fn slot_mut(&mut self, ordinal: u64) -> &mut Option<T> {
        let ring = self.places.len() as u64;
        &mut self.places[(ordinal % ring) as usize]
    }

    /// Keeps `arrived` until the turn of `ordinal`.
    ///
    /// # Panics
    /// If the ordinal has had its turn, has come already, or lies beyond the tickets: its ticket
    /// would be a forgery.
    pub(super) fn insert_at(&mut self, ordinal: u64, arrived: T) {
        let window = self.next..self.next + self.places.len() as u64;
        assert!(window.contains(&ordinal), "ticket {ordinal} is outside of {window:?}");
        let place = self.slot_mut(ordinal);
        assert!(place.is_none(), "ticket {ordinal} has come twice");
        *place = Some(arrived);
    }

    /// Removes the next outcome in order, if it has arrived.
    pub(super) fn pop_next(&mut self) -> Option<T> {
        let next = self.next;
        let arrived = self.slot_mut(next).take()?;
        self.next += 1;
        Some(arrived)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Tickets in order, a window of T, any completion order within it.
        #[test]
        fn any_completion_order_within_the_window_comes_out_in_ticket_order(
            tickets in 1usize..9, choices in prop::collection::vec(0usize..64, 0..80),
        ) {
            let mut ring = Sequencer::new(tickets);
            let mut working = Vec::new();
            let (mut issued, mut out) = (0u64, Vec::new());
            for &choice in &choices {
                while issued - (out.len() as u64) < tickets as u64 {
                    working.push(issued);
                    issued += 1;
                }
                let done = working.swap_remove(choice % working.len());
                ring.insert_at(done, done);
                while let Some(ordinal) = ring.pop_next() {
                    out.push(ordinal);
                }
            }
            prop_assert!(out.iter().copied().eq(0..out.len() as u64));
            let waiting = choices.len() - out.len();
            prop_assert_eq!(working.len() + waiting, issued as usize - out.len());
        }
    }

    #[test]
    fn forged_ordinals_are_refused() {
        let mut ring = Sequencer::new(2);
        ring.insert_at(0, 'a');
        assert_eq!(ring.pop_next(), Some('a'));
        ring.insert_at(1, 'b');
        for forged in [0, 1, 3] {
            let refused = catch_unwind(AssertUnwindSafe(|| ring.insert_at(forged, 'x'))).is_err();
            assert!(refused, "{forged}");
        }
    }
}
