//! Time meter of one worker: its wall time, split into busy, starved and blocked without a gap.
//!
//! There is one timeline, and at any instant it belongs to exactly one [`Activity`], so the three
//! sums add up to the wall time to the nanosecond, however often the worker is observed. The worker
//! owns the [`Meter`]; observers hold a [`MeterReader`] and never make the worker wait.

use std::cell::RefCell;
use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

/// Activity of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::FromRepr, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
#[repr(u64)]
pub enum Activity {
    /// Waiting for input: the stage before it is slower.
    Starved = 0,
    /// Working.
    Busy = 1,
    /// Waiting for room: the stage after it is slower.
    Blocked = 2,
    /// Ended; its meter stands still.
    Ended = 3,
}

impl Activity {
    /// Lower-case name, as printed in reports.
    pub fn label(self) -> &'static str {
        self.into()
    }
}

/// Time of a worker so far, by activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeterReading {
    /// Time waiting for input.
    pub starved: Duration,
    /// Time working.
    pub busy: Duration,
    /// Time waiting for room.
    pub blocked: Duration,
    /// Present activity.
    pub activity: Activity,
    /// Duration of the present activity.
    pub age: Duration,
    /// Time since the meter was made, or until it ended, measured independently of the sums.
    pub lifetime: Duration,
    /// Number of activity changes: the sign of progress for a watchdog.
    pub changes: u64,
}

/// Sequence lock with one writer and many readers, odd while the writer is inside. All fields are
/// atomics, so a torn read is discarded, never undefined.
#[derive(Debug)]
struct Timeline {
    origin: Instant,
    version: AtomicU64,
    activity: AtomicU64,
    since: AtomicU64,
    /// Nanoseconds of starved, busy and blocked, up to `since`.
    spent: [AtomicU64; 3],
}

impl Timeline {
    fn elapsed_nanos(&self) -> u64 {
        // 584 years of nanoseconds fit.
        self.origin.elapsed().as_nanos() as u64
    }

    /// Switches the activity; only the thread that owns the meter may call it.
    fn switch_to(&self, next: Activity) -> Duration {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        // Read inside the lock: a reader that saw the old version has an earlier `now` than this.
        let now = self.elapsed_nanos();
        let lasted = now.saturating_sub(self.since.load(Ordering::Relaxed));
        let current = self.activity.load(Ordering::Relaxed);
        if let Some(sum) = self.spent.get(current as usize) {
            sum.store(sum.load(Ordering::Relaxed) + lasted, Ordering::Relaxed);
        }
        self.since.store(now, Ordering::Relaxed);
        self.activity.store(next as u64, Ordering::Relaxed);
        self.version.store(version + 2, Ordering::Release);
        Duration::from_nanos(lasted)
    }
}

thread_local! {
    /// The clock of this thread, if it has put one up.
    static OWN: RefCell<Option<Arc<Timeline>>> = const { RefCell::new(None) };
}

/// Runs `wait` and counts its time as [`Activity::Starved`] on the meter
/// [attached](Meter::attach_to_thread) to this thread, if any.
pub fn record_starved<R>(wait: impl FnOnce() -> R) -> R {
    let own = OWN.with_borrow(Clone::clone);
    if let Some(line) = &own {
        line.switch_to(Activity::Starved);
    }
    let waited = wait();
    if let Some(line) = &own {
        line.switch_to(Activity::Busy);
    }
    waited
}

/// Worker's half, not cloneable, because a timeline has one writer.
#[derive(Debug)]
pub struct Meter(Arc<Timeline>);

impl Meter {
    /// Makes a meter that starts now, in `activity`.
    pub fn new(activity: Activity) -> Self {
        Self(Arc::new(Timeline {
            origin: Instant::now(),
            version: AtomicU64::new(0),
            activity: AtomicU64::new(activity as u64),
            since: AtomicU64::new(0),
            spent: Default::default(),
        }))
    }

    /// Reader of this meter.
    pub fn reader(&self) -> MeterReader {
        MeterReader(Arc::clone(&self.0))
    }

    /// Switches to the activity `next`. Returns how long the last one took.
    pub fn switch_to(&mut self, next: Activity) -> Duration {
        self.0.switch_to(next)
    }

    /// Attaches the meter to the calling thread, which owns it: [`record_starved`] writes to it.
    pub fn attach_to_thread(&self) {
        OWN.set(Some(Arc::clone(&self.0)));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.switch_to(Activity::Ended);
    }
}

/// Observer's half: cheap to clone, valid after the worker has ended.
#[derive(Debug, Clone)]
pub struct MeterReader(Arc<Timeline>);

impl MeterReader {
    /// Reads the times up to now.
    pub fn read_clock(&self) -> MeterReading {
        let line = &self.0;
        loop {
            let version = line.version.load(Ordering::Acquire);
            let code = line.activity.load(Ordering::Relaxed);
            let since = line.since.load(Ordering::Relaxed);
            let mut spent = [0u64; 3];
            for (copy, sum) in spent.iter_mut().zip(&line.spent) {
                *copy = sum.load(Ordering::Relaxed);
            }
            let now = line.elapsed_nanos();
            fence(Ordering::Acquire);
            let untouched = line.version.load(Ordering::Relaxed) == version;
            if version % 2 == 1 || !untouched {
                hint::spin_loop();
                continue;
            }
            let age = now.saturating_sub(since);
            if let Some(current) = spent.get_mut(code as usize) {
                *current += age;
            }
            let [starved, busy, blocked] = spent.map(Duration::from_nanos);
            let activity = Activity::from_repr(code).unwrap_or(Activity::Ended);
            // A clock that has ended stood still at its last change.
            let end = if activity == Activity::Ended { since } else { now };
            let age = Duration::from_nanos(age);
            let lifetime = Duration::from_nanos(end);
            let changes = version / 2;
            return MeterReading { starved, busy, blocked, activity, age, lifetime, changes };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    impl MeterReading {
        /// Sum of the three times, which equals the lifetime exactly.
        fn wall_time(&self) -> Duration {
            self.starved + self.busy + self.blocked
        }
    }

    const TURNS: [Activity; 3] = [Activity::Busy, Activity::Blocked, Activity::Starved];

    #[test]
    fn busy_starved_and_blocked_add_up_to_the_wall_time_to_the_nanosecond() {
        let before = Instant::now();
        let mut meter = Meter::new(Activity::Starved);
        let reader = meter.reader();
        let mut lasted = Duration::ZERO;
        for turn in 0..1000 {
            lasted += meter.switch_to(TURNS[turn % 3]);
        }
        drop(meter);
        let reading = reader.read_clock();
        assert!(lasted <= reading.wall_time(), "{lasted:?} of {:?}", reading.wall_time());
        assert!(reading.wall_time() <= before.elapsed());
        assert_eq!(reading.wall_time(), reading.lifetime);
        assert_eq!(reading.changes, 1001);
        assert_eq!(reading.activity, Activity::Ended);
        let later = reader.read_clock();
        assert_eq!(later.wall_time(), reading.wall_time(), "an ended clock stands still");
    }

    #[test]
    fn the_time_since_the_last_change_is_part_of_a_reading() {
        let mut meter = Meter::new(Activity::Starved);
        let reader = meter.reader();
        let starved = meter.switch_to(Activity::Busy);
        let mut reading = reader.read_clock();
        while reading.age.is_zero() {
            reading = reader.read_clock();
        }
        assert_eq!(reading.busy, reading.age, "all of the busy time is the running piece");
        assert_eq!(reading.starved, starved);
        assert_eq!(reading.blocked, Duration::ZERO);
    }

    #[test]
    fn a_reader_never_sees_a_torn_timeline_while_the_worker_runs() {
        let mut meter = Meter::new(Activity::Starved);
        let reader = meter.reader();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for turn in 0..200_000 {
                    meter.switch_to(TURNS[turn % 3]);
                }
                stop.store(true, Ordering::Release);
            });
            let mut last = reader.read_clock();
            while !stop.load(Ordering::Acquire) {
                let before = reader.0.elapsed_nanos();
                let reading = reader.read_clock();
                let after = reader.0.elapsed_nanos();
                let wall = reading.wall_time().as_nanos() as u64;
                assert!((before..=after).contains(&wall), "{wall} is not in {before}..={after}");
                assert_eq!(reading.wall_time(), reading.lifetime);
                assert!(reading.changes >= last.changes);
                last = reading;
            }
        });
    }
}
