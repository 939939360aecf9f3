//! Floor 2: concurrency. Knows no MRI, no file, no tensor.
//!
//! A [`stage::Stage`] is a synchronous function of one item; everything concurrent belongs to the
//! shell around it. A [`topology::Topology`] is one source, a line of stages with some workers each,
//! and one sink, wired through bounded mailboxes. Three rules carry it:
//!
//! 1. **A ticket is the permission to exist.** The source takes one of T tickets before it names an
//!    item, and the ticket comes back when the sink has accepted the item's outcome. Every mailbox
//!    between stages has T places, so no stage ever waits to hand on. There are three waits: the
//!    source for a ticket, a worker for input, the sink for its consumer.
//! 2. **One ticket in, one outcome out**, in ticket order: `issued = delivered + skipped + in flight`
//!    ([`ticket::Ledger`]). An error or a panic is an outcome of its item, not an event in a log.
//! 3. **Dropped senders mean finish, closed mailboxes mean abort, the first fault is the cause**
//!    ([`stop::StopLatch`]).
//!
//! How many workers a stage has may change at any time ([`crew::Crew`]), by hand or from the clocks
//! ([`foreman`]): it decides when an item is done, never what becomes of it.
//!
//! The oldest ticket in flight is always in a stage that can run or in the sink's hands, so there
//! is no deadlock to be found; what can still go wrong is a stage that never returns, and
//! the watchdog names it. The reasons are in `docs/adr/002` and `docs/adr/003`.

pub mod balance;
pub mod crew;
pub mod feed;
pub mod foreman;
pub mod hooks;
pub mod observe;
pub mod stage;
pub mod stop;
pub mod ticket;
pub mod topology;

mod ends;
mod mailbox;
mod post;
mod relay;
mod rollcall;
mod sequencer;
mod shell;
mod watchdog;
mod worker;
