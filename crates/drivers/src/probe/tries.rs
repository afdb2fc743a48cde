//! Tries: a request that is made again while the time for it lasts.
//!
//! All tries share one budget, half of the time between two looks, so that a look is never late for its successor. Only what may pass in a moment is
//! tried again; pauses double, and their jitter is a setting, so that many servers do not ask in step and tests are not by chance.

use std::time::{Duration, Instant};

use change::Span;
use reqwest::RequestBuilder;

use super::Limits;
use crate::http::{self, Answer, Bounds};

/// Less would fail a source that answers slowly to looks that are close together.
const LEAST_BUDGET: Duration = Duration::from_millis(500);

impl Limits {
    /// The time for one reading with all its tries.
    pub(crate) fn budget(&self, every: Span) -> Duration {
        let half = Duration::from_millis(every.as_millis() / 2);
        half.max(LEAST_BUDGET).min(self.timeout)
    }

    /// The pause before a try, from 1 for the second.
    fn pause(&self, again: u32) -> Duration {
        let doubled = self.pause.saturating_mul(1 << (again - 1).min(16));
        doubled.mul_f64(0.5 + self.jitter.clamp(0.0, 1.0))
    }
}

/// Asks until there is an answer, or the tries or the budget are used up.
pub(crate) async fn ask(
    request: impl Fn() -> RequestBuilder,
    limits: &Limits,
    budget: Duration,
) -> Result<Answer, String> {
    let start = Instant::now();
    let mut again = 0;
    loop {
        let left = if again == 0 { budget } else { budget.saturating_sub(start.elapsed()) };
        let answer = http::send(request(), None, Bounds { time: left, bytes: limits.bytes }).await;
        again += 1;
        let is_passing = answer.as_ref().map_or(true, Answer::is_passing_trouble);
        let pause = limits.pause(again);
        if !is_passing || again >= limits.tries || start.elapsed() + pause >= budget {
            return answer;
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;

    use super::*;
    use crate::testing::{serve, serve_silence, within};

    fn limits() -> Limits {
        Limits { pause: Duration::from_millis(1), ..Limits::default() }
    }

    async fn failing_first(failures: u32, status: StatusCode) -> (String, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let page = move || async move {
            if count.fetch_add(1, Ordering::SeqCst) < failures { status } else { StatusCode::OK }
        };
        (serve(Router::new().route("/", get(page))).await, asked)
    }

    // telemetry.md: "trouble that passes".
    #[tokio::test]
    async fn trouble_that_passes_is_tried_again_and_no_more_often_than_said() {
        let client = http::client([]).expect("starts");
        for (failures, status, expected) in
            [(2, 503, (200, 3)), (3, 503, (503, 3)), (1, 429, (200, 2)), (1, 404, (404, 1))]
        {
            let (url, asked) = failing_first(failures, StatusCode::from_u16(status).expect("a status")).await;
            let answer = within(10, ask(|| client.get(&url), &limits(), Duration::from_secs(5))).await;
            assert_eq!((answer.map(|a| a.status), asked.load(Ordering::SeqCst)), (Ok(expected.0), expected.1));
        }
    }

    // telemetry.md: "no answer in time".
    #[tokio::test]
    async fn the_budget_is_never_exceeded() {
        let client = http::client([]).expect("starts");
        let url = serve_silence().await;
        let answer = within(5, ask(|| client.get(&url), &limits(), Duration::from_millis(100))).await;
        assert!(answer.is_err_and(|error| error.starts_with("no answer within")));
        // The pause before the second try would end after the budget.
        let (url, asked) = failing_first(9, StatusCode::BAD_GATEWAY).await;
        let patient = Limits { pause: Duration::from_secs(60), ..limits() };
        let answer = within(5, ask(|| client.get(&url), &patient, Duration::from_secs(2))).await;
        assert_eq!((answer.map(|a| a.status), asked.load(Ordering::SeqCst)), (Ok(502), 1));
    }

    #[test]
    fn a_budget_is_half_of_the_time_between_two_looks() {
        let limits = Limits { timeout: Duration::from_secs(10), ..Limits::default() };
        let budgets = [Span::millis(100), Span::secs(10), Span::secs(60)].map(|every| limits.budget(every).as_millis());
        assert_eq!(budgets, [500, 5_000, 10_000]);
        let pauses = |jitter| [1, 2, 3].map(|again| Limits { jitter, ..limits }.pause(again).as_millis());
        assert_eq!((pauses(0.0), pauses(1.0)), ([50, 100, 200], [150, 300, 600]));
    }
}
