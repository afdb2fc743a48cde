//! The figures about controls, of stories written by hand: each number is one that a person would count on their fingers.

use std::collections::BTreeSet;

use change::aftermath::Debt;
use change::approval::{Signature, Voided};
use change::assessment::{Assessment, Denial, Requirement, Risk, Signing};
use change::document::Document;
use change::governance::Matrix;
use change::proposal::{Carry, Kind, Proposal, Proposed};
use change::rollout::Weight;
use change::time::{Span, after};
use change::{Actor, ChangeId, Digest, Event, Timestamp};
use expect_test::expect;
use measure::control_report::{FEWEST, Lead};
use measure::{ControlReport, Fold};

fn at(minutes: u64) -> Timestamp {
    after(Timestamp::UNIX_EPOCH, Span::secs(minutes * 60))
}

fn user(name: &str) -> Actor {
    Actor::User(name.into())
}

fn effect() -> Digest {
    Digest::of_bytes(b"effect")
}

fn proposal(kind: Kind) -> Proposal {
    let digest = effect();
    let text = format!(
        "title: t\nkind: {kind}\nowner: ada\nservices: [cart]\nenvironment: production\n\
         plan: {{strategy: all-at-once, target: {{driver: router}}, steps: [{{weight: 100%, bake: 5m, deadline: 30m, comparison: objective}}]}}\n\
         verify: {{slis: [], commands: [{{run: ./smoke.sh, timeout: 30s}}], every: 10s, on_insufficient: hold, on_unreachable: page, watch: 5m}}\n\
         rollback: {{automatic: true}}\ncommit: abc\nlinks: [https://tracker.example/1]\nclaims: {{resources: [r], effect: closed}}\n\
         revision_digest: '{digest}'\neffect_digest: '{digest}'\n"
    );
    Document::from_yaml(&text).and_then(|document| document.read()).expect("a proposal")
}

fn assessed(level: Risk, requires: Vec<Requirement>, denials: &[&str]) -> Event {
    Event::Assessed(Box::new(Assessment {
        score: 0,
        level,
        factors: vec![],
        denials: denials.iter().map(|code| Denial::hard(*code, "no")).collect(),
        warnings: vec![],
        requires,
        checklist: vec![],
        window: Default::default(),
        pre_approved: false,
        owed: vec![],
        policy: effect(),
        input: effect(),
        effect: effect(),
    }))
}

fn of(group: &str, count: u8) -> Requirement {
    Requirement::of(group, count, Span::secs(3_600))
}

fn vote(groups: &[&str]) -> Event {
    let groups: BTreeSet<String> = groups.iter().map(|g| (*g).to_owned()).collect();
    Event::Approved { effect: effect(), groups, on_behalf: [].into(), comment: None, signature: None }
}

fn begun() -> Event {
    Event::StepBegun { step: 0, attempt: 1, weight: Weight::FULL, effect: effect(), observed: Default::default() }
}

/// One change, told as its events, by whom and in which minute each.
struct Story<'a> {
    fold: &'a mut Fold,
    id: ChangeId,
}

impl<'a> Story<'a> {
    fn of(fold: &'a mut Fold, id: u64, proposal: Proposal, minute: u64) -> Self {
        let story = Self { fold, id: ChangeId::new(id) };
        let proposed = Proposed { uid: Default::default(), author: user("bob"), proposal };
        story.then(Event::Proposed(Box::new(proposed)), "bob", minute)
    }

    #[expect(clippy::needless_pass_by_value, reason = "a story reads better without borrows")]
    fn then(self, event: Event, by: &str, minute: u64) -> Self {
        self.fold.add(self.id, &event, &user(by), at(minute));
        self
    }
}

fn report(fold: &Fold, to: u64) -> ControlReport {
    fold.controls(&Matrix::default_rules(), at(0), at(to))
}

// M4: from when a group was asked to its last needed vote, by risk and by group; below five there is no median.
#[test]
fn lead_times_are_from_the_question_to_the_last_needed_vote() {
    let mut fold = Fold::default();
    // Two of sre and one of security: security is done after 10 minutes, sre with its second vote after as many as the change's number times ten.
    for id in 2..=6 {
        Story::of(&mut fold, id, proposal(Kind::Code), 0)
            .then(assessed(Risk::High, vec![of("sre", 2), of("security", 1)], &[]), "policy", 1)
            .then(vote(&["sre"]), "ada", 2)
            .then(vote(&["security"]), "eve", 11)
            .then(vote(&["sre"]), "cyd", 1 + 10 * id)
            .then(begun(), "rollout", 100)
            .then(Event::Completed, "rollout", 110);
    }
    Story::of(&mut fold, 7, proposal(Kind::Code), 0)
        .then(assessed(Risk::Low, vec![of("sre", 1)], &[]), "policy", 1)
        .then(vote(&["sre"]), "ada", 3);
    let found = report(&fold, 1_000).approvals;
    let minutes = |lead: &Lead| (lead.count, lead.median_seconds.map(|s| s / 60.0), lead.p90_seconds.map(|s| s / 60.0));
    assert_eq!(minutes(&found.by_group["security"]), (5, Some(10.0), Some(10.0)));
    assert_eq!(minutes(&found.by_group["sre"]), (6, Some(30.0), Some(60.0)));
    assert_eq!(minutes(&found.by_risk["low"]), (1, None, None), "one is too few for a median");
    assert_eq!(minutes(&found.by_risk["high"]), (10, Some(10.0), Some(50.0)));
    assert_eq!(found.by_risk["critical"], Lead::default());
    assert_eq!(FEWEST, 5);
    assert_eq!(report(&fold, 30).approvals.by_group["sre"].count, 2, "only what was decided in the period");
}

// X2: the table shows who is waited for longest, those who are asked now included.
#[test]
fn the_table_shows_who_is_the_bottleneck() {
    let mut fold = Fold::default();
    Story::of(&mut fold, 1, proposal(Kind::Code), 0)
        .then(assessed(Risk::High, vec![of("sre", 1), of("security", 1)], &[]), "policy", 0)
        .then(vote(&["sre"]), "ada", 5)
        .then(vote(&["security"]), "eve", 60);
    Story::of(&mut fold, 2, proposal(Kind::Code), 0).then(
        assessed(Risk::High, vec![of("security", 1)], &[]),
        "policy",
        40,
    );
    Story::of(&mut fold, 3, proposal(Kind::Code), 0)
        .then(assessed(Risk::High, vec![of("sre", 1)], &[]), "policy", 0)
        .then(Event::Withdrawn { reason: "r".into() }, "bob", 500);
    let rows = report(&fold, 100).approvals.waited_for;
    let said: String = rows
        .iter()
        .map(|r| {
            format!(
                "{} {} ({} now) {} of which {}\n",
                r.who,
                r.count,
                r.waiting,
                r.total_seconds / 60.0,
                r.longest_seconds / 60.0
            )
        })
        .collect();
    expect![[r#"
        group:security 2 (1 now) 120 of which 60
        group:sre 2 (1 now) 105 of which 100
        user:eve 1 (0 now) 60 of which 60
        user:ada 1 (0 now) 5 of which 5
    "#]]
    .assert_eq(&said);
    let later = report(&fold, 1_000).approvals.waited_for;
    assert_eq!(later.iter().map(|r| r.waiting).sum::<usize>(), 1, "nobody waits for a change that was withdrawn");
}

#[test]
fn votes_that_fall_or_lack_a_signature_are_waited_for_and_those_that_carry_over_are_not() {
    let mut fold = Fold::default();
    let signed = Requirement { signature: Signing::Required, ..of("sre", 1) };
    let signature = Some(Signature { key: "SHA256:x".into(), statement: "s".into(), armored: "a".into() });
    let kept = Event::Amended { proposal: Box::new(proposal(Kind::Code)), votes: Carry::Kept };
    Story::of(&mut fold, 1, proposal(Kind::Code), 0)
        .then(assessed(Risk::High, vec![signed.clone()], &[]), "policy", 0)
        .then(vote(&["sre"]), "ada", 5)
        .then(Event::VotesVoided { voters: vec![user("ada")], why: Voided::Lapsed }, "clock", 6)
        .then(assessed(Risk::High, vec![signed.clone()], &[]), "policy", 10)
        .then(
            Event::Approved {
                effect: effect(),
                groups: ["sre".to_owned()].into(),
                on_behalf: [].into(),
                comment: None,
                signature,
            },
            "ada",
            30,
        )
        .then(kept, "bob", 40)
        .then(assessed(Risk::High, vec![signed], &[]), "policy", 41);
    let approvals = report(&fold, 100).approvals;
    assert_eq!(approvals.by_group["sre"].count, 1);
    assert_eq!(approvals.waited_for[0].total_seconds, 20.0 * 60.0, "from the second question to the signed vote");
    assert_eq!(approvals.waited_for[0].waiting, 0);
}

// M6, M7, M12: what nobody approved, what a record lacks by name, what was blocked, overridden and is owed, and which rules nobody needs.
#[test]
fn what_is_missing_blocked_overridden_and_owed_is_named() {
    let mut fold = Fold::default();
    let mut bare = proposal(Kind::Docs);
    (bare.commit, bare.rollback.automatic, bare.links) = (None, false, vec![]);
    Story::of(&mut fold, 1, bare, 0)
        .then(assessed(Risk::Low, vec![], &["no_runbook", "no_approval_rule"]), "policy", 1)
        .then(assessed(Risk::Low, vec![], &["no_runbook"]), "policy", 2)
        .then(begun(), "rollout", 3)
        .then(
            Event::Overridden { gate: "verification".into(), step: 0, effect: effect(), reason: "r".into() },
            "ada",
            4,
        )
        .then(Event::RolledBack { observed: Default::default() }, "rollout", 5)
        .then(Event::DebtOwed { debt: Debt::Review, reason: "r".into(), due: at(60) }, "rollout", 5);
    Story::of(&mut fold, 2, proposal(Kind::Code), 0)
        .then(assessed(Risk::Low, vec![of("sre", 1)], &[]), "policy", 1)
        .then(vote(&["sre"]), "ada", 2)
        .then(begun(), "rollout", 3)
        .then(Event::Completed, "rollout", 9)
        .then(Event::DebtOwed { debt: Debt::Review, reason: "r".into(), due: at(60) }, "rollout", 10)
        .then(Event::DebtPaid { debt: Debt::Review, summary: "s".into() }, "ada", 20);
    let json = serde_json::to_value(report(&fold, 30)).expect("JSON");
    assert_eq!((json["M6"]["value"].clone(), json["M6"]["samples"].clone()), (0.5.into(), 2.into()));
    assert_eq!(json["M7"]["value"], 0.5);
    let lacking = serde_json::json!({"source": ["CHG-1"], "rollback_plan": ["CHG-1"], "links": ["CHG-1"]});
    assert_eq!(json["M7"]["missing"], lacking);
    let expected = serde_json::json!({
        "blocks": {"no_approval_rule": ["CHG-1"], "no_runbook": ["CHG-1"]},
        "overrides": {"verification": ["CHG-1"]},
        "emergencies": [], "coverage": {"unmatched_changes": ["CHG-1"], "idle_rules": [2], "samples": 2},
        "debts": {"open": ["CHG-1"], "overdue": []},
    });
    assert_eq!(json["M12"], expected);
    let later = report(&fold, 100).policy.debts;
    assert_eq!((later.open.len(), later.overdue.len()), (1, 1));
    assert_eq!(report(&fold, 15).policy.debts.open.len(), 2, "a review that was done later was owed then");
}

#[test]
fn a_period_with_nothing_in_it_has_no_figures_and_no_zeros() {
    let empty = Fold::default().controls(&Matrix::default_rules(), at(0), at(1));
    assert_eq!(empty.no_human.value, None);
    assert_eq!(empty.completeness.share.value, None);
    assert!(empty.approvals.by_risk.values().all(|lead| lead.median_seconds.is_none()));
    assert_eq!(empty.policy.coverage.samples, 0);
}

#[test]
fn a_record_does_not_grow_with_the_codes_that_a_policy_makes_up() {
    let mut fold = Fold::default();
    let codes: Vec<String> = (0..10_000).map(|i| format!("code{i}")).collect();
    let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
    let story = Story::of(&mut fold, 1, proposal(Kind::Code), 0);
    let story = story.then(assessed(Risk::Low, vec![], &codes), "policy", 1);
    story.then(assessed(Risk::Low, vec![], &codes[5_000..]), "policy", 2);
    assert_eq!(report(&fold, 100).policy.blocks.len(), 50);
}
