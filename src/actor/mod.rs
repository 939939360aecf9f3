//! Floor 2: concurrency. Knows no MRI, no file, no tensor.
//!
//! A [`stage::Stage`] is a synchronous function of one item; everything concurrent belongs to the
//! loops around it. A [`topology::Topology`] is one source, a line of stages with some workers
//! each, and one sink, wired through bounded mailboxes. Three rules carry it:
//!
//! 1. **A ticket is the permission to exist.** The source takes one of T tickets before it names an
//!    item, and the ticket comes back when the sink has accepted the item's outcome. Every mailbox
//!    between stages has T places, so no stage ever waits to send. There are three waits: the
//!    source for a ticket, a worker for input, the sink for its consumer.
//! 2. **One ticket in, one outcome out**, in ticket order:
//!    `issued = delivered + skipped + in flight` ([`ticket::TicketCounts`]). An error or a panic is
//!    an outcome of its item, not an event in a log.
//! 3. **Dropped senders mean finish, closed mailboxes mean abort, the first fault is the cause**
//!    ([`stop::StopLatch`]).
//!
//! The number of workers of a stage may change at any time ([`worker_scaler::WorkerScaler`]), by
//! hand or from measured times ([`autoscale`]): it decides when an item is done, never its result.
//!
//! The oldest ticket in flight is always in a stage that can run or in the sink, so there is no
//! deadlock to be found; what can still go wrong is a stage that never returns, and the watchdog
//! names it. The reasons are in `docs/adr/002` and `docs/adr/003`.

pub mod autoscale;
pub mod balance;
pub mod feed;
pub mod hooks;
pub mod observe;
pub mod stage;
pub mod stop;
pub mod ticket;
pub mod topology;
pub mod watchdog;
pub mod worker_scaler;

mod actor_cell;
mod mailbox;
mod relay;
mod sequencer;
mod shell;
mod source_sink;
mod thread_tracker;
mod worker;
