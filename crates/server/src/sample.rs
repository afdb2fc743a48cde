//! Samples: changes made by hand, for tests of what is shown.
//!
//! Each is a log, folded by the core as any other; no state is written down that the core could not reach.

use std::collections::{BTreeMap, BTreeSet};

use change::actor::Part;
use change::aftermath::Debt;
use change::assessment::{Assessment, Denial, Factor, Item, Level, Requirement, Risk, Tick};
use change::calendar::Passage;
use change::gate::{Gate, GateName, GateState};
use change::holds::HoldOrder;
use change::proposal::{Claims, Closure, Proposal, Proposed, RollbackPlan, Surroundings};
use change::rollout::{PauseReason, Plan};
use change::verification::{Answer, EvidenceTaken, Finding, Judgement, Reason, Sample, Sli, SliJudgement};
use change::{Actor, Change, ChangeId, Digest, Event, Span, Timestamp};
use engine::ports::Recorded;
use serde_json::json;

use crate::view::LookView;

/// A hold of `checkout` with a reason that must stay text.
pub(crate) fn hold_order(emergency: Passage) -> HoldOrder {
    HoldOrder {
        hold: "HOLD-1".into(),
        services: ["checkout".to_owned()].into(),
        team: None,
        environment: None,
        until: start(),
        emergency,
        pause: false,
        reason: "<script>".into(),
    }
}

pub(crate) const ID: ChangeId = ChangeId::new(7);

const FILE: &str = r#"
title: Raise the checkout connection pool to 64
description: |
  Checkout waits for a connection in one of forty requests at noon.
  The database has room for 200 more.
kind: config
owner: team-payments
services: [checkout]
environment: production
plan:
  strategy: canary
  target: {driver: router, backend: checkout, canary: v2, stable: v1}
  steps: [{weight: 5%, bake: 5m}, {weight: 25%, bake: 5m}, {weight: 100%, bake: 10m}]
verify:
  slis:
    - name: checkout-availability
      source: prometheus
      ratio: {bad: 'http_requests_total{version="$cohort",code=~"5.."}', total: 'http_requests_total{version="$cohort"}'}
      objective: 99.5%
    - name: checkout-latency
      source: prometheus
      latency: {histogram: 'http_request_duration_seconds{version="$cohort"}', below: 300ms}
      objective: 99%
rollback: {automatic: true, runbook: docs/runbooks/checkout.md}
effects: {cost_per_month: {amount: 12, currency: EUR}, slo: "p99 -10 ms"}
commit: 4f2c9d1
links: ["https://tracker.example/PAY-77"]
"#;

struct Here;

impl Surroundings for Here {
    fn downstream(&self, _: &BTreeSet<String>, _: usize) -> Vec<(String, Sli)> {
        vec![]
    }

    fn sli(&self, _: &str) -> Option<Sli> {
        None
    }
    fn sli_names(&self) -> Vec<String> {
        vec![]
    }
    fn claims(&self, _: &Plan) -> Result<Claims, Vec<(String, String)>> {
        Ok(Claims {
            resources: ["router:checkout".to_owned()].into(),
            effect: Closure::Closed,
            hands: Default::default(),
        })
    }
    fn drivers(&self) -> Vec<String> {
        vec!["router".into()]
    }
    fn sources(&self) -> Vec<String> {
        vec!["prometheus".into()]
    }
    fn may_run_commands(&self) -> bool {
        true
    }
    fn is_principal(&self, _: &str) -> bool {
        true
    }
    fn principals(&self) -> Vec<String> {
        vec!["team-payments".into()]
    }
}

pub(crate) fn proposal() -> Proposal {
    change::proposal::read(FILE, &BTreeMap::new(), &Here).expect("the file of the samples is valid")
}

pub(crate) fn start() -> Timestamp {
    "2026-09-01T09:00:00Z".parse().expect("an instant")
}

fn user(id: &str) -> Actor {
    Actor::User(id.into())
}

/// Writes a log, half a minute from entry to entry.
struct Writer(Vec<Recorded>);

impl Writer {
    fn add(mut self, actor: Actor, event: Event) -> Self {
        let n = self.0.len() as u64;
        let time = change::time::after(start(), Span::secs(30 * n));
        self.0.push(Recorded {
            position: 40 + n,
            stream: ID.stream(),
            version: n + 1,
            time,
            actor,
            change: Some(ID),
            event,
        });
        self
    }

    fn step(self, step: usize, proposal: &Proposal) -> Self {
        let weight = proposal.plan.steps[step].weight;
        let effect = proposal.effect_digest;
        let begun = Event::StepBegun { step, attempt: 1, weight, effect, observed: json!({"v2": 0}) };
        let applied = Event::StepApplied { step, attempt: 1, actual: json!({"v2": weight.basis_points()}) };
        self.add(Actor::Clearway(Part::Rollout), begun).add(Actor::Clearway(Part::Rollout), applied)
    }

    fn judged(self, judgement: Judgement) -> Self {
        let evidence = EvidenceTaken {
            step: judgement.step,
            attempt: 1,
            looks: judgement.looks,
            digest: Digest::of_bytes(b"looks"),
        };
        let judge = Actor::Clearway(Part::Judge);
        self.add(judge.clone(), Event::EvidenceTaken(evidence)).add(judge, Event::Judged(Box::new(judgement)))
    }

    fn passed(self, step: usize) -> Self {
        let judge = Actor::Clearway(Part::Judge);
        self.judged(judgement(step, Answer::Pass)).add(judge, Event::Advanced { step })
    }
}

pub(crate) fn assessment(proposal: &Proposal) -> Assessment {
    Assessment {
        score: 42,
        level: Risk::Medium,
        factors: vec![
            Factor {
                code: "tier".into(),
                points: 20,
                reason: "`checkout` is of tier 1: everybody notices when it fails".into(),
            },
            Factor { code: "dependents".into(), points: 12, reason: "3 services depend on `checkout`".into() },
            Factor { code: "kind".into(), points: 10, reason: "a change of configuration".into() },
        ],
        denials: vec![],
        warnings: vec!["the runbook was last changed 14 months ago".into()],
        requires: vec![
            Requirement::of("service-owners", 1, Span::secs(28_800)),
            Requirement::of("sre", 1, Span::secs(28_800)),
        ],
        checklist: vec![],
        window: Default::default(),
        pre_approved: false,
        owed: vec![],
        policy: Digest::of_bytes(b"policy"),
        input: Digest::of_bytes(b"input"),
        effect: proposal.effect_digest,
    }
}

pub(crate) fn judgement(step: usize, answer: Answer) -> Judgement {
    let (why, harm, safety) = match answer {
        Answer::Fail => ("checkout-availability: 2.9 times as many bad events (1.9 to 4.4)", 1.0, 0.0),
        Answer::Pass => ("checkout-availability: no harm that matters", 0.02, 1.0),
        Answer::Insufficient | Answer::Unreachable => {
            ("214 of 900 requests that are needed have been seen", 0.12, 0.31)
        }
    };
    let sli = |name: &str, effect: f64, bad: u64| SliJudgement {
        name: name.into(),
        effect: Some(effect),
        interval: Some([effect * 0.6, effect * 1.7]),
        evidence: 1.4,
        safety: 6.2,
        canary: Sample { total: 214, bad },
        baseline: Sample { total: 4_102, bad: 20 },
        implicated: answer == Answer::Fail && name == "checkout-availability",
        why: format!("{name}: {effect} times the rate of the stable version"),
    };
    Judgement {
        answer,
        step,
        attempt: 1,
        why: why.into(),
        reasons: vec![Reason {
            code: "too_few_requests".into(),
            sli: Some("checkout-availability".into()),
            text: "214 of 900 requests that are needed have been seen".into(),
        }],
        slis: vec![sli("checkout-availability", 1.2, 1), sli("checkout-latency", 0.97, 3)],
        looks: 42,
        evidence: 1.4,
        harm,
        safety,
        findings: vec![finding()],
        at: start(),
    }
}

fn proposed(proposal: &Proposal) -> Writer {
    let event = Proposed {
        uid: "0198c0de-0000-7000-8000-000000000007".parse().expect("a UUID"),
        author: user("ada"),
        proposal: proposal.clone(),
    };
    Writer(vec![]).add(user("ada"), Event::Proposed(Box::new(event)))
}

fn assessed(proposal: &Proposal) -> Writer {
    proposed(proposal).add(Actor::Clearway(Part::Policy), Event::Assessed(Box::new(assessment(proposal))))
}

fn approved(proposal: &Proposal) -> Writer {
    let vote = |group: &str, comment: Option<&str>| Event::Approved {
        effect: proposal.effect_digest,
        groups: [group.to_owned()].into(),
        on_behalf: [].into(),
        comment: comment.map(str::to_owned),
        signature: None,
    };
    assessed(proposal)
        .add(user("bob"), vote("service-owners", Some("looked at the pool graphs")))
        .add(user("cleo"), vote("sre", None))
        .add(Actor::Clearway(Part::Clock), Event::Scheduled { not_before: start() })
}

fn two_steps(proposal: &Proposal) -> Writer {
    approved(proposal).step(0, proposal).passed(0).step(1, proposal)
}

/// Waits for a second approval.
pub(crate) fn waiting() -> Vec<Recorded> {
    let proposal = proposal();
    let vote = Event::Approved {
        effect: proposal.effect_digest,
        groups: ["service-owners".to_owned()].into(),
        on_behalf: [].into(),
        comment: None,
        signature: None,
    };
    assessed(&proposal).add(user("bob"), vote).0
}

/// Denied by two soft rules, with two points of a checklist open, with two points of a checklist open.
pub(crate) fn denied() -> Vec<Recorded> {
    let proposal = proposal();
    let soft = |code: &str, reason: &str| Denial { level: Level::Soft, ..Denial::hard(code, reason) };
    let item = |code: &str, title: &str, evidence: Option<&str>| Item {
        list: "before-production".into(),
        code: code.into(),
        title: title.into(),
        evidence: evidence.map(str::to_owned),
        tick: Tick::Person,
    };
    let assessment = Assessment {
        denials: vec![
            soft("weekend", "the shop is full at the weekend"),
            soft("late", "nobody is there after `18:00`"),
        ],
        checklist: vec![
            item("tests", "its tests are green", Some("412 tests")),
            item("told", "the shift lead was told", None),
            item("rollback", "the way back was walked once", None),
        ],
        ..assessment(&proposal)
    };
    proposed(&proposal).add(Actor::Clearway(Part::Policy), Event::Assessed(Box::new(assessment))).0
}

/// In its second step, being verified.
pub(crate) fn log() -> Vec<Recorded> {
    two_steps(&proposal()).judged(judgement(1, Answer::Insufficient)).0
}

pub(crate) fn paused() -> Vec<Recorded> {
    let pause = Event::Paused { why: PauseReason::Person, reason: "an incident at the bank".into() };
    two_steps(&proposal()).judged(judgement(1, Answer::Insufficient)).add(user("bob"), pause).0
}

pub(crate) fn rolled_back() -> Vec<Recorded> {
    let rollout = Actor::Clearway(Part::Rollout);
    let failed = judgement(1, Answer::Fail);
    let why = failed.why.clone();
    two_steps(&proposal())
        .judged(failed)
        .add(Actor::Clearway(Part::Judge), Event::RollbackBegun { reason: why.clone() })
        .add(rollout.clone(), Event::UndoBegun { attempt: 1 })
        .add(rollout.clone(), Event::RolledBack { observed: json!({"v2": 0}) })
        .add(rollout, Event::DebtOwed { debt: Debt::Review, reason: why, due: change::aftermath::review_due(start()) })
        .0
}

fn all_steps() -> Writer {
    let proposal = proposal();
    two_steps(&proposal).passed(1).step(2, &proposal).passed(2)
}

pub(crate) fn watching() -> Vec<Recorded> {
    all_steps().0
}

pub(crate) fn completed() -> Vec<Recorded> {
    all_steps().passed(3).add(Actor::Clearway(Part::Judge), Event::Completed).0
}

/// A change whose every text is hostile.
pub(crate) fn hostile() -> Vec<Recorded> {
    let mut proposal = proposal();
    let evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
    proposal.title = evil.into();
    proposal.description = Some(evil.into());
    proposal.owner = evil.into();
    proposal.environment = evil.into();
    proposal.services = [evil.to_owned()].into();
    proposal.links = vec!["javascript:alert(1)".into(), evil.into()];
    proposal.artifact = Some(evil.into());
    proposal.rollback = RollbackPlan { automatic: true, runbook: Some(evil.into()) };
    proposal.effect_digest = proposal.compute_effect_digest();
    let mut judged = judgement(0, Answer::Fail);
    judged.why = evil.into();
    judged.slis[0].name = evil.into();
    judged.slis[0].why = evil.into();
    let pause = Event::Paused { why: PauseReason::Person, reason: evil.into() };
    approved(&proposal).step(0, &proposal).judged(judged).add(user(evil), pause).0
}

pub(crate) fn change_of(log: &[Recorded]) -> Change {
    log.iter().fold(None, engine::project::fold).expect("a log that begins with a proposal")
}

/// Gates of which one is closed.
pub(crate) fn gates(reason: &str) -> Vec<Gate> {
    let closed = GateState::Closed {
        code: "approvals_missing".into(),
        reason: reason.into(),
        opens_at: None,
        who_can: Some("`sre`".into()),
    };
    let all = [GateName::Validity, GateName::Policy, GateName::Conflicts, GateName::Windows];
    let mut gates: Vec<Gate> = all.map(|gate| Gate::new(gate, GateState::Open)).into();
    gates.push(Gate::new(GateName::Approvals, closed));
    gates.push(Gate::new(GateName::Readiness, GateState::Open));
    gates
}

fn finding() -> Finding {
    Finding {
        name: "db_pool_waits_total{pool=\"orders\"}".into(),
        effect: 3.1,
        evidence: 48_200.0,
        since_look: 31,
        why: "`db_pool_waits_total{pool=\"orders\"}` grows 3.10 times as fast as in the stable version.".into(),
    }
}

/// Looks of two steps, ten seconds apart; the canary grows worse in the second.
pub(crate) fn looks(n: u64) -> Vec<LookView> {
    (1..=n).map(|number| look(number, usize::from(number > n / 3), n)).collect()
}

fn look(number: u64, step: usize, n: u64) -> LookView {
    let wave = (number * 7 % 5) + number % 3;
    let worse = if step == 1 { number * 6 / n } else { 0 };
    let ratio = |total: u64, bad: u64| json!({"type": "ratio", "total": total, "bad": bad});
    let latency = |slow: u64| json!({"type": "latency", "buckets": [40, 30, 20, slow, 1]});
    let seen = |baseline: serde_json::Value, canary: serde_json::Value| json!({"seen": {"baseline": baseline, "canary": canary}});
    let readings = json!([
        {"sli": "checkout-availability", "reading": seen(ratio(400, 1 + wave % 3), ratio(60, worse + wave % 2))},
        {"sli": "checkout-latency", "edges_ms": [50.0, 100.0, 300.0, 1000.0], "reading": seen(latency(2), latency(1 + wave % 2))},
    ]);
    let harm = if step == 1 { number as f64 / n as f64 * 0.8 } else { 0.05 };
    let safety = if step == 0 { number as f64 / n as f64 * 3.0 } else { 0.2 };
    let sli = |name: &str, effect: f64| json!({"name": name, "effect": effect, "interval": [effect * 0.6, effect * 1.8], "evidence": 1.4 + harm, "safety": 6.2});
    LookView {
        number,
        step,
        attempt: 1,
        at: change::time::after(start(), Span::secs(120 + 10 * number)),
        readings,
        verdict: json!({"answer": "insufficient", "evidence": 1.0 + harm * 40.0, "harm": harm, "safety": safety.min(1.0),
            "slis": [sli("checkout-availability", 1.0 + harm), sli("checkout-latency", 0.97)],
            "findings": if step == 1 { vec![finding()] } else { vec![] }}),
    }
}
