//! Gather: what the looks of a block say of one series, until it can be compared.
//!
//! A gauge is compared look by look and averaged; a counter waits until enough has happened on either side for its logarithm to be even-handed. Zero
//! is a value: smoothing by the least step that the gauge has shown gives it a factor. Lost in a crash, which costs a block and no more.
//! Must never know how a series is named. Next room: [`course`](super::course).

use super::{Beyond, Pair, SeriesKind};

/// Of a block's looks so many have to have shown a gauge.
const LEAST_SAMPLES: u32 = 2;
/// So many events are expected in either cohort before a counter is compared: with fewer the logarithm leans to one side.
const LEAST_EXPECTED: f32 = 10.0;
/// What one look's traffic is worth after the next.
const KEPT: f64 = 0.9;

/// How the load is divided between the cohorts, over the looks of the step with the newest counting most.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Load {
    traffic: [f64; 2],
    instances: [f64; 2],
}

impl Load {
    pub(super) fn look(&mut self, traffic: [f64; 2], instances: [f64; 2]) {
        let usable = |pair: [f64; 2]| pair.iter().all(|v| v.is_finite() && *v >= 0.0);
        if usable(traffic) {
            self.traffic = [0, 1].map(|i| KEPT * self.traffic[i] + traffic[i]);
        }
        if usable(instances) && instances.iter().all(|n| *n > 0.0) {
            self.instances = instances;
        }
    }

    /// Between which `d` an equal canary lies: as much for each instance is 0, as much for each request the other end.
    pub(super) fn equal(&self) -> [f64; 2] {
        if !self.is_known() {
            return [0.0; 2];
        }
        let by_request = (self.traffic[1] / self.instances[1]).ln() - (self.traffic[0] / self.instances[0]).ln();
        [by_request.min(0.0), by_request.max(0.0)]
    }

    fn is_known(&self) -> bool {
        self.traffic.iter().chain(&self.instances).all(|v| *v > 0.0)
    }

    /// The canary's part of what happens, by instance and by request.
    fn shares(&self) -> [f64; 2] {
        [self.instances, self.traffic].map(share)
    }
}

fn share([baseline, canary]: [f64; 2]) -> f64 {
    canary / (baseline + canary)
}

/// What was gathered of one series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gather {
    kind: SeriesKind,
    samples: u32,
    /// Of a gauge: the sum of `d`. Of counts: what was seen in the canary, and what an equal one would have shown.
    sum: f64,
    baseline: f64,
    expected: f64,
    /// The least that either cohort would show if it were equal.
    least_expected: f32,
    gauge: Shape,
}

/// What a gauge is like.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Shape {
    last: [f32; 2],
    least_above_zero: f32,
    has_last: bool,
    was_zero: bool,
    rose: [bool; 2],
    fell: bool,
}

impl Shape {
    fn look(&mut self, now: [f64; 2]) {
        for (i, value) in now.map(|v| v as f32).into_iter().enumerate() {
            if value > 0.0 && (self.least_above_zero == 0.0 || value < self.least_above_zero) {
                self.least_above_zero = value;
            }
            self.was_zero |= value == 0.0;
            self.rose[i] |= self.has_last && value > self.last[i];
            self.fell |= self.has_last && value < self.last[i];
            self.last[i] = value;
        }
        self.has_last = true;
    }

    /// What has risen in both cohorts and never fallen is a running total by another name: it tells the age of a process and nothing else.
    fn is_total(&self) -> bool {
        self.rose == [true; 2] && !self.fell
    }

    fn smoothing(&self) -> f64 {
        if self.was_zero { f64::from(self.least_above_zero) } else { 0.0 }
    }
}

impl Gather {
    pub(super) fn new(kind: SeriesKind) -> Self {
        Gather {
            kind,
            samples: 0,
            sum: 0.0,
            baseline: 0.0,
            expected: 0.0,
            least_expected: 0.0,
            gauge: Shape::default(),
        }
    }

    /// Forgets what was gathered, but not what the series is like.
    pub(super) fn clear(&mut self) {
        *self = Gather { gauge: self.gauge, ..Gather::new(self.kind) };
    }

    pub(super) fn look(&mut self, pair: &Pair, load: &Load) {
        let usable = |values: &[f64]| values.iter().all(|v| v.is_finite() && *v >= 0.0);
        match *pair {
            Pair::Gauge { baseline, canary } if self.kind == SeriesKind::Gauge && usable(&[baseline, canary]) => {
                self.gauge([baseline, canary]);
            }
            Pair::Counter { baseline, canary }
                if self.kind == SeriesKind::Counter && usable(&[baseline, canary]) && load.is_known() =>
            {
                let [by_instance, by_request] = load.shares();
                let ends = [by_instance, 1.0 - by_instance, by_request, 1.0 - by_request];
                self.count([baseline, canary], by_instance, ends.into_iter().fold(1.0, f64::min));
            }
            Pair::Bucket {
                baseline: Beyond { beyond: b, all: of_b }, canary: Beyond { beyond: c, all: of_c }, ..
            } if self.kind == SeriesKind::Histogram && usable(&[b, of_b, c, of_c]) && of_b > 0.0 && of_c > 0.0 => {
                let by_all = share([of_b, of_c]);
                self.count([b, c], by_all, by_all.min(1.0 - by_all));
            }
            _ => {}
        }
    }

    fn gauge(&mut self, now: [f64; 2]) {
        self.gauge.look(now);
        let smoothing = self.gauge.smoothing();
        let [baseline, canary] = now.map(|v| v + smoothing);
        // Zero on both sides since the beginning is equal.
        self.sum += if baseline == canary { 0.0 } else { canary.ln() - baseline.ln() };
        self.samples += 1;
    }

    fn count(&mut self, [baseline, canary]: [f64; 2], share: f64, least_share: f64) {
        self.samples += 1;
        self.sum += canary;
        self.baseline += baseline;
        self.expected += (baseline + canary) * share;
        self.least_expected += ((baseline + canary) * least_share) as f32;
    }

    /// `d` of the block, if there is enough to tell it; what is not enough stays.
    pub(super) fn close(&mut self, load: &Load) -> Option<f64> {
        let d = match self.kind {
            SeriesKind::Gauge => {
                let enough = self.samples >= LEAST_SAMPLES && !self.gauge.is_total() && load.is_known();
                let d = enough.then(|| self.sum / f64::from(self.samples.max(1)));
                self.clear();
                return d;
            }
            SeriesKind::Counter | SeriesKind::Histogram => {
                (self.least_expected >= LEAST_EXPECTED && self.samples >= LEAST_SAMPLES).then(|| {
                    let side = |seen: f64, expected: f64| ((seen + 0.5) / (expected + 0.5)).ln();
                    side(self.sum, self.expected) - side(self.baseline, self.sum + self.baseline - self.expected)
                })
            }
        };
        if d.is_some() {
            self.clear();
        }
        d
    }
}
