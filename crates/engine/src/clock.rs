//! The clocks: the machine's own, and one that follows the timers of a test.

use change::{Span, Timestamp, time};

use crate::ports::{BootMillis, Clock};

/// The machine's clocks: wall time for the log, boot time for leases.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
    }

    fn boot(&self) -> BootMillis {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let millis = time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000);
        BootMillis(u64::try_from(millis).unwrap_or(0))
    }
}

/// A clock that moves with the runtime's timers, so that a test with paused time advances both together.
#[derive(Clone, Copy, Debug)]
pub struct TimerClock {
    start: tokio::time::Instant,
    epoch: Timestamp,
}

impl TimerClock {
    /// Begins at `epoch` now.
    pub fn starting_at(epoch: Timestamp) -> Self {
        Self { start: tokio::time::Instant::now(), epoch }
    }

    fn elapsed_millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Clock for TimerClock {
    fn now(&self) -> Timestamp {
        time::after(self.epoch, Span::millis(self.elapsed_millis()))
    }

    fn boot(&self) -> BootMillis {
        BootMillis(self.elapsed_millis())
    }
}
