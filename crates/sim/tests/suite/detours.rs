//! F1, F4, LC3, PA4, PA6: ways around the controls, each tried and found shut.

use change::aftermath::Debt;
use change::circumstances::Delegation;
use change::facts::material::Material;
use change::governance::Governance;
use change::lifecycle::Rejection;
use change::{Command, Event, Phase, Span};
use engine::{Draft, Handle, InForce, Way};
use serde_json::json;
use sim::world::{Behaviour, World, ada, bob, change_file};

use crate::govern::{ACCESS, EMERGENCY, ESCALATING, STEPS, WEEKEND, approve, draft, pass, reasons, rejection, rules};
use crate::support::*;

const LATER: &str = "when: 2100-01-01T00:00Z\n";
const TWO_OF_SRE: &str = "rules:\n  - {require: [{by: sre, count: 2, within: 4h}]}\n";

/// bob leaves the role that may do all; he may still see.
fn without_bob(approvals: &str, more: &[(&str, &str)]) -> Governance {
    let access = ACCESS.replace("{id: bob, roles: [{role: all}]}", "{id: bob, roles: [{role: reader}]}");
    let files: Vec<(&str, &str)> = more.iter().copied().chain([("access.yaml", access.as_str())]).collect();
    rules(approvals, &files)
}

async fn govern(handle: &Handle, governance: Governance) {
    handle.govern(InForce::new(governance).expect("it compiles")).await.expect("the store answers");
}

/// What one commit by this address is made of.
fn committed_by(email: &str) -> Material {
    let range = json!({
        "from": {"tool": "git", "name": "main..head"}, "base": "a", "head": "b", "merge_base": "a", "added": 1, "removed": 0, "unsigned": 1,
        "files": {"total": 0, "list": []}, "commits": {"total": 0, "list": []},
        "people": {"total": 1, "list": [{"name": "somebody", "email": email}]},
    });
    serde_json::from_value(json!({ "range": range })).expect("it is material")
}

async fn stand_in(handle: &Handle, from: &str, to: &str) {
    let (groups, until) = ([].into(), handle.until(Span::secs(86_400)));
    let delegation = Delegation { from: from.into(), to: Some(to.into()), groups, until, reason: "holidays".into() };
    handle.delegate(&user(from), delegation).await.expect("for oneself");
}

// F1, LC3: one seat is one voice; who stands in for somebody who has voted is told that the place is taken.
#[test]
fn a_seat_does_not_vote_twice() {
    paused().block_on(async {
        let (world, store) = (World::new(31, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(TWO_OF_SRE, &[])).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| p == Phase::Assessed).await;
        approve(&handle, "bob", id).await.expect("bob may");
        stand_in(&handle, "bob", "dan").await;
        let twice = rejection(approve(&handle, "dan", id).await);
        assert!(matches!(&twice, Rejection::SeatTaken { seats, .. } if seats == "`bob`"), "{twice:?}");
        assert_eq!(state(&handle, id).await.phase(), Phase::Assessed);
    });
}

// LC3: nobody hands on a vote that they don't have.
#[test]
fn a_delegate_of_somebody_who_may_not_vote_does_not_vote() {
    paused().block_on(async {
        let (world, store) = (World::new(32, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(ESCALATING, &[])).await;
        stand_in(&handle, "bob", "dan").await;
        govern(&handle, without_bob(ESCALATING, &[])).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| p == Phase::Assessed).await;
        assert!(matches!(rejection(approve(&handle, "dan", id).await), Rejection::NotEntitled { .. }));
    });
}

// F1, LC3: once it is known whose address a commit has, a vote that this person gave before falls.
#[test]
fn a_vote_falls_when_the_voter_turns_out_to_have_committed() {
    paused().block_on(async {
        let (world, store) = (World::new(33, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(ESCALATING, &[])).await;
        let made = Draft { material: committed_by("bob@private.example"), ..draft("a", Way::Regular) };
        let id = handle.propose_draft(&ada(), &made, None).await.expect("ada may").id;
        until(&handle, id, |p| p == Phase::Assessed).await;
        approve(&handle, "bob", id).await.expect("nobody knows yet");
        let known = ACCESS.replace("{id: bob, ", "{id: bob, emails: [bob@private.example], ");
        govern(&handle, rules(ESCALATING, &[("access.yaml", &known)])).await;
        let change = until(&handle, id, |p| p == Phase::Assessed).await;
        assert!(change.votes.is_empty() && world.deeds().is_empty());
    });
}

// F1, F2: an amendment that tells less of who committed does not make them forgotten.
#[test]
fn who_committed_to_an_earlier_revision_does_not_approve_a_later_one() {
    paused().block_on(async {
        let (world, store) = (World::new(34, Behaviour::GOOD), memory());
        let access = ACCESS.replace("{id: bob, ", "{id: bob, emails: [bob@shop.example], ");
        let handle = start(&world, &store, rules(ESCALATING, &[("access.yaml", &access)])).await;
        let made = Draft { material: committed_by("bob@shop.example"), ..draft("a", Way::Regular) };
        let id = handle.propose_draft(&ada(), &made, None).await.expect("ada may").id;
        until(&handle, id, |p| p == Phase::Assessed).await;
        handle.amend(&ada(), id, &draft("b", Way::Regular), None).await.expect("it is a change file").expect("ada may");
        until(&handle, id, |p| p == Phase::Assessed).await;
        assert!(matches!(rejection(approve(&handle, "bob", id).await), Rejection::Excluded { .. }));
    });
}

// F1: who changes a word of a change has a part in it.
#[test]
fn who_amends_the_words_of_a_change_does_not_approve_it() {
    paused().block_on(async {
        let (world, store) = (World::new(35, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(ESCALATING, &[])).await;
        let file = |title: &str| Draft { text: change_file(title, &STEPS, LATER), ..Draft::default() };
        let id = handle.propose_draft(&ada(), &file("a"), None).await.expect("ada may").id;
        until(&handle, id, |p| p == Phase::Assessed).await;
        approve(&handle, "bob", id).await.expect("bob may");
        until(&handle, id, |p| p == Phase::Scheduled).await;
        handle.amend(&bob(), id, &file("b"), None).await.expect("it is a change file").expect("bob may propose");
        let change = until(&handle, id, |p| p == Phase::Assessed).await;
        assert!(change.votes.is_empty(), "his own vote falls, too");
        assert!(matches!(rejection(approve(&handle, "bob", id).await), Rejection::OwnChange { .. }));
    });
}

// F4: one of the two hands on the glass is of somebody without a part in the change, whichever comes first.
#[test]
fn two_who_wrote_it_do_not_break_the_glass() {
    paused().block_on(async {
        let (world, store) = (World::new(36, Behaviour::GOOD), memory());
        let hard = WEEKEND.replace("level: soft", "level: hard").replace("#   override_by: [leads]\n", "");
        let nobody = "rules: [{require: []}]\n";
        let access = ACCESS.replace("{id: bob, ", "{id: bob, emails: [bob@shop.example], ");
        let files = [("policy/weekend.rego", hard.as_str()), ("access.yaml", access.as_str())];
        let handle = start(&world, &store, rules(nobody, &files)).await;
        let made = Draft { material: committed_by("bob@shop.example"), ..draft("a", Way::Regular) };
        let id = handle.propose_draft(&ada(), &made, None).await.expect("ada may").id;
        until(&handle, id, |p| p == Phase::Assessed).await;
        let glass = || Command::BreakGlass { reason: "the region is down".into() };
        handle.command(&bob(), id, glass()).await.expect("the first hand");
        assert!(matches!(rejection(handle.command(&ada(), id, glass()).await), Rejection::OwnChange { .. }));
        // A hand does not wait for ever, and none of somebody who may no longer is joined.
        pass(2).await;
        handle.command(&user("cyd"), id, glass()).await.expect("a first hand again");
        assert_eq!(state(&handle, id).await.hand.map(|hand| hand.by), Some(user("cyd")));
        let gone = ACCESS.replace("{id: cyd, roles: [{role: all}]}", "{id: cyd, roles: [{role: reader}]}");
        govern(&handle, rules(nobody, &[("policy/weekend.rego", &hard), ("access.yaml", &gone)])).await;
        handle.command(&user("dan"), id, glass()).await.expect("a first hand, not a second one");
        let change = state(&handle, id).await;
        assert_eq!((change.hand.map(|hand| hand.by), change.set_aside.len()), (Some(user("dan")), 0));
        assert!(world.deeds().is_empty());
    });
}

// F4: a rule is set aside in one's own right, by somebody who has no part in the change, and stands again when they leave.
#[test]
fn a_soft_rule_is_not_overridden_in_anothers_place_nor_by_a_committer() {
    paused().block_on(async {
        let (world, store) = (World::new(37, Behaviour::GOOD), memory());
        let nobody = "rules: [{require: []}]\n";
        let overriders = WEEKEND.replace("[leads]", "[leads, sre]");
        let access = ACCESS.replace("{id: cyd, ", "{id: cyd, emails: [cyd@shop.example], ");
        let files = [("policy/weekend.rego", overriders.as_str()), ("access.yaml", access.as_str())];
        let handle = start(&world, &store, rules(nobody, &files)).await;
        let mut made = Draft { material: committed_by("cyd@shop.example"), ..draft("a", Way::Regular) };
        made.text = change_file("a", &STEPS, LATER);
        let id = handle.propose_draft(&ada(), &made, None).await.expect("ada may").id;
        until(&handle, id, |p| p == Phase::Assessed).await;
        let set_aside = || Command::Override { code: "weekend".into(), reason: "it is small".into() };
        assert!(matches!(rejection(handle.command(&user("cyd"), id, set_aside()).await), Rejection::Excluded { .. }));
        stand_in(&handle, "bob", "dan").await;
        let by_proxy = rejection(handle.command(&user("dan"), id, set_aside()).await);
        assert!(matches!(by_proxy, Rejection::NotAnOverrider { .. }));
        handle.command(&bob(), id, set_aside()).await.expect("bob may");
        assert!(handle.gates_of(&state(&handle, id).await).await.expect("it is there")[1].is_open());
        govern(&handle, without_bob(nobody, &[("policy/weekend.rego", &overriders)])).await;
        let policy = &handle.gates_of(&state(&handle, id).await).await.expect("it is there")[1];
        assert_eq!(policy.code(), Some("policy_denies"), "{policy:?}");
    });
}

// PA6, LC9: a no afterwards stops the rollout, keeps the lane shut, and is not the author's to give.
#[test]
fn an_emergency_that_is_not_approved_afterwards_stops_and_its_lane_stays_shut() {
    paused().block_on(async {
        let (world, store) = (World::new(38, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(&format!("{ESCALATING}{EMERGENCY}"), &[])).await;
        let way = || Way::Emergency { incident: "INC-1".into(), reason: "checkout is down".into() };
        let first = handle.propose_draft(&ada(), &draft("fix", way()), None).await.expect("ada may").id;
        until(&handle, first, |p| p == Phase::Assessed).await;
        approve(&handle, "dan", first).await.expect("who is on call may");
        until(&handle, first, |p| matches!(p, Phase::RollingOut { step: 0 })).await;
        let no = || Command::Refuse { reason: "it opens the database".into() };
        assert!(matches!(rejection(handle.command(&ada(), first, no()).await), Rejection::OwnChange { .. }));
        let change = handle.command(&user("cyd"), first, no()).await.expect("cyd may");
        assert!(change.owes(Debt::Approval) && matches!(change.phase(), Phase::Paused { .. }));
        approve(&handle, "bob", first).await.expect("one who was asked");
        assert!(state(&handle, first).await.owes(Debt::Approval), "a no outweighs a yes");
        handle.command(&bob(), first, Command::Resume { found: None }).await.expect("bob may");
        let held = until(&handle, first, |p| matches!(p, Phase::Held { .. })).await;
        assert!(reasons(&held).contains("does not approve it afterwards"), "{}", reasons(&held));
        let second = handle.propose_draft(&ada(), &draft("again", way()), None).await.expect("ada may").id;
        until(&handle, second, |p| p == Phase::Assessed).await;
        let approvals = handle.gates_of(&state(&handle, second).await).await.expect("it is there").remove(4);
        assert_eq!(approvals.code(), Some("emergency_lane_shut"), "{approvals:?}");
        let back = Command::TakeBack { reason: "it is read-only".into() };
        let change = handle.command(&user("cyd"), first, back).await.expect("their own");
        assert!(!change.owes(Debt::Approval), "the yes that was given counts now");
        assert_eq!(until_ended(&handle, first).await.phase(), Phase::Completed);
    });
}

// PA6, LC9: what was refused afterwards is settled by somebody else's review once it is over.
#[test]
fn a_refused_emergency_that_was_rolled_back_is_settled_by_a_review_of_somebody_else() {
    paused().block_on(async {
        let (world, store) = (World::new(39, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(&format!("{ESCALATING}{EMERGENCY}"), &[])).await;
        let way = Way::Emergency { incident: "INC-1".into(), reason: "checkout is down".into() };
        let id = handle.propose_draft(&ada(), &draft("fix", way), None).await.expect("ada may").id;
        until(&handle, id, |p| p == Phase::Assessed).await;
        approve(&handle, "dan", id).await.expect("who is on call may");
        until(&handle, id, |p| matches!(p, Phase::RollingOut { step: 0 })).await;
        let no = Command::Refuse { reason: "it opens the database".into() };
        handle.command(&user("cyd"), id, no).await.expect("cyd may");
        handle.command(&bob(), id, Command::Rollback { reason: "refused".into() }).await.expect("bob may");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::RolledBack);
        let review = || Command::Review { summary: "we talked".into() };
        assert!(matches!(rejection(handle.command(&ada(), id, review()).await), Rejection::OwnChange { .. }));
        let settled = handle.command(&user("cyd"), id, review()).await.expect("cyd may");
        assert!(!settled.owes(Debt::Approval) && !settled.owes(Debt::Review));
        assert!(world.weight() == 0);
    });
}

// PA6: an emergency that had all the approval that is asked owes none, and a vote that paid a debt and is taken back leaves it owed.
#[test]
fn an_approval_afterwards_is_owed_only_while_it_is_missing() {
    paused().block_on(async {
        let (world, store) = (World::new(40, Behaviour::GOOD), memory());
        let one = "rules:\n  - {require: [{by: approvers, count: 1, within: 4h}]}\n";
        let lane = EMERGENCY.replace("by: oncall", "by: approvers");
        let handle = start(&world, &store, rules(&format!("{one}{lane}"), &[])).await;
        let way = || Way::Emergency { incident: "INC-1".into(), reason: "checkout is down".into() };
        let id = handle.propose_draft(&ada(), &draft("fix", way()), None).await.expect("ada may").id;
        until(&handle, id, |p| p == Phase::Assessed).await;
        approve(&handle, "bob", id).await.expect("bob may");
        let change = until_ended(&handle, id).await;
        assert!(!change.debts.contains_key(&Debt::Approval) && change.owes(Debt::Review), "{:?}", change.debts);

        govern(&handle, rules(&format!("{ESCALATING}{EMERGENCY}"), &[])).await;
        let id = handle.propose_draft(&ada(), &draft("more", way()), None).await.expect("ada may").id;
        until(&handle, id, |p| p == Phase::Assessed).await;
        approve(&handle, "dan", id).await.expect("who is on call may");
        until(&handle, id, |p| matches!(p, Phase::RollingOut { step: 0 })).await;
        assert!(!approve(&handle, "bob", id).await.expect("the owed approval").owes(Debt::Approval));
        let back = Command::TakeBack { reason: "I was mistaken".into() };
        assert!(handle.command(&bob(), id, back).await.expect("his own").owes(Debt::Approval));
    });
}

// LC3, X2: a place that opens again late is asked for anew; the change does not die of a vote that was taken back.
#[test]
fn a_vote_that_is_taken_back_after_the_deadline_gives_people_their_time_again() {
    paused().block_on(async {
        let (world, store) = (World::new(41, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(ESCALATING, &[])).await;
        let id = propose(&handle, &change_file("a", &STEPS, LATER)).await;
        until(&handle, id, |p| p == Phase::Assessed).await;
        approve(&handle, "bob", id).await.expect("bob may");
        pass(20).await;
        let back = Command::TakeBack { reason: "not yet".into() };
        handle.command(&bob(), id, back).await.expect("his own");
        pass(1).await;
        assert_eq!(state(&handle, id).await.phase(), Phase::Assessed);
        let lapsed = log(&store, id).await.iter().any(|r| matches!(r.event, Event::Lapsed { .. }));
        assert!(!lapsed && world.deeds().is_empty());
        approve(&handle, "bob", id).await.expect("there is time");
        until(&handle, id, |p| p == Phase::Scheduled).await;
    });
}

// X12, LC2: a rule that was mended, or taken away, does not go on denying what waits.
#[test]
fn what_a_rule_denied_is_assessed_anew_once_the_rule_is_another() {
    paused().block_on(async {
        let (world, store) = (World::new(42, Behaviour::GOOD), memory());
        let nobody = "rules: [{require: []}]\n";
        let broken = "package clearway.house\ndeny contains 7\n";
        let handle = start(&world, &store, rules(nobody, &[("policy/house.rego", broken)])).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        let change = until(&handle, id, |p| p == Phase::Assessed).await;
        let gates = handle.gates_of(&change).await.expect("the store answers");
        assert!(serde_json::to_string(&gates).expect("JSON").contains("whoever keeps the policies"), "{gates:#?}");
        govern(&handle, rules(nobody, &[])).await;
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
    });
}

// LC3, F1: the yes of one owner is not that of another whose service changes too.
#[test]
fn each_owner_of_the_changed_services_is_asked() {
    paused().block_on(async {
        let (world, store) = (World::new(43, Behaviour::GOOD), memory());
        let owners = "rules:\n  - {require: [{by: service-owners, count: 1, within: 4h}]}\n";
        let toy = "name: toy\nowner: leads\ntier: 4\n";
        let handle = start(&world, &store, rules(owners, &[("services/toy.yaml", toy)])).await;
        let both = change_file("a", &STEPS, "").replace("services: [shop]", "services: [shop, toy]");
        assert!(both.contains("toy"));
        let id = propose(&handle, &both).await;
        until(&handle, id, |p| p == Phase::Assessed).await;
        let change = approve(&handle, "cyd", id).await.expect("cyd leads the owners of `toy`");
        assert_eq!(change.phase(), Phase::Assessed, "the owners of `shop` have said nothing");
        assert!(reasons(&change).contains("`service-owners/sre`"), "{}", reasons(&change));
        approve(&handle, "bob", id).await.expect("bob is one of the owners of `shop`");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
    });
}
