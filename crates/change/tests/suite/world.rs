//! The world of these tests: people, proposals and assessments, and a [`Life`] that runs the loop of `decide` and `evolve`.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use change::actor::Part;
use change::assessment::{Assessment, Denial, Item, Level, Requirement, Risk, Tick};
use change::calendar::Frozen;
use change::gate::Readiness;
use change::lane::Lane;
use change::lifecycle::{Command, Event, Given, Rejection};
use change::proposal::{Claims, Closure, Kind, Proposal, Proposed, RollbackPlan};
use change::rollout::{Plan, Step, Strategy, Target, Weight};
use change::schedule::When;
use change::time::{Span, Timestamp, after};
use change::verification::{Answer, Comparison, EvidenceTaken, Judgement, OnDoubt, Scan, Verify};
use change::{Actor, Change, ChangeId, Digest, Permission, decide, evolve};
use serde_json::json;
use uuid::Uuid;

pub(crate) const ID: ChangeId = ChangeId::new(7);
pub(crate) const OTHER: ChangeId = ChangeId::new(8);
/// The resource that every proposal of these tests claims.
pub(crate) const RESOURCE: &str = "router:edge/shop";
/// The author of every change; as entitled as the others, and still never a voter.
pub(crate) const AUTHOR: &str = "ada";
pub(crate) const VOTERS: [&str; 3] = ["ada", "bob", "cyd"];
/// The group that the assessments ask for.
pub(crate) const GROUP: &str = "sre";

pub(crate) const DAY: Span = Span::secs(86_400);

/// 2026-06-01T12:00:00Z.
const START: Timestamp = Timestamp::constant(1_780_315_200, 0);
// Computed once: the exhaustive check makes millions of assessments and judgements.
static POLICY: LazyLock<Digest> = LazyLock::new(|| Digest::of_bytes(b"policy"));
static LOOKS: LazyLock<Digest> = LazyLock::new(|| Digest::of_bytes(b"looks"));

pub(crate) fn start() -> Timestamp {
    START
}

pub(crate) fn user(name: &str) -> Actor {
    Actor::User(name.to_owned())
}

fn step(percent: u16, comparison: Comparison) -> Step {
    Step { weight: Weight::percent(percent), bake: Span::secs(300), deadline: Span::secs(1_800), comparison }
}

/// A proposal of two steps whose effect digest follows from its artifact.
pub(crate) fn proposal(artifact: &str) -> Proposal {
    let verify = Verify {
        slis: vec![],
        commands: vec![],
        checks: vec![],
        every: Span::secs(10),
        on_insufficient: OnDoubt::Hold,
        on_unreachable: OnDoubt::Page,
        deadline: None,
        watch: Span::secs(300),
        watch_against: Comparison::Objective,
        downstream: 1,
        beside: vec![],
        scan: Scan::Note,
    };
    let target = Target { driver: "router".into(), options: Default::default() };
    let steps = vec![step(10, Comparison::Concurrent), step(100, Comparison::Objective)];
    sealed(Proposal {
        title: "raise the limit of the basket".into(),
        description: None,
        kind: Kind::Code,
        owner: "team-shop".into(),
        services: ["shop".to_owned()].into(),
        environment: "production".into(),
        plan: Plan { strategy: Strategy::Canary, target, steps },
        verify,
        rollback: RollbackPlan { automatic: true, runbook: Some("runbooks/shop.md".into()) },
        effects: None,
        after: BTreeSet::new(),
        when: When::Now,
        on_close: Default::default(),
        commit: Some("c0ffee".into()),
        artifact: Some(artifact.to_owned()),
        links: vec![],
        evidence: Default::default(),
        course: Default::default(),
        gating: Default::default(),
        claims: Claims { resources: [RESOURCE.to_owned()].into(), effect: Closure::Closed, hands: Default::default() },
        files: Default::default(),
        material: None,
        secrets: vec![],
        revision_digest: Digest::of_bytes(b"a revision"),
        effect_digest: Digest::of_bytes(b"not computed yet"),
    })
}

/// The proposal with the effect digest that its parts have.
pub(crate) fn sealed(mut proposal: Proposal) -> Proposal {
    proposal.effect_digest = proposal.compute_effect_digest();
    proposal
}

/// An answer of policy that asks for `count` approvals.
pub(crate) fn allowed(effect: Digest, count: u8) -> Assessment {
    let requires = match count {
        0 => vec![],
        count => vec![Requirement::of(GROUP, count, Span::secs(3 * 86_400))],
    };
    Assessment {
        score: if count == 0 { 5 } else { 30 },
        level: if count == 0 { Risk::Low } else { Risk::Medium },
        factors: vec![],
        denials: vec![],
        warnings: vec![],
        requires,
        checklist: vec![],
        window: Default::default(),
        pre_approved: false,
        owed: vec![],
        policy: *POLICY,
        input: *POLICY,
        effect,
    }
}

pub(crate) fn denied(effect: Digest) -> Assessment {
    let denial = Denial::hard("no_runbook", "a change of this risk needs a runbook");
    Assessment { denials: vec![denial], ..allowed(effect, 1) }
}

/// A rule that somebody may set aside stands against it.
pub(crate) fn softly_denied(effect: Digest) -> Assessment {
    let hard = Denial::hard("no_runbook", "a change of this risk needs a runbook");
    Assessment { denials: vec![Denial { level: Level::Soft, ..hard }], ..allowed(effect, 0) }
}

/// A point of a checklist is open.
pub(crate) fn listed(effect: Digest) -> Assessment {
    let item = Item {
        list: "before".into(),
        code: "told".into(),
        title: "support was told".into(),
        evidence: None,
        tick: Tick::Person,
    };
    Assessment { checklist: vec![item], ..allowed(effect, 0) }
}

/// A world in which every gate is open, for a person who may do everything or for a part of Clearway, which holds no permission.
pub(crate) fn open(actor: Actor, now: Timestamp) -> Given {
    let person = actor.user().is_some();
    Given {
        may: Permission::ALL.into_iter().filter(|_| person).collect(),
        groups: person.then(|| GROUP.to_owned()).into_iter().collect(),
        lanes: vec![Lane::free(RESOURCE)],
        readiness: Readiness::Ready,
        freezes: [("quarter-end".to_owned(), "team-finance".to_owned())].into(),
        // Read by `Supersede` alone.
        superseded_by: Some(OTHER),
        ..Given::bare(now, actor)
    }
}

pub(crate) fn freeze(until: Timestamp) -> Frozen {
    Frozen {
        name: "quarter-end".into(),
        reason: "the books are closed".into(),
        owner: "team-finance".into(),
        until,
        emergency: Default::default(),
        on_close: Default::default(),
    }
}

pub(crate) fn lane_of(holder: ChangeId) -> Lane {
    Lane { resource: RESOURCE.into(), holder: Some(holder) }
}

pub(crate) fn judge(answer: Answer, step: usize, attempt: u32, at: Timestamp) -> Command {
    let judgement = Judgement {
        answer,
        step,
        attempt,
        why: format!("the evidence says {answer}"),
        reasons: vec![],
        slis: vec![],
        looks: 1,
        evidence: 1.25,
        harm: 0.1,
        safety: 0.9,
        findings: vec![],
        at,
    };
    let evidence = EvidenceTaken { step, attempt, looks: 1, digest: *LOOKS };
    Command::Judge { judgement: Box::new(judgement), evidence }
}

/// The part of Clearway that asks this command, or nobody where it is for people.
pub(crate) fn part(command: &Command) -> Option<Part> {
    match command {
        Command::Assess(_) | Command::ApproveByAutomation | Command::RevokeVotes => Some(Part::Policy),
        Command::LapseVotes
        | Command::Lapse
        | Command::Schedule
        | Command::Supersede
        | Command::Call
        | Command::Nag
        | Command::Close
        | Command::Halt { .. }
        | Command::GoOn { .. } => Some(Part::Clock),
        Command::BeginStep { .. }
        | Command::ReportApplied { .. }
        | Command::ReportFailed { .. }
        | Command::BeginUndo
        | Command::ReportUndone { .. }
        | Command::ReportUndoFailed { .. }
        | Command::SupersedeWatch { .. } => Some(Part::Rollout),
        Command::Judge { .. } => Some(Part::Judge),
        Command::ReportPaged { .. } => Some(Part::Notify),
        Command::Complete => Some(Part::Release),
        Command::Amend { .. }
        | Command::Withdraw { .. }
        | Command::Approve { .. }
        | Command::Refuse { .. }
        | Command::RequestChanges { .. }
        | Command::TakeBack { .. }
        | Command::Override { .. }
        | Command::BreakGlass { .. }
        | Command::AskException { .. }
        | Command::GrantException { .. }
        | Command::RevokeException { .. }
        | Command::Tick { .. }
        | Command::Pause { .. }
        | Command::Veto { .. }
        | Command::LiftVeto { .. }
        | Command::Resume { .. }
        | Command::Promote { .. }
        | Command::Rollback { .. }
        | Command::CompleteByHand { .. }
        | Command::Review { .. }
        | Command::Join { .. } => None,
    }
}

/// Who asks this command when everything is as it should be.
pub(crate) fn right_actor(command: &Command, person: &str) -> Actor {
    // Whoever amends has a part in the change, and no vote.
    let person = if matches!(command, Command::Amend { .. }) { AUTHOR } else { person };
    part(command).map_or_else(|| user(person), Actor::Clearway)
}

/// The name of an event as it stands in the log.
pub(crate) fn event_type(event: &Event) -> String {
    serde_json::to_value(event).expect("an event has a JSON form")["type"].as_str().unwrap_or_default().to_owned()
}

/// The state after a batch of events.
pub(crate) fn fold(change: &Change, events: &[Event], actor: &Actor, at: Timestamp) -> Change {
    let next = |state, event| evolve(Some(state), change.id, event, actor, at).expect("a change stays a change");
    events.iter().fold(change.clone(), next)
}

/// A change and the log that made it.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) log: Vec<(Event, Actor, Timestamp)>,
    pub(crate) change: Change,
    pub(crate) now: Timestamp,
}

impl Life {
    pub(crate) fn begin(id: ChangeId, proposal: Proposal) -> Self {
        let (author, now) = (user(AUTHOR), start());
        let proposed = Proposed { uid: Uuid::from_u128(id.number().into()), author: author.clone(), proposal };
        let event = Event::Proposed(Box::new(proposed));
        let change = evolve(None, id, &event, &author, now).expect("a proposal begins a change");
        Self { log: vec![(event, author, now)], change, now }
    }

    /// Decides in a given world, and folds what follows.
    pub(crate) fn ask(&mut self, command: Command, given: &Given) -> Result<Vec<Event>, Rejection> {
        let events = decide(&self.change, command, given)?;
        self.change = fold(&self.change, &events, &given.actor, given.now);
        self.log.extend(events.iter().map(|e| (e.clone(), given.actor.clone(), given.now)));
        Ok(events)
    }

    /// Asks in the open world by whoever should ask it; for stories in which nothing is refused.
    pub(crate) fn then(mut self, command: Command) -> Self {
        let given = open(right_actor(&command, "bob"), self.now);
        let name = format!("{command:?}");
        let events = self.ask(command, &given).unwrap_or_else(|rejection| panic!("{name}: {rejection}"));
        assert!(!events.is_empty(), "{name} changes nothing");
        self
    }

    pub(crate) fn later(mut self, span: Span) -> Self {
        self.now = after(self.now, span);
        self
    }

    pub(crate) fn effect(&self) -> Digest {
        self.change.proposal.effect_digest
    }

    pub(crate) fn assessed(self) -> Self {
        let effect = self.effect();
        self.then(Command::Assess(Box::new(allowed(effect, 1))))
    }

    pub(crate) fn approved(self) -> Self {
        let effect = self.effect();
        self.assessed().then(Command::Approve { effect, comment: None, signature: None })
    }

    pub(crate) fn scheduled(self) -> Self {
        self.approved().then(Command::Schedule)
    }

    pub(crate) fn step_begun(self) -> Self {
        self.then(Command::BeginStep { observed: json!({"weight": "0%"}) })
    }

    pub(crate) fn step_applied(self) -> Self {
        let rollout = self.change.rollout().expect("a rollout");
        let (step, attempt) = (rollout.step, rollout.attempt);
        self.then(Command::ReportApplied { step, attempt, actual: json!({"weight": "10%"}) })
    }

    pub(crate) fn judged(self, answer: Answer) -> Self {
        let rollout = self.change.rollout().expect("a rollout");
        let command = judge(answer, rollout.step, rollout.attempt, self.now);
        self.then(command)
    }

    pub(crate) fn watching(self) -> Self {
        let first = self.scheduled().step_begun().step_applied().judged(Answer::Pass);
        first.step_begun().step_applied().judged(Answer::Pass)
    }
}
