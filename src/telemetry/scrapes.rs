//! Times at which Prometheus scraped, so that a stopped run stays for its last scrape, and one that
//! nobody scrapes does not wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Header of a scrape, which browsers and `gliaflow top` do not send.
pub(super) const SCRAPE_HEADER: &str = "x-prometheus-scrape-timeout-seconds";

/// Interval of a scraper that has come once: the default of `dashboards/prometheus/prometheus.yml`
/// and of most set-ups.
const USUAL_INTERVAL: Duration = Duration::from_secs(15);

/// Longest stay.
const LONGEST_STAY: Duration = Duration::from_secs(30);

/// Age that a served text may have: a scrape within that time of the end may show what was before.
const STALE: Duration = Duration::from_secs(1);

/// Scrapes that are remembered: two servers that take turns show their interval in these.
const REMEMBERED: usize = 3;

/// Times of the last scrapes; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct ScrapeClock(Arc<Mutex<VecDeque<Instant>>>);

/// Stay after the end of a run's work: for one interval of the scraper and until it has come, at most
/// for two.
#[derive(Debug, Clone, Copy)]
pub(super) struct StayForScrape {
    since: Instant,
    interval: Duration,
}

impl ScrapeClock {
    /// Records a scrape.
    pub(super) fn record_scrape(&self, now: Instant) {
        let mut times = self.0.lock();
        times.push_back(now);
        while times.len() > REMEMBERED {
            times.pop_front();
        }
    }

    /// Plans a stay from `now` on; `None` if nobody has scraped within the last two intervals.
    pub(super) fn plan_stay(&self, now: Instant) -> Option<StayForScrape> {
        let times = self.0.lock();
        let last = *times.back()?;
        let gaps = times.iter().zip(times.iter().skip(1)).map(|(one, next)| *next - *one);
        let interval = gaps.max().unwrap_or(USUAL_INTERVAL);
        (now - last <= 2 * interval).then_some(StayForScrape { since: now, interval })
    }

    /// Returns true if `stay` is over.
    pub(super) fn is_over(&self, stay: StayForScrape, now: Instant) -> bool {
        let stayed = now - stay.since;
        let last = self.0.lock().back().copied();
        let came = last.is_some_and(|last| last > stay.since + STALE);
        stayed >= (2 * stay.interval).min(LONGEST_STAY) || (came && stayed >= stay.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn nobody_is_waited_for_who_has_not_come_lately() {
        let start = Instant::now();
        let clock = ScrapeClock::default();
        assert!(clock.plan_stay(start).is_none());
        clock.record_scrape(start);
        assert_eq!(clock.plan_stay(start + seconds(20)).unwrap().interval, USUAL_INTERVAL);
        clock.record_scrape(start + seconds(5));
        assert_eq!(clock.plan_stay(start + seconds(15)).unwrap().interval, seconds(5));
        assert!(clock.plan_stay(start + seconds(16)).is_none());
    }

    #[test]
    fn a_stay_lasts_for_an_interval_and_a_scrape_or_two_intervals_or_half_a_minute() {
        let start = Instant::now();
        let clock = ScrapeClock::default();
        // Two servers, each every ten seconds.
        for second in [0, 2, 10, 12] {
            clock.record_scrape(start + seconds(second));
        }
        let end = start + seconds(13);
        let stay = clock.plan_stay(end).unwrap();
        assert_eq!(stay.interval, seconds(8));
        assert!(!clock.is_over(stay, end + seconds(15)) && clock.is_over(stay, end + seconds(16)));
        clock.record_scrape(end + STALE);
        assert!(!clock.is_over(stay, end + seconds(8)), "that may have shown what was before");
        clock.record_scrape(end + seconds(7));
        assert!(!clock.is_over(stay, end + seconds(7)) && clock.is_over(stay, end + seconds(8)));

        let rare = ScrapeClock::default();
        rare.record_scrape(start);
        rare.record_scrape(start + seconds(60));
        let stay = rare.plan_stay(start + seconds(61)).unwrap();
        assert!(rare.is_over(stay, stay.since + LONGEST_STAY));
    }
}
