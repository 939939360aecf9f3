//! Floor 2: concurrency. Knows no MRI, no file, no tensor.
//!
//! A [`Stage`] is a synchronous function of one item; everything concurrent belongs to the
//! loops around it. A [`Topology`] is one source, a line of stages with some workers
//! each, and one sink, wired through bounded mailboxes. Three rules carry it:
//!
//! 1. **A ticket is the permission to exist.** The source takes one of T tickets before it names an
//!    item, and the ticket comes back when the sink has accepted the item's outcome. Every mailbox
//!    between stages has T places, so no stage ever waits to send. There are three waits: the
//!    source for a ticket, a worker for input, the sink for its consumer.
//! 2. **One ticket in, one outcome out**, in ticket order:
//!    `issued = delivered + skipped + in flight` ([`TicketCounts`]). An error or a panic is
//!    an outcome of its item, not an event in a log.
//! 3. **Dropped senders mean finish, closed mailboxes mean abort, the first fault is the cause**
//!    ([`StopLatch`]).
//!
//! The number of workers of a stage may change at any time ([`WorkerScaler`]), by
//! hand or from measured times ([`keep_balanced`]): it decides when an item is done, never its result.
//!
//! The oldest ticket in flight is always in a stage that can run or in the sink, so there is no
//! deadlock to be found; what can still go wrong is a stage that never returns, and the watchdog
//! names it. The reasons are in `docs/adr/002` and `docs/adr/003`.

mod autoscale;
mod balance;
mod feed;
mod hooks;
mod observe;
mod skip_account;
mod stage;
mod stop;
mod ticket;
mod topology;
mod watchdog;
mod worker_scaler;

mod actor_cell;
mod mailbox;
mod relay;
mod sequencer;
mod shell;
mod source_sink;
mod thread_tracker;
mod worker;

pub use autoscale::{TICK, keep_balanced, threads_for};
pub use balance::{WorkerBalancer, WorkerChange};
pub use feed::{Feed, RunningTopology};
pub use hooks::Hooks;
pub use observe::{Observation, Observer, TopologySnapshot};
pub use skip_account::{EarlierSkips, allowed_subjects};
pub use stage::{Describe, Outcome, Sink, SkippedItem, Source, Stage};
pub use stop::{StopLatch, StopState};
pub use ticket::{SkipBudget, TicketCounts};
pub use topology::{Chain, Limits, Topology};
pub use watchdog::Watchdog;
pub use worker_scaler::WorkerScaler;
