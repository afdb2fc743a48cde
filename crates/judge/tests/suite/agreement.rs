//! Agreement with the reference judge, look by look.
//!
//! `reference.json` holds five short streams and what the design's reference implementation made of them: harm evidence, safety evidence, noise
//! factor and decision. It was recorded once, by a script that made the streams from a fixed seed, ran the reference with a harm margin of 1.1 on
//! errors, without calibration from history but with its prior noise of 1.5, and wrote inputs and figures side by side.
//! The judge here learns its latency thresholds from the baseline as it goes, where the reference reads them from a history. To compare the two,
//! the baseline's histogram is the same in every look, the reference got that same histogram as its history, and was shown no latency in the
//! first look, in which the judge only learns.

use judge::{Answer, Comparison, Counts, Judge, Look, Profile, Settings, SliKind, SliSettings};
use serde::Deserialize;

use crate::world::{look, ratio, seen, step};

#[derive(Deserialize)]
struct Recording {
    edges_ms: Vec<f64>,
    baseline_buckets: Vec<u64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    slis: Vec<String>,
    bake: u32,
    horizon: u32,
    decision: String,
    at: i64,
    looks: Vec<Option<Counted>>,
    figures: Vec<Figures>,
}

#[derive(Deserialize)]
struct Counted {
    nb: u64,
    xb: u64,
    nc: u64,
    xc: u64,
    hc: Vec<u64>,
}

#[derive(Deserialize)]
struct Figures {
    e: f64,
    sli: Vec<f64>,
    ln_safety: Vec<f64>,
    phi: Vec<f64>,
}

impl Recording {
    fn judge(&self, case: &Case) -> Judge {
        let kind = |name: &str| match name {
            "err" => SliKind::ratio(),
            _ => SliKind::latency(self.edges_ms.clone(), None),
        };
        let sli = |name: &String| SliSettings { weight: 0.35, ..SliSettings::new(name, kind(name)) };
        let settings = Settings::new(case.slis.iter().map(sli).collect(), 10_000, case.horizon);
        let mut judge = Judge::new(Settings { profile: Profile::Reference, ..settings }).expect("valid");
        judge.begin_step(step(Comparison::Concurrent, case.bake)).expect("valid");
        judge
    }

    fn look(&self, case: &Case, counted: Option<&Counted>) -> Look {
        let reading = |name: &String| match (counted, name.as_str()) {
            (None, _) => seen(None, None),
            (Some(c), "err") => seen(ratio(c.nb, c.xb), ratio(c.nc, c.xc)),
            (Some(c), _) => seen(
                Some(Counts::Latency { buckets: self.baseline_buckets.clone() }),
                Some(Counts::Latency { buckets: c.hc.clone() }),
            ),
        };
        Look { readings: case.slis.iter().map(reading).collect() }
    }
}

#[track_caller]
fn agree(what: &str, ours: f64, theirs: f64) {
    assert!((ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0), "{what}: {ours} here, {theirs} recorded");
}

#[test]
fn evidence_safety_noise_and_decision_agree_with_the_reference_look_by_look() {
    let recording: Recording = serde_json::from_str(include_str!("reference.json")).expect("a recording");
    for case in &recording.cases {
        let mut judge = recording.judge(case);
        let mut decided = None;
        for (t, (counted, figures)) in case.looks.iter().zip(&case.figures).enumerate() {
            let verdict = judge.look(&recording.look(case, counted.as_ref()));
            let at = format!("{}, look {t}", case.name);
            agree(&format!("{at}, evidence"), verdict.evidence, figures.e);
            for (k, sli) in verdict.slis.iter().enumerate() {
                agree(&format!("{at}, evidence of {}", sli.name), sli.evidence, figures.sli[k]);
                // the verdict shows no more than 1e12
                agree(
                    &format!("{at}, safety of {}", sli.name),
                    sli.safety.ln(),
                    figures.ln_safety[k].min(1e12f64.ln()),
                );
                agree(&format!("{at}, noise of {}", sli.name), sli.noise, figures.phi[k]);
            }
            let settled = matches!(verdict.answer, Answer::Pass | Answer::Fail);
            decided = decided.or(settled.then_some((verdict.answer, t as i64)));
        }
        let recorded = match case.decision.as_str() {
            "pass" => Some((Answer::Pass, case.at)),
            "fail" => Some((Answer::Fail, case.at)),
            _ => None,
        };
        assert_eq!(decided, recorded, "{}", case.name);
    }
}

#[test]
fn the_recording_holds_a_pass_a_fail_and_a_hold() {
    let recording: Recording = serde_json::from_str(include_str!("reference.json")).expect("a recording");
    for decision in ["pass", "fail", "insufficient"] {
        assert!(recording.cases.iter().any(|case| case.decision == decision), "{decision}");
    }
}

#[test]
fn a_kept_judge_goes_on_with_the_same_bits() {
    let recording: Recording = serde_json::from_str(include_str!("reference.json")).expect("a recording");
    let case = recording.cases.last().expect("a case");
    let (mut steady, mut kept) = (recording.judge(case), recording.judge(case));
    for counted in &case.looks {
        let look = recording.look(case, counted.as_ref());
        let text = serde_json::to_string(&kept).expect("state can be written");
        kept = serde_json::from_str(&text).expect("state can be read");
        assert_eq!(steady.look(&look), kept.look(&look));
        assert_eq!(steady, kept);
    }
    assert_ne!(steady.look(&look(seen(None, None))).useful_looks, 0);
}
