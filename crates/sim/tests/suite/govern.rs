//! LC3, F2, F4, X2, X20, PA4, PA6: the controls, played in a world in which time passes.

use std::collections::BTreeMap;
use std::time::Duration;

use change::aftermath::Debt;
use change::circumstances::Delegation;
use change::governance::Governance;
use change::lifecycle::Rejection;
use change::{Actor, Change, ChangeId, Command, Event, Permission, Phase, Span};
use engine::{CommandError, Draft, Handle, Way};
use sim::world::{ALL_TRAFFIC, Behaviour, World, ada, bob, change_file};

use crate::support::*;

pub(crate) const STEPS: [(&str, &str); 2] = [("25%", "30s"), ("100%", "30s")];
pub(crate) const ACCESS: &str = "
users:
  - {id: ada, roles: [{role: all}]}
  - {id: bob, roles: [{role: all}]}
  - {id: cyd, roles: [{role: all}]}
  - {id: dan, roles: [{role: all}]}
  - {id: eve, roles: [{role: reader}]}
groups: [{id: sre, members: [bob]}, {id: leads, members: [cyd]}, {id: oncall, members: [ada, dan]}]
roles:
  - {id: all, may: [propose, approve, pause, resume, promote, rollback, freeze, emergency, override, govern, read]}
  - {id: reader, may: [read]}
";
pub(crate) const ESCALATING: &str = "rules:\n  - {require: [{by: sre, count: 1, within: 4h, escalate: leads}]}\n";
pub(crate) const EMERGENCY: &str = "emergency: {quorum: [{by: oncall, count: 1, within: 30m}], lasts: 4h, approval_within: 1d, bake: 10s, watch: 20s}\n";
pub(crate) const WEEKEND: &str = r#"# METADATA
# scope: package
# title: Weekend
# custom:
#   level: soft
#   override_by: [leads]
package clearway.weekend
deny contains {"code": "weekend", "reason": "the shop is full at the weekend"} if input.change.kind == "config"
"#;

pub(crate) fn rules(approvals: &str, more: &[(&str, &str)]) -> Governance {
    let fixed = [("access.yaml", ACCESS), ("approvals.yaml", approvals)];
    let texts = fixed.iter().chain(more).map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    let mut files: BTreeMap<String, String> =
        [("services/shop.yaml".to_owned(), "name: shop\nowner: sre\ntier: 3\n".to_owned())].into();
    files.extend(texts);
    Governance::read(&files).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

pub(crate) fn with_emergencies() -> Governance {
    rules(&format!("{ESCALATING}{EMERGENCY}"), &[])
}

pub(crate) fn reasons(change: &Change) -> String {
    change::explain::status(change)
}

pub(crate) async fn approve(handle: &Handle, who: &str, id: ChangeId) -> Result<Change, CommandError> {
    let effect = state(handle, id).await.proposal.effect_digest;
    handle.command(&user(who), id, Command::Approve { effect, comment: None, signature: None }).await
}

pub(crate) fn rejection(answer: Result<Change, CommandError>) -> Rejection {
    match answer {
        Err(CommandError::Rejected(rejection)) => rejection,
        other => panic!("not refused by a rule: {other:?}"),
    }
}

pub(crate) fn draft(title: &str, way: Way) -> Draft {
    Draft { text: change_file(title, &STEPS, ""), way, ..Draft::default() }
}

pub(crate) async fn pass(hours: u64) {
    tokio::time::sleep(Duration::from_secs(hours * 3_600)).await;
}

// F2: an amended change is another effect: its votes fall, and nothing of it is deployed under them.
#[test]
fn what_was_approved_and_then_amended_deploys_nothing() {
    paused().block_on(async {
        let (world, store) = (World::new(1, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(ESCALATING, &[])).await;
        let id = propose(&handle, &change_file("a", &STEPS, "when: 2100-01-01T00:00Z\n")).await;
        until(&handle, id, |p| p == Phase::Assessed).await;
        approve(&handle, "bob", id).await.expect("bob may");
        until(&handle, id, |p| matches!(p, Phase::Scheduled | Phase::Held { .. })).await;
        let other = [("50%", "30s"), ("100%", "30s")];
        let amended = Draft { text: change_file("a", &other, ""), ..Draft::default() };
        handle.amend(&ada(), id, &amended, None).await.expect("it is a change file").expect("its author may");
        pass(1).await;
        assert_eq!(state(&handle, id).await.phase(), Phase::Assessed);
        assert!(world.deeds().is_empty(), "no driver was called");
        let story = story(&log(&store, id).await);
        assert!(story.contains(&"VotesVoided".to_owned()), "{story:?}");
    });
}

// F2: the same effect, written anew, keeps its votes, and that is to be seen.
#[test]
fn votes_carry_over_to_the_same_effect() {
    paused().block_on(async {
        let (world, store) = (World::new(2, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(ESCALATING, &[])).await;
        let id = propose(&handle, &change_file("a", &STEPS, "when: 2100-01-01T00:00Z\n")).await;
        until(&handle, id, |p| p == Phase::Assessed).await;
        approve(&handle, "bob", id).await.expect("bob may");
        let amended =
            Draft { text: change_file("a", &STEPS, "links: [https://tickets.example/1]\n"), ..Draft::default() };
        handle.amend(&ada(), id, &amended, None).await.expect("it is a change file").expect("its author may");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        assert_eq!(world.weight(), ALL_TRAFFIC);
        assert!(!story(&log(&store, id).await).contains(&"VotesVoided".to_owned()));
    });
}

// F2: who amends from a file of before does not undo in silence what another has amended since.
#[test]
fn an_amendment_of_an_older_revision_is_refused_as_stale() {
    paused().block_on(async {
        let (world, store) = (World::new(24, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(ESCALATING, &[])).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        let amend = async |title: &str, revision: Option<u32>| {
            let draft = draft(title, Way::Regular);
            handle.amend(&ada(), id, &draft, revision).await.expect("it is a change file")
        };
        assert_eq!(amend("b", Some(1)).await.expect("it is the one of now").revision, 2);
        assert_eq!(rejection(amend("c", Some(1)).await), Rejection::StaleRevision { change: id, given: 1, now: 2 });
        assert_eq!(state(&handle, id).await.proposal.title, "b");
        assert_eq!(amend("c", Some(2)).await.expect("it is the one of now").revision, 3);
        assert_eq!(amend("d", None).await.expect("whichever it is").revision, 4);
    });
}

// LC3, PA4: the author, an outsider and a duplicate are refused, each with its reason.
#[test]
fn who_can_not_approve_is_told_why() {
    paused().block_on(async {
        let (world, store) = (World::new(3, Behaviour::GOOD), memory());
        let two = "rules:\n  - {require: [{by: approvers, count: 2, within: 8h}]}\n";
        let handle = start(&world, &store, rules(two, &[])).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| p == Phase::Assessed).await;
        assert!(matches!(rejection(approve(&handle, "ada", id).await), Rejection::OwnChange { .. }));
        assert!(matches!(rejection(approve(&handle, "eve", id).await), Rejection::NotAllowed { .. }));
        approve(&handle, "bob", id).await.expect("bob may");
        assert!(matches!(rejection(approve(&handle, "bob", id).await), Rejection::AlreadyVoted { .. }));
        assert_eq!(state(&handle, id).await.phase(), Phase::Assessed, "one of two is not enough");
        approve(&handle, "cyd", id).await.expect("cyd may");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
    });
}

// X2, LC3: silence reminds, then asks the next group, and never approves.
#[test]
fn a_deadline_escalates_and_the_next_group_counts() {
    paused().block_on(async {
        let (world, store) = (World::new(4, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(ESCALATING, &[])).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| p == Phase::Assessed).await;
        assert!(matches!(rejection(approve(&handle, "cyd", id).await), Rejection::NotEntitled { .. }));
        pass(3).await;
        assert!(world.notices().iter().any(|(_, said)| said.contains("waits for the approval of `sre`")));
        pass(2).await;
        assert!(reasons(&state(&handle, id).await).contains("`sre` or `leads`"));
        assert!(world.notices().iter().any(|(_, said)| said.contains("`leads` is asked")));
        approve(&handle, "cyd", id).await.expect("the next group is asked by now");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        let silent = propose(&handle, &change_file("b", &STEPS, "")).await;
        assert_eq!(until(&handle, silent, Phase::is_terminal).await.phase(), Phase::Lapsed);
    });
}

// F2: a vote that nobody used in time counts no longer.
#[test]
fn a_vote_lapses_by_age() {
    paused().block_on(async {
        let (world, store) = (World::new(5, Behaviour::GOOD), memory());
        let slow = "rules:\n  - {require: [{by: approvers, count: 2, within: 30d}]}\n";
        let handle = start(&world, &store, rules(slow, &[])).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| p == Phase::Assessed).await;
        approve(&handle, "bob", id).await.expect("bob may");
        pass(24 * 8).await;
        approve(&handle, "cyd", id).await.expect("cyd may");
        let change = state(&handle, id).await;
        assert_eq!(change.phase(), Phase::Assessed, "the first vote is too old: {}", reasons(&change));
        assert!(change.votes.iter().all(|vote| vote.voter == user("cyd")) && world.deeds().is_empty());
        let voided = log(&store, id).await.into_iter().any(|r| matches!(r.event, Event::VotesVoided { .. }));
        assert!(voided);
    });
}

// F4: a soft rule is set aside by the right person with a reason, refused to the wrong one, and for this effect only.
#[test]
fn a_soft_rule_is_overridden_by_the_right_person_alone() {
    paused().block_on(async {
        let (world, store) = (World::new(6, Behaviour::GOOD), memory());
        let nobody = "rules: [{require: []}]\n";
        let handle = start(&world, &store, rules(nobody, &[("policy/weekend.rego", WEEKEND)])).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        let change = until(&handle, id, |p| p == Phase::Assessed).await;
        assert!(reasons(&change).contains("the shop is full"), "{}", reasons(&change));
        let set_aside = |reason: &str| Command::Override { code: "weekend".into(), reason: reason.into() };
        let wrong = handle.command(&bob(), id, set_aside("it is small")).await;
        assert!(matches!(rejection(wrong), Rejection::NotAnOverrider { .. }));
        let silent = handle.command(&user("cyd"), id, set_aside(" ")).await;
        assert!(matches!(rejection(silent), Rejection::ReasonNeeded));
        handle.command(&user("cyd"), id, set_aside("the shop is closed for repairs")).await.expect("a lead may");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        let refusals = store.read("refusals", 0).await.expect("the store answers").len();
        assert_eq!(refusals, 2, "refusals are entries");
    });
}

// F4: a hard rule falls only to two people together, which pages and owes a review.
#[test]
fn a_hard_rule_needs_two_hands_on_the_glass() {
    paused().block_on(async {
        let (world, store) = (World::new(7, Behaviour::GOOD), memory());
        let hard = WEEKEND.replace("level: soft", "level: hard").replace("#   override_by: [leads]\n", "");
        let handle = start(&world, &store, rules("rules: [{require: []}]\n", &[("policy/weekend.rego", &hard)])).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| p == Phase::Assessed).await;
        let glass = || Command::BreakGlass { reason: "the region is down".into() };
        let alone =
            handle.command(&user("cyd"), id, Command::Override { code: "weekend".into(), reason: "x".into() }).await;
        assert!(matches!(rejection(alone), Rejection::HardRule { .. }));
        handle.command(&ada(), id, glass()).await.expect("the first hand");
        assert!(matches!(rejection(handle.command(&ada(), id, glass()).await), Rejection::SecondPersonNeeded { .. }));
        assert!(world.deeds().is_empty());
        let change = handle.command(&bob(), id, glass()).await.expect("the second hand");
        assert!(change.owes(Debt::Review));
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        assert!(world.pages().iter().any(|(_, said)| said.contains("broke the glass over `weekend`")));
    });
}

// LC3, PA6, LC9: an emergency starts with one other person, owes the rest, and an overdue debt shuts the lane until it is paid.
#[test]
fn an_emergency_starts_at_once_and_leaves_a_debt_that_shuts_the_lane() {
    paused().block_on(async {
        let (world, store) = (World::new(8, Behaviour::GOOD), memory());
        let governance = rules(&format!("{ESCALATING}{EMERGENCY}"), &[]);
        let handle = start(&world, &store, governance).await;
        let way = || Way::Emergency { incident: "INC-1".into(), reason: "checkout is down".into() };
        let first = handle.propose_draft(&ada(), &draft("fix", way()), None).await.expect("ada may").id;
        let change = until(&handle, first, |p| p == Phase::Assessed).await;
        assert!(
            change.proposal.plan.steps.iter().all(|s| s.bake == Span::secs(10)),
            "steps are verified for less long"
        );
        assert!(matches!(rejection(approve(&handle, "bob", first).await), Rejection::NotEntitled { .. }));
        approve(&handle, "dan", first).await.expect("who is on call may");
        let change = until_ended(&handle, first).await;
        assert_eq!(change.phase(), Phase::Completed);
        assert!(change.owes(Debt::Approval) && change.owes(Debt::Review));
        pass(30).await;
        let nagged = world.notices().iter().any(|(id, said)| *id == first && said.contains("owes its approval"));
        assert!(nagged, "{:?}", world.notices());
        let second = handle.propose_draft(&ada(), &draft("again", way()), None).await.expect("ada may").id;
        until(&handle, second, |p| p == Phase::Assessed).await;
        approve(&handle, "dan", second).await.expect("who is on call may");
        let held = until(&handle, second, |p| matches!(p, Phase::Held { .. })).await;
        assert!(reasons(&held).contains("is shut while `ada` owes the approval of `CHG-1`"), "{}", reasons(&held));
        let paid = approve(&handle, "bob", first).await.expect("the owed approval");
        assert!(!paid.owes(Debt::Approval));
        assert_eq!(until_ended(&handle, second).await.phase(), Phase::Completed, "the lane is open again");
        let late = handle.command(&ada(), first, Command::Review { summary: "a time-out was missing".into() }).await;
        assert!(!late.expect("ada may").owes(Debt::Review));
    });
}

// LC9, PA6: a debt is that of the services, of who owns them and of the author, whatever the next change file says of its owner.
#[test]
fn another_owner_in_the_file_does_not_open_a_lane_that_a_debt_has_shut() {
    paused().block_on(async {
        let (world, store) = (World::new(21, Behaviour::GOOD), memory());
        let more = [("services/till.yaml", "name: till\nowner: leads\ntier: 3\n")];
        let handle = start(&world, &store, rules(&format!("{ESCALATING}{EMERGENCY}"), &more)).await;
        let way = || Way::Emergency { incident: "INC-1".into(), reason: "checkout is down".into() };
        let declare = async |who: &str, owner: &str, service: &str| {
            let text = change_file("fix", &STEPS, "").replace("owner: ada", &format!("owner: {owner}"));
            let text = text.replace("[shop]", &format!("[{service}]"));
            let draft = Draft { text, way: way(), ..Draft::default() };
            let id = handle.propose_draft(&user(who), &draft, None).await.expect("they may").id;
            until(&handle, id, |p| p == Phase::Assessed).await;
            approve(&handle, if who == "dan" { "ada" } else { "dan" }, id).await.expect("who is on call may");
            until(&handle, id, |p| p.is_terminal() || matches!(p, Phase::Held { .. })).await
        };
        assert_eq!(declare("ada", "ada", "shop").await.phase(), Phase::Completed);
        let deeds = world.deeds().len();
        pass(30).await;
        let same_service = declare("dan", "dan", "shop").await;
        assert!(reasons(&same_service).contains("is shut while `ada` owes"), "{}", reasons(&same_service));
        let same_author = declare("ada", "leads", "till").await;
        assert!(reasons(&same_author).contains("is shut while `ada` owes"), "{}", reasons(&same_author));
        let amended = change_file("fix", &STEPS, "").replace("owner: ada", "owner: eve");
        let draft = Draft { text: amended, ..Draft::default() };
        handle.amend(&ada(), same_author.id, &draft, None).await.expect("it is a change file").expect("its author may");
        pass(1).await;
        assert_eq!(world.deeds().len(), deeds, "no driver was called");
        assert_eq!(declare("dan", "leads", "till").await.phase(), Phase::Completed, "others owe nothing");
    });
}

// PA6: whoever declares an emergency sees at once who can agree to it, and that nobody can where nobody else is on call.
#[test]
fn an_emergency_says_beforehand_who_can_agree_and_that_nobody_can() {
    let gate = async |handle: &Handle, id: ChangeId| {
        let gates = handle.overview(id).await.expect("the store answers").expect("it is there").gates;
        let gate = gates.into_iter().find(|gate| gate.gate == change::gate::GateName::Approvals).expect("a gate");
        let change::gate::GateState::Closed { code, reason, who_can, .. } = gate.state else { panic!("it is closed") };
        (code, reason, who_can.unwrap_or_default())
    };
    let way = || Way::Emergency { incident: "INC-1".into(), reason: "checkout is down".into() };
    let alone = |members: &str| {
        let access = ACCESS.replace("members: [ada, dan]", &format!("members: [{members}]"));
        rules(&format!("{ESCALATING}{EMERGENCY}"), &[("access.yaml", &access)])
    };
    paused().block_on(async {
        let (world, store) = (World::new(21, Behaviour::GOOD), memory());
        let handle = start(&world, &store, alone("ada")).await;
        let id = handle.propose_draft(&ada(), &draft("fix", way()), None).await.expect("ada may").id;
        until(&handle, id, |p| p == Phase::Assessed).await;
        let (code, reason, who) = gate(&handle, id).await;
        assert_eq!(code, "nobody_to_agree");
        assert!(reason.contains("nobody else is left among `oncall` who has no part in the change"), "{reason}");
        assert!(who.contains("by putting `bob`, `cyd` or `dan` on call too"), "{who}");
        handle.govern(engine::InForce::new(alone("ada, dan")).expect("no policies")).await.expect("the store answers");
        let (code, _, who) = gate(&handle, id).await;
        assert_eq!((code.as_str(), who.as_str()), ("approvals_missing", "`oncall`: `dan`"));
        approve(&handle, "dan", id).await.expect("who is on call may");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
    });
}

// LC3, PA6: an emergency stays within its scope however it is amended, and whoever may declare none carries none on.
#[test]
fn an_amendment_does_not_carry_an_emergency_out_of_its_scope() {
    paused().block_on(async {
        let (world, store) = (World::new(20, Behaviour::GOOD), memory());
        let narrow = format!("{ESCALATING}{}", EMERGENCY.replace("watch: 20s", "watch: 20s, services: 1"));
        let access = ACCESS.replace("groups:", "  - {id: fay, roles: [{role: proposer}]}\ngroups:")
            + "  - {id: proposer, may: [propose, read]}\n";
        let more = [("services/till.yaml", "name: till\nowner: sre\ntier: 3\n"), ("access.yaml", &access)];
        let handle = start(&world, &store, rules(&narrow, &more)).await;
        let way = Way::Emergency { incident: "INC-1".into(), reason: "checkout is down".into() };
        let id = handle.propose_draft(&ada(), &draft("fix", way), None).await.expect("ada may").id;
        until(&handle, id, |p| p == Phase::Assessed).await;
        let amend = async |who: &str, file: String| {
            let draft = Draft { text: file, ..Draft::default() };
            handle.amend(&user(who), id, &draft, None).await.expect("it is a change file")
        };
        let wide = change_file("fix", &STEPS, "").replace("[shop]", "[shop, till]");
        let said = amend("ada", wide).await.expect_err("two are one too many").to_string();
        assert_eq!(said, "an emergency changes at most 1 service, and this one 2");
        let other = change_file("other", &STEPS, "");
        let refused = rejection(amend("fay", other.clone()).await);
        assert_eq!(refused, Rejection::NotAllowed { actor: user("fay"), permission: Permission::Emergency });
        assert_eq!(state(&handle, id).await.revision, 1, "nothing of it was taken");
        let kept = amend("ada", other).await.expect("within its scope");
        assert!(kept.proposal.course.emergency().is_some() && kept.revision == 2);
    });
}

// PA6: an emergency is limited in time; a bare incident or reason is refused.
#[test]
fn an_emergency_that_does_not_begin_in_time_lapses() {
    paused().block_on(async {
        let (world, store) = (World::new(9, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(&format!("{ESCALATING}{EMERGENCY}"), &[])).await;
        let bare = Way::Emergency { incident: " ".into(), reason: "x".into() };
        let refused = handle.propose_draft(&ada(), &draft("fix", bare), None).await;
        assert!(refused.is_err_and(|e| e.to_string().contains("needs the incident")));
        let way = Way::Emergency { incident: "INC-1".into(), reason: "checkout is down".into() };
        let stranger = handle.propose_draft(&user("eve"), &draft("fix", way.clone()), None).await;
        assert!(stranger.is_err_and(|e| e.to_string().contains("may not use the emergency lane")));
        let id = handle.propose_draft(&ada(), &draft("fix", way), None).await.expect("ada may").id;
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Lapsed);
        assert!(world.deeds().is_empty());
    });
}

// X20: one command stops all rollouts between two steps; a failing step is still rolled back, and releasing goes on by itself.
#[test]
fn a_stop_of_everything_holds_the_next_step_and_its_release_goes_on() {
    paused().block_on(async {
        let (world, store) = (World::new(10, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules("rules: [{require: []}]\n", &[])).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| matches!(p, Phase::RollingOut { step: 0 })).await;
        let refused = handle.stop_all(&user("eve"), "why not").await;
        assert!(refused.is_err_and(|e| e.to_string().contains("may not stop or release")));
        handle.stop_all(&bob(), "the network is unstable").await.expect("bob may");
        let held = until(&handle, id, |p| matches!(p, Phase::Held { step: Some(1) })).await;
        assert!(reasons(&held).contains("has stopped everything"), "{}", reasons(&held));
        assert_eq!(world.weight(), 2_500);
        handle.release_all(&bob(), "it is stable again").await.expect("bob may");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
    });
}

// LC3: somebody stands in for a while, never for an author, and no longer than was said.
#[test]
fn a_delegate_votes_in_anothers_place_for_a_while() {
    paused().block_on(async {
        let (world, store) = (World::new(11, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(ESCALATING, &[])).await;
        let stand_in = |from: &str, to: Option<&str>| Delegation {
            from: from.into(),
            to: to.map(str::to_owned),
            groups: [].into(),
            until: handle.until(Span::secs(86_400)),
            reason: "holidays".into(),
        };
        let others = handle.delegate(&user("eve"), stand_in("bob", Some("dan"))).await;
        assert!(others.is_err_and(|e| e.to_string().contains("may not rule who may what")));
        handle.delegate(&bob(), stand_in("bob", Some("dan"))).await.expect("for oneself");
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| p == Phase::Assessed).await;
        let change = approve(&handle, "dan", id).await.expect("dan stands in for bob");
        assert_eq!(change.votes[0].on_behalf.get("sre").map(String::as_str), Some("bob"));
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        // Bob's own change is not approved by who stands in for him.
        let own =
            handle.propose(&bob(), &change_file("b", &STEPS, ""), &BTreeMap::new(), None).await.expect("bob may").id;
        until(&handle, own, |p| p == Phase::Assessed).await;
        assert!(matches!(rejection(approve(&handle, "dan", own).await), Rejection::NotEntitled { .. }));
        pass(25).await;
        let late = propose(&handle, &change_file("c", &STEPS, "")).await;
        until(&handle, late, |p| p == Phase::Assessed).await;
        assert!(matches!(rejection(approve(&handle, "dan", late).await), Rejection::NotEntitled { .. }));
    });
}

// LC3: who governs gives nobody's seat to themselves, and giving it to another is an edit of the rules like any.
#[test]
fn who_governs_takes_no_seat_and_has_no_vote_on_what_waited_when_they_gave_one() {
    paused().block_on(async {
        let (world, store) = (World::new(22, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(ESCALATING, &[])).await;
        let seat = |from: &str, to: &str, group: &str, days: u64| Delegation {
            from: from.into(),
            to: Some(to.into()),
            groups: [group.to_owned()].into(),
            until: handle.until(Span::secs(days * 86_400)),
            reason: "holidays".into(),
        };
        let refused = async |actor: &str, delegation: Delegation| {
            let answer = handle.delegate(&user(actor), delegation).await;
            answer.expect_err("it can't be").to_string()
        };
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| p == Phase::Assessed).await;
        let own_hands = refused("dan", seat("bob", "dan", "sre", 1)).await;
        assert!(own_hands.contains("nobody takes the place of `bob` themselves"), "{own_hands}");
        let too_long = refused("bob", seat("bob", "dan", "sre", 91)).await;
        assert!(too_long.contains("at most 90d"), "{too_long}");
        let mistyped = refused("bob", seat("bob", "dan", "srs", 1)).await;
        assert_eq!(mistyped, "there is no group `srs` in access.yaml; did you mean `sre`?");
        assert!(matches!(rejection(approve(&handle, "dan", id).await), Rejection::NotEntitled { .. }));
        handle.delegate(&bob(), seat("ada", "dan", "approvers", 1)).await.expect("who governs may give it to another");
        assert!(matches!(rejection(approve(&handle, "bob", id).await), Rejection::Excluded { .. }));
        let next = propose(&handle, &change_file("b", &STEPS, "")).await;
        until(&handle, next, |p| p == Phase::Assessed).await;
        approve(&handle, "bob", next).await.expect("it was proposed afterwards");
        handle.delegate(&bob(), seat("bob", "dan", "sre", 90)).await.expect("one's own seat, for the longest time");
        let own = propose(&handle, &change_file("c", &STEPS, "")).await;
        until(&handle, own, |p| p == Phase::Assessed).await;
        handle.delegate(&bob(), seat("bob", "cyd", "sre", 1)).await.expect("one's own seat");
        approve(&handle, "bob", own).await.expect("giving one's own seat is no edit");
    });
}

// X2: where everybody who is asked is away, the next group is asked at once.
#[test]
fn a_group_that_is_away_is_not_waited_for() {
    paused().block_on(async {
        let (world, store) = (World::new(12, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(ESCALATING, &[])).await;
        let away = Delegation {
            from: "bob".into(),
            to: None,
            groups: [].into(),
            until: handle.until(Span::secs(7 * 86_400)),
            reason: "ill".into(),
        };
        handle.delegate(&bob(), away).await.expect("for oneself");
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| p == Phase::Assessed).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        approve(&handle, "cyd", id).await.expect("the next group is asked already");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        assert!(world.deeds().len() >= 2);
    });
}

// I10: who loses their place loses the votes that wait.
#[test]
fn the_votes_of_somebody_who_has_left_are_void() {
    paused().block_on(async {
        let (world, store) = (World::new(13, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(ESCALATING, &[])).await;
        let id = propose(&handle, &change_file("a", &STEPS, "when: 2100-01-01T00:00Z\n")).await;
        until(&handle, id, |p| p == Phase::Assessed).await;
        approve(&handle, "bob", id).await.expect("bob may");
        until(&handle, id, |p| p == Phase::Scheduled).await;
        let without = ACCESS.replace("{id: bob, roles: [{role: all}]}", "{id: bob, roles: [{role: reader}]}");
        let governance = rules(ESCALATING, &[("access.yaml", &without)]);
        handle.govern(engine::InForce::new(governance).expect("it compiles")).await.expect("the store answers");
        let change = until(&handle, id, |p| p == Phase::Assessed).await;
        assert!(change.votes.is_empty());
        assert!(log(&store, id).await.iter().any(|r| {
            matches!(&r.event, Event::VotesVoided { voters, .. } if voters == &[Actor::User("bob".into())])
        }));
    });
}

// LC3: a request for changes stands until it is taken back or the change is amended.
#[test]
fn a_request_for_changes_holds_what_has_its_votes() {
    paused().block_on(async {
        let (world, store) = (World::new(14, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules("rules: [{require: []}]\n", &[])).await;
        handle.stop_all(&bob(), "to look at it first").await.expect("bob may");
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| matches!(p, Phase::Held { .. })).await;
        let ask = Command::RequestChanges { reason: "make the first step smaller".into() };
        handle.command(&user("cyd"), id, ask).await.expect("cyd may");
        handle.release_all(&bob(), "looked at").await.expect("bob may");
        pass(2).await;
        let waits = state(&handle, id).await;
        assert!(reasons(&waits).contains("make the first step smaller") && world.deeds().is_empty());
        handle.command(&user("cyd"), id, Command::TakeBack { reason: "it is small".into() }).await.expect("their own");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
    });
}

// LC3: a vote that is taken back in a rollout holds the next step until somebody else agrees.
#[test]
fn a_vote_that_is_taken_back_in_a_rollout_holds_the_next_step() {
    paused().block_on(async {
        let (world, store) = (World::new(15, Behaviour::GOOD), memory());
        let two = "rules:\n  - {require: [{by: approvers, count: 1, within: 8h}]}\n";
        let handle = start(&world, &store, rules(two, &[])).await;
        let id = propose(&handle, &change_file("a", &STEPS, "")).await;
        until(&handle, id, |p| p == Phase::Assessed).await;
        approve(&handle, "bob", id).await.expect("bob may");
        until(&handle, id, |p| matches!(p, Phase::RollingOut { step: 0 })).await;
        handle
            .command(&bob(), id, Command::TakeBack { reason: "I missed the migration".into() })
            .await
            .expect("his own");
        let held = until(&handle, id, |p| matches!(p, Phase::Held { step: Some(1) })).await;
        assert!(reasons(&held).contains("took their approval back"), "{}", reasons(&held));
        approve(&handle, "cyd", id).await.expect("somebody else agrees");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
    });
}

// X20: what was deployed while nobody could be asked is put on record, with its debts.
#[test]
fn what_went_by_is_put_on_record_and_owes_an_approval_and_a_review() {
    paused().block_on(async {
        let (world, store) = (World::new(16, Behaviour::GOOD), memory());
        let handle = start(&world, &store, rules(ESCALATING, &[])).await;
        let way = |deployed_at| Way::Afterwards { deployed_at, reason: "Clearway was down".into() };
        let to_come = handle.until(Span::secs(60));
        let refused = handle.propose_draft(&ada(), &draft("a", way(to_come)), None).await;
        assert!(refused.is_err_and(|e| e.to_string().contains("still to come")));
        let now = handle.now();
        let id = handle.propose_draft(&ada(), &draft("a", way(now)), None).await.expect("ada may").id;
        let change = until_ended(&handle, id).await;
        assert_eq!(change.phase(), Phase::Completed);
        assert!(change.owes(Debt::Approval) && change.owes(Debt::Review));
        assert!(world.deeds().is_empty(), "nothing is deployed a second time");
        approve(&handle, "bob", id).await.expect("the owed approval");
        assert!(!state(&handle, id).await.owes(Debt::Approval));
    });
}

// PR5: the same rules come to the same, also for what went by a lane of its own; other ones are told by what is owed.
#[test]
fn a_replay_of_an_emergency_by_the_same_rules_differs_in_nothing() {
    paused().block_on(async {
        let (world, store) = (World::new(23, Behaviour::GOOD), memory());
        let handle = start(&world, &store, with_emergencies()).await;
        let way = Way::Emergency { incident: "INC-1".into(), reason: "checkout is down".into() };
        let id = handle.propose_draft(&ada(), &draft("fix", way), None).await.expect("ada may").id;
        until(&handle, id, |p| p == Phase::Assessed).await;
        approve(&handle, "dan", id).await.expect("who is on call may");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        let replay = async |approvals: Option<change::governance::Matrix>| {
            let since = change::Timestamp::UNIX_EPOCH;
            handle.replay_policy(&BTreeMap::new(), approvals, since).await.expect("it is replayed")
        };
        let same = replay(None).await;
        assert_eq!((same.assessed, same.same), (1, 1), "{:?}", same.differing);
        let stricter = replay(Some(rules(&ESCALATING.replace("count: 1", "count: 2"), &[]).approvals)).await;
        assert_eq!(stricter.ways, BTreeMap::from([(policy::compare::Way::OtherApprovers, 1)]));
    });
}
