//! Trajectory: what would the judge have said, look by look?
//!
//! Takes a judge and what it is told in order, whether that comes from a file or from the looks that a server has kept; gives its answer after each
//! look, and the one that stands in the end. Must never look ahead, and never decide: that a pass holds until harm shows is all that is added.
//! Next room: [`report`](super::report).

use change::Span;
use judge::{Answer, Judge, Look, SettingsError, StepSettings, Verdict};

/// What the judge is told, in order: a step before its looks.
#[derive(Clone, Debug)]
pub(crate) enum Moment<'a> {
    Step(StepSettings),
    Look { at: Span, look: &'a Look },
}

/// The course of the judge's answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trajectory {
    /// One for each look until a fail, which is final.
    pub points: Vec<Point>,
    pub outcome: Outcome,
}

/// What was known after one look.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    pub at: Span,
    pub answer: Answer,
    /// Of harm, over all SLIs.
    pub evidence: f64,
    /// In the order of the settings.
    pub slis: Vec<SliPoint>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SliPoint {
    pub evidence: f64,
    pub safety: f64,
    pub effect: Option<f64>,
    pub interval: Option<[f64; 2]>,
}

/// What stands in the end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// As it was when it was decided, or after the last look.
    pub verdict: Verdict,
    /// The look that decided it; nothing while it is undecided.
    pub decided: Option<Decided>,
    /// The last step had passed before harm showed.
    pub passed_before: Option<Decided>,
    /// Looks taken in all.
    pub looks: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decided {
    /// From 1.
    pub look: u32,
    pub at: Span,
}

/// The answer after every look.
pub(crate) fn trajectory<'a>(
    judge: Judge,
    moments: impl IntoIterator<Item = Moment<'a>>,
) -> Result<Trajectory, SettingsError> {
    let mut points = Vec::new();
    let outcome = follow(judge, moments, |at, judge| points.push(Point::of(at, &judge.verdict())))?;
    Ok(Trajectory { points, outcome })
}

/// The answer that stands in the end, and no other: no word is written on the way.
pub(crate) fn outcome<'a>(
    judge: Judge,
    moments: impl IntoIterator<Item = Moment<'a>>,
) -> Result<Outcome, SettingsError> {
    follow(judge, moments, |_, _| {})
}

/// A step's first pass stands, unless harm shows later: evidence of harm runs on as it does in a rollout.
fn follow<'a>(
    mut judge: Judge,
    moments: impl IntoIterator<Item = Moment<'a>>,
    mut each: impl FnMut(Span, &Judge),
) -> Result<Outcome, SettingsError> {
    let mut passed: Option<(Decided, Verdict)> = None;
    let mut looks = 0;
    for moment in moments {
        let (at, look) = match moment {
            Moment::Step(step) => {
                judge.begin_step(step)?;
                passed = None;
                continue;
            }
            Moment::Look { at, look } => (at, look),
        };
        let answer = judge.observe(look);
        looks += 1;
        each(at, &judge);
        let now = Decided { look: looks, at };
        match answer {
            Answer::Fail => {
                let passed_before = passed.map(|(before, _)| before);
                return Ok(Outcome { verdict: judge.verdict(), decided: Some(now), passed_before, looks });
            }
            Answer::Pass if passed.is_none() => passed = Some((now, judge.verdict())),
            Answer::Pass | Answer::Insufficient | Answer::Unreachable => {}
        }
    }
    let (decided, verdict) = match passed {
        Some((decided, verdict)) => (Some(decided), verdict),
        None => (None, judge.verdict()),
    };
    Ok(Outcome { verdict, decided, passed_before: None, looks })
}

impl Point {
    fn of(at: Span, verdict: &Verdict) -> Self {
        let sli = |sli: &judge::SliVerdict| SliPoint {
            evidence: sli.evidence,
            safety: sli.safety,
            effect: sli.effect,
            interval: sli.approximate_interval,
        };
        Self { at, answer: verdict.answer, evidence: verdict.evidence, slis: verdict.slis.iter().map(sli).collect() }
    }
}

#[cfg(test)]
mod tests {
    use judge::{Comparison, Counts, Reading, Settings, SliKind, SliSettings};

    use super::*;

    fn look(bad: u64) -> Look {
        let counts = |total, bad| Some(Counts::Ratio { total, bad });
        Look { readings: vec![Reading::Seen { baseline: counts(10_000, 10), canary: counts(10_000, bad) }] }
    }

    /// Follows looks with these many bad canary requests, of a step that bakes for ten looks.
    fn follow_bad(bad: &[u64]) -> Trajectory {
        let settings = Settings::new(vec![SliSettings::new("errors", SliKind::ratio())], 10_000, 60);
        let step = StepSettings { comparison: Comparison::Concurrent, bake_looks: 10, expected_share: None };
        let looks: Vec<Look> = bad.iter().map(|bad| look(*bad)).collect();
        let moments = || {
            let looks = looks.iter().enumerate().map(|(i, look)| Moment::Look { at: Span::secs(10 * i as u64), look });
            std::iter::once(Moment::Step(step.clone())).chain(looks)
        };
        let judge = || Judge::new(settings.clone()).expect("sound settings");
        let followed = trajectory(judge(), moments()).expect("a sound step");
        assert_eq!(outcome(judge(), moments()).expect("a sound step"), followed.outcome, "with and without points");
        followed
    }

    #[test]
    fn the_first_pass_stands_and_says_when() {
        let Trajectory { points, outcome } = follow_bad(&[10; 40]);
        assert_eq!((points.len(), outcome.looks, outcome.verdict.answer), (40, 40, Answer::Pass));
        let decided = outcome.decided.expect("it is decided");
        assert!(decided.look >= 10 && decided.look < 40, "{decided:?}");
        assert_eq!(decided.at, Span::secs(10 * u64::from(decided.look - 1)));
        let first = points.iter().position(|p| p.answer == Answer::Pass).expect("a pass");
        assert_eq!(first + 1, decided.look as usize);
        assert_eq!(outcome.verdict.looks, decided.look, "its figures are those of the decision");
    }

    #[test]
    fn harm_after_a_pass_is_a_fail_that_says_so() {
        let bad: Vec<u64> = [10; 40].into_iter().chain([60; 40]).collect();
        let Trajectory { points, outcome } = follow_bad(&bad);
        let (decided, before) = (outcome.decided.expect("decided"), outcome.passed_before.expect("it had passed"));
        assert_eq!(outcome.verdict.answer, Answer::Fail);
        assert!(before.look <= 40 && decided.look > 40, "{before:?} {decided:?}");
        assert_eq!(points.len(), decided.look as usize, "a fail is final");
    }

    #[test]
    fn without_a_look_nothing_is_decided() {
        let Trajectory { points, outcome } = follow_bad(&[]);
        assert_eq!((points.len(), outcome.decided, outcome.verdict.answer), (0, None, Answer::Insufficient));
    }
}
