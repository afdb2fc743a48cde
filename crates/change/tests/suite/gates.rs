//! Gates, clocks and records at their edges: what holds although gates only report, what an emergency loses when it is over, what a vote for a time is
//! worth when the time is another, and what two folds say of one debt.

use change::actor::Part;
use change::aftermath::Debt;
use change::assessment::{Assessment, Requirement, Window};
use change::budget::{BudgetPolicy, BudgetStanding, BudgetState, Burning, ResumeBy};
use change::catalog::Gating;
use change::circumstances::{Circumstances, Stopped};
use change::course::{Course, Emergency, Standard};
use change::gate::{self, Gate};
use change::halt;
use change::lifecycle::{Command, Event, Given, Phase};
use change::proposal::Proposal;
use change::rollout::PauseReason;
use change::schedule::When;
use change::time::{Span, Timestamp, after};
use change::verification::Answer;
use change::{Actor, Digest};
use serde_json::json;

use crate::world::{DAY, GROUP, ID, Life, allowed, freeze, open, proposal, sealed, start, user};

const HOUR: Span = Span::secs(3_600);

fn clearway(part: Part, life: &Life) -> Given {
    open(Actor::Clearway(part), life.now)
}

fn begin_step() -> Command {
    Command::BeginStep { observed: json!(null) }
}

/// The codes of the gates that hold the change.
fn holding(life: &Life, given: &Given) -> Vec<String> {
    gate::ask(&life.change, given).iter().filter(|g| g.holds()).filter_map(Gate::code).map(str::to_owned).collect()
}

fn emergency(until: Timestamp) -> Proposal {
    let emergency = Emergency {
        incident: "INC-1".into(),
        reason: "checkout is down".into(),
        until,
        quorum: vec![],
        approval_within: DAY,
        review_within: HOUR,
    };
    sealed(Proposal { course: Course::Emergency(emergency), ..proposal("shop@1") })
}

fn circumstances(life: &Life) -> Circumstances {
    let mut all = Circumstances::default();
    life.log.iter().for_each(|(event, actor, at)| all.add(Some(ID), event, actor, *at));
    all
}

// X20: a stop is no gate of a service's own: no step begins anywhere.
#[test]
fn a_stop_of_everything_holds_services_that_are_only_observed() {
    let observed = sealed(Proposal { gating: Gating::Observe, ..proposal("shop@1") });
    let mut life = Life::begin(ID, observed).scheduled();
    let mut given = Given { gating: Gating::Observe, ..clearway(Part::Rollout, &life) };
    given.frozen = vec![freeze(after(life.now, HOUR))];
    assert!(holding(&life, &given).is_empty(), "a freeze only reports");
    given.stopped = Some(Stopped { by: user("cyd"), reason: "an outage".into(), since: life.now });
    assert_eq!(holding(&life, &given), ["stopped"]);
    let events = life.ask(begin_step(), &given).expect("it is held");
    assert!(matches!(events.as_slice(), [Event::Held { .. }]), "{events:#?}");
}

// PA6: what did not begin in time is no emergency any more, whoever is faster: the clock or a pipeline.
#[test]
fn an_emergency_that_is_over_begins_nothing() {
    let life = Life::begin(ID, emergency(after(start(), HOUR))).scheduled();
    assert!(holding(&life, &clearway(Part::Rollout, &life)).is_empty());
    let late = life.later(HOUR);
    assert_eq!(holding(&late, &clearway(Part::Rollout, &late)), ["emergency_over"]);
}

// PA6: the right to pass a freeze ends with the emergency, owed or approved.
#[test]
fn an_emergency_passes_freezes_until_it_is_over() {
    let life = Life::begin(ID, emergency(after(start(), HOUR))).scheduled();
    let frozen = |life: &Life| {
        let freezes = vec![freeze(after(life.now, DAY))];
        holding(life, &Given { frozen: freezes, ..clearway(Part::Rollout, life) })
    };
    assert!(frozen(&life).is_empty());
    let next = life.step_begun().step_applied().judged(Answer::Pass);
    assert!(!next.change.owes(Debt::Approval), "nothing is owed that could hold it");
    assert!(frozen(&next).is_empty());
    let late = next.later(HOUR);
    assert_eq!(frozen(&late), ["freeze"]);
    assert!(holding(&late, &clearway(Part::Rollout, &late)).is_empty(), "without a freeze it goes on");
}

// LC9: the change, the list of debts and the lane say one date.
#[test]
fn a_debt_that_is_owed_twice_is_due_at_one_time_wherever_it_is_asked() {
    let life = Life::begin(ID, emergency(after(start(), DAY))).scheduled().step_begun().step_applied();
    let back = life.then(Command::Rollback { reason: "customers complain".into() }).then(Command::BeginUndo);
    let back = back.then(Command::ReportUndone { observed: json!(null) });
    let owed = &back.change.debts[&Debt::Review];
    assert_eq!(owed.due, after(start(), HOUR), "it was due then already");
    let all = circumstances(&back);
    let listed = all.debts();
    let [listed] = listed.as_slice() else { panic!("one debt: {listed:#?}") };
    assert_eq!((listed.due, &listed.reason), (owed.due, &owed.reason));
    assert_eq!(all.overdue(after(start(), HOUR)).count(), 1, "the lane is shut when it is due");
}

fn asks(requires: Vec<Requirement>, effect: Digest) -> Assessment {
    Assessment { requires, ..allowed(effect, 1) }
}

// X2: one silence asks one more group, however many reasons there are to ask it.
#[test]
fn a_deadline_that_passes_while_everybody_is_away_asks_one_group() {
    let escalate = vec!["leads".to_owned(), "board".to_owned()];
    let requires = vec![Requirement { escalate, ..Requirement::of(GROUP, 1, HOUR) }];
    let life = Life::begin(ID, proposal("shop@1"));
    let effect = life.effect();
    let mut late = life.then(Command::Assess(Box::new(asks(requires, effect)))).later(HOUR);
    let given = Given { away: [GROUP.to_owned()].into(), ..clearway(Part::Clock, &late) };
    let events = late.ask(Command::Call, &given).expect("it is time");
    let escalated = |e: &&Event| matches!(e, Event::Escalated { .. });
    assert_eq!(events.iter().filter(escalated).count(), 1, "{events:#?}");
    let standing = late.change.standing(late.now);
    assert_eq!(standing[0].asked, [GROUP, "leads"], "the board was not told");
}

fn at(hours: u64) -> When {
    When::At(after(start(), HOUR.times(hours)))
}

fn planned(when: When, window: Window) -> Life {
    let life = Life::begin(ID, Proposal { when, ..proposal("shop@1") });
    let effect = life.effect();
    let assessment = Assessment { window, ..allowed(effect, 1) };
    let life = life.then(Command::Assess(Box::new(assessment)));
    life.then(Command::Approve { effect, comment: None, signature: None })
}

fn moved(life: Life, when: When) -> Life {
    let proposal = Box::new(Proposal { when, ..life.change.proposal.clone() });
    life.then(Command::Amend { proposal, revision: None })
}

// F2: a vote for a planned time is for no other.
#[test]
fn a_vote_for_a_window_falls_with_the_planned_time() {
    let life = planned(at(200), Window::Required);
    assert_eq!(life.change.phase(), Phase::Approved);
    let retitled = Proposal { title: "the same".into(), ..life.change.proposal.clone() };
    let kept = life.clone().then(Command::Amend { proposal: Box::new(retitled), revision: None });
    assert_eq!(kept.change.votes.len(), 1, "the time is the same");
    let other = moved(life, at(100));
    assert!(other.change.votes.is_empty());
    assert!(matches!(other.log.last(), Some((Event::VotesVoided { .. }, ..))));
    assert_eq!(moved(planned(at(200), Window::Free), at(100)).change.votes.len(), 1, "no time was asked for");
}

// F2: where it turns out only afterwards that the time matters, those who voted before it was planned have not seen it.
#[test]
fn an_assessment_that_asks_for_a_window_voids_votes_for_another_time() {
    let life = moved(planned(at(200), Window::Free).later(HOUR), at(100)).later(HOUR);
    let effect = life.effect();
    let assessment = Assessment { window: Window::Required, ..allowed(effect, 1) };
    let life = life.then(Command::Assess(Box::new(assessment.clone())));
    assert!(life.change.votes.is_empty());
    assert_eq!(life.change.phase(), Phase::Assessed);
    let voted = life.then(Command::Approve { effect, comment: None, signature: None });
    assert_eq!(voted.change.phase(), Phase::Approved, "who has seen the time may say yes to it");
    let again = voted.later(DAY);
    let retitled = Proposal { title: "the same".into(), ..again.change.proposal.clone() };
    let again = again.then(Command::Amend { proposal: Box::new(retitled), revision: None });
    assert_eq!(again.then(Command::Assess(Box::new(assessment))).change.votes.len(), 1, "the time is the same");
}

// F2: a change that is brought forward does not start on old votes, and one that is put off gets no older ones.
#[test]
fn a_vote_lasts_no_longer_than_for_the_time_that_was_planned() {
    let life = planned(at(24 * 365), Window::Free);
    assert_eq!(life.change.votes[0].until, after(start(), HOUR.times(24 * 372)));
    let sooner = moved(life.clone().later(DAY.times(30)), When::Now);
    assert_eq!(sooner.change.votes[0].until, after(start(), DAY.times(7)), "as if it had been cast for that time");
    let later = moved(life, at(24 * 730));
    assert_eq!(later.change.votes[0].until, after(start(), HOUR.times(24 * 372)), "nobody said yes to a later time");
}

// X12: an instance whose verdict is `fail` has failed, whoever decides what becomes of it.
#[test]
fn a_failure_that_is_not_rolled_back_counts_once() {
    let standard = Standard { id: "roll-shop".into(), template: Digest::of_bytes(b"t"), parameters: [].into() };
    let mut by_hand = proposal("shop@1");
    by_hand.rollback.automatic = false;
    by_hand.course = Course::Standard(standard);
    let failed = |life: &Life| circumstances(life).standard("roll-shop");
    let life = Life::begin(ID, sealed(by_hand)).scheduled().step_begun().step_applied();
    let paused = life.judged(Answer::Fail);
    assert!(matches!(paused.change.phase(), Phase::Paused { .. }));
    assert_eq!((failed(&paused).failed, failed(&paused).failed_in_a_row), (1, 1));
    let back = paused.clone().then(Command::Rollback { reason: "it failed".into() });
    assert_eq!((failed(&back).failed, failed(&back).failed_in_a_row), (1, 1));
    let on = paused.then(Command::Resume { found: None }).judged(Answer::Fail);
    assert_eq!(failed(&on).failed, 1, "the same instance");
}

fn burning(service: &str, since: Timestamp) -> BudgetStanding {
    let policy = BudgetPolicy::default();
    let burning = Burning { sli: "errors".into(), window: policy.windows[0], rate: 3.0, since };
    BudgetStanding {
        state: BudgetState { burning: Some(burning), unknown: None, ..BudgetState::unread(service) },
        band: None,
        let_through: policy.let_through.clone(),
        on_unreachable: policy.on_unreachable,
        begun: vec![],
        before: None,
    }
}

// A2: each burn pauses a rollout once: who resumes has decided about those that were there, and about no later one.
#[test]
fn each_burn_pauses_once_and_one_that_comes_later_pauses_again() {
    let mut life = Life::begin(ID, proposal("shop@1")).scheduled().step_begun().step_applied();
    let given = |budgets: Vec<BudgetStanding>, now| Given {
        budgets,
        after_burn: ResumeBy::Automatic,
        ..open(Actor::Clearway(Part::Clock), now)
    };
    let (shop, till) = (burning("shop", life.now), burning("till", after(life.now, Span::secs(60))));
    let alone = given(vec![shop.clone()], life.now);
    let halts = halt::due(&life.change, &alone).expect("it burns");
    life.ask(halts.clone(), &alone).expect("it is paused");
    assert_eq!(halt::due(&life.change, &alone), None, "it is paused already");
    let mut life = life.then(Command::Resume { found: None });
    assert_eq!(halt::due(&life.change, &alone), None, "who resumes has decided so");
    assert_eq!(life.ask(halts, &alone), Ok(vec![]), "whatever was asked a moment before");
    let both = given(vec![shop, till], life.now);
    let again = halt::due(&life.change, &both).expect("another one burns");
    life.ask(again, &both).expect("it is paused");
    assert!(life.change.rollout().and_then(|r| r.pause.as_ref()).is_some_and(|p| p.reason.contains("`till`")));
    let over = given(vec![], life.now);
    assert_eq!(halt::due(&life.change, &over), Some(Command::GoOn { why: PauseReason::Burn }));
    assert_eq!(halt::due(&life.change, &Given { after_burn: ResumeBy::Ask, ..over }), None);
}
