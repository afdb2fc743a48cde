//! Traffic: synthetic looks at a canary, drawn from what is known of the present.
//!
//! A step's looks are drawn once for a healthy canary and kept; a harmful canary is the same step with its own counts put in the place of the healthy
//! ones, so that the baseline, the other SLIs and the lost scrapes are the same and only the harm differs. Must never judge. Next room:
//! [`runs`](crate::plan::runs).

use crate::look::{Counts, Look, Reading};
use crate::plan::harm::{Harmed, above, odds, raised, share_of, shares_of};
use crate::plan::present::{DRIFT_MEMORY, Missing, Present};
use crate::plan::random::{Random, Walk};
use crate::settings::{Direction, SliKind, SliSettings};

/// The looks of one step of one run, as far as they were asked for.
pub(crate) struct Tape<'a> {
    slis: &'a [SliSettings],
    present: &'a [Present],
    /// The canary's share of the traffic, and the baseline's.
    shares: [f64; 2],
    missing: Missing,
    random: Random,
    walks: Vec<Walk>,
    looks: Vec<Look>,
}

impl<'a> Tape<'a> {
    pub(crate) fn new(
        slis: &'a [SliSettings],
        present: &'a [Present],
        shares: [f64; 2],
        missing: Missing,
        mut random: Random,
    ) -> Self {
        let walks = present.iter().map(|it| walk(it, &mut random)).collect();
        Tape { slis, present, shares, missing, random, walks, looks: Vec::new() }
    }

    /// A look of the healthy canary.
    pub(crate) fn look(&mut self, at: usize) -> &Look {
        while self.looks.len() <= at {
            let look = self.draw();
            self.looks.push(look);
        }
        &self.looks[at]
    }

    fn draw(&mut self) -> Look {
        let lost = [self.missing.canary, self.missing.baseline].map(|chance| self.random.unit() < chance);
        let [of_canary, of_baseline] = self.shares;
        let (slis, present) = (self.slis, self.present);
        let readings = slis.iter().zip(present).zip(&mut self.walks).map(|((sli, present), walk)| {
            let drift = walk.next(&mut self.random);
            let baseline = counts(present, of_baseline, 0.0, &mut self.random);
            let canary = match present {
                Present::Gauge { level, jitter, .. } => {
                    let factor = worse(drift + jitter * self.random.normal(), &sli.kind);
                    Some(Counts::Gauge { value: level * factor })
                }
                _ => counts(present, of_canary, drift, &mut self.random),
            };
            Reading::Seen { baseline: baseline.filter(|_| !lost[1]), canary: canary.filter(|_| !lost[0]) }
        });
        Look { readings: readings.collect() }
    }
}

/// What a harmed canary shows instead, look by look.
pub(crate) struct Afflicted<'a> {
    harmed: &'a [(usize, Harmed)],
    slis: &'a [SliSettings],
    of_canary: f64,
    random: Random,
    walks: Vec<Walk>,
}

impl<'a> Afflicted<'a> {
    pub(crate) fn new(
        harmed: &'a [(usize, Harmed)],
        slis: &'a [SliSettings],
        of_canary: f64,
        mut random: Random,
    ) -> Self {
        let walks = harmed.iter().map(|(_, it)| walk(&it.present, &mut random)).collect();
        Afflicted { harmed, slis, of_canary, random, walks }
    }

    /// Puts the harmed counts into a healthy look; `since` looks after the onset.
    pub(crate) fn harm(&mut self, look: &mut Look, since: u32) {
        for ((at, harmed), walk) in self.harmed.iter().zip(&mut self.walks) {
            let drift = walk.next(&mut self.random);
            let Some(Reading::Seen { canary: Some(canary), .. }) = look.readings.get_mut(*at) else { continue };
            match (canary, &harmed.present) {
                (Counts::Gauge { value }, _) => {
                    *value *= worse(harmed.worse_by + harmed.growth * f64::from(since), &self.slis[*at].kind);
                }
                (Counts::Check { passed }, _) => *passed = *passed && !harmed.fails,
                (canary, present) => {
                    if let Some(drawn) = counts(present, self.of_canary, drift, &mut self.random) {
                        *canary = drawn;
                    }
                }
            }
        }
    }
}

fn walk(present: &Present, random: &mut Random) -> Walk {
    match present {
        Present::Ratio { drift, .. } | Present::Latency { drift, .. } => Walk::new(*drift, DRIFT_MEMORY, random),
        Present::Gauge { memory, spread, .. } => Walk::new(*spread, *memory, random),
        Present::Check => Walk::new(0.0, 0.0, random),
    }
}

/// The factor on a gauge that is worse by so much, whichever way that is.
fn worse(by: f64, kind: &SliKind) -> f64 {
    match kind {
        SliKind::Gauge { worse: Direction::Down, .. } => (-by).exp(),
        _ => by.exp(),
    }
}

/// One cohort's counts in a look, with this share of the traffic and its odds shifted by the drift. A cohort without traffic is not there.
fn counts(present: &Present, share: f64, drift: f64, random: &mut Random) -> Option<Counts> {
    match present {
        Present::Check => Some(Counts::Check { passed: true }),
        Present::Gauge { level, .. } => Some(Counts::Gauge { value: *level }),
        Present::Ratio { per_look, bad_share, noise, .. } => {
            let requests = Some(per_look * share).filter(|it| *it > 0.0)?;
            let bad_share = if drift == 0.0 { *bad_share } else { share_of(odds(*bad_share) * drift.exp()) };
            let bad = random.clustered(requests * bad_share, *noise);
            let good = random.poisson(requests * (1.0 - bad_share));
            Some(Counts::Ratio { total: good + bad, bad })
        }
        Present::Latency { per_look, shares, noise, .. } => {
            let requests = Some(per_look * share).filter(|it| *it > 0.0)?;
            let drifted = (drift != 0.0).then(|| shares_of(&raised(&above(shares), drift)));
            let shares = drifted.as_ref().unwrap_or(shares);
            Some(Counts::Latency { buckets: shares.iter().map(|it| random.clustered(requests * it, *noise)).collect() })
        }
    }
}
