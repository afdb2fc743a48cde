//! The calendar at the gate: who waits for a window, who passes it, and what `when: next-window` comes to.

use change::actor::Part;
use change::assessment::{Assessment, Window};
use change::batch::BatchStanding;
use change::calendar::{Almanac, Calendar, OnClose, Opening, Passage, Passes, Windows};
use change::course::{Course, Emergency};
use change::document::Document;
use change::gate::{self, Gate, GateName, GateState};
use change::governance::Governance;
use change::holds::{HoldOrder, ServiceHold};
use change::lifecycle::{Command, Event, Given, Phase, Rejection};
use change::proposal::Proposal;
use change::schedule::{self, When};
use change::time::{Span, Timestamp, after};
use change::{Actor, Permission};

use crate::world::{AUTHOR, DAY, ID, Life, allowed, freeze, open, proposal, sealed, start, user};

const HOUR: Span = Span::secs(3_600);

fn clearway(life: &Life) -> Given {
    open(Actor::Clearway(Part::Clock), life.now)
}

fn shut(opens_at: Option<Timestamp>) -> Windows {
    let owners = ["sre".to_owned()].into();
    Windows::Shut { names: vec!["mornings".into()], opens_at, owners, on_close: OnClose::FinishStep }
}

fn windows_gate(life: &Life, given: &Given) -> Gate {
    let gates = gate::ask(&life.change, given);
    gates.into_iter().find(|gate| gate.gate == GateName::Windows).expect("it is always asked")
}

fn begin(proposal: Proposal) -> Life {
    Life::begin(ID, proposal).scheduled()
}

// LC4
#[test]
fn a_change_that_windows_cover_begins_only_in_one_and_is_told_when() {
    let life = begin(proposal("shop@1"));
    let opens_at = Some(after(life.now, HOUR));
    let mut given = Given { windows: shut(opens_at), ..clearway(&life) };
    let gate = windows_gate(&life, &given);
    let GateState::Closed { code, reason, opens_at: said, who_can } = gate.state else { panic!("closed: {gate:?}") };
    assert_eq!((code.as_str(), said), ("outside_window", opens_at));
    assert_eq!(reason, "changes of `shop` begin only in the window `mornings`; it opens at `2026-06-01T13:00:00Z`");
    assert_eq!(who_can.as_deref(), Some("nobody: it opens by itself; or `sre`, by another window"));
    given.windows = Windows::Open { names: vec!["mornings".into()], on_close: OnClose::FinishStep };
    assert!(windows_gate(&life, &given).is_open());
}

// LC4
#[test]
fn a_freeze_wins_over_an_open_window_and_the_gate_opens_when_all_is_open() {
    let life = begin(proposal("shop@1"));
    let until = after(life.now, HOUR);
    let opening = Opening { at: Some(after(life.now, DAY)), obstacles: vec![] };
    let given = Given { frozen: vec![freeze(until)], opening: Some(opening), ..clearway(&life) };
    let gate = windows_gate(&life, &given);
    let GateState::Closed { code, opens_at, .. } = gate.state else { panic!("closed: {gate:?}") };
    assert_eq!((code.as_str(), opens_at), ("freeze", Some(after(life.now, DAY))));
}

// LC4, A4, PA5: of several things in the way, the last says when the gate opens.
#[test]
fn a_gate_that_several_things_close_says_each_and_opens_when_the_last_is_over() {
    let life = begin(proposal("shop@1"));
    let (soon, later, last) = (after(life.now, HOUR), after(life.now, DAY), after(life.now, DAY.times(2)));
    let batch = BatchStanding {
        name: "nightly".into(),
        window: "nights".into(),
        is_open: false,
        opens_at: Some(later),
        stopped: None,
    };
    let hold = hold(soon);
    let mut given = Given { windows: shut(Some(soon)), batch: Some(batch), holds: vec![hold], ..clearway(&life) };
    let gate = windows_gate(&life, &given);
    let GateState::Closed { code, opens_at, .. } = &gate.state else { panic!("closed: {gate:?}") };
    assert_eq!((code.as_str(), *opens_at), ("service_hold", Some(later)));
    let codes: Vec<&str> = gate.closed_by().iter().filter_map(code_of).collect();
    assert_eq!(codes, ["service_hold", "outside_window", "batch"]);
    let why = gate.why().expect("it is closed");
    assert!(why.contains("eve holds `shop`") && why.contains("`mornings`") && why.contains("`nightly`"), "{why}");

    // Where one of them names no time, none is promised; it need not be asked before the others are over.
    given.batch = given.batch.map(|batch| BatchStanding { opens_at: None, ..batch });
    let endless = windows_gate(&life, &given);
    assert_eq!((endless.state.opens_at(), endless.not_before()), (None, Some(soon)));

    // What is open now may be shut when the rest is over.
    let reopening = Opening { at: Some(last), obstacles: vec![] };
    let open_now = Windows::Open { names: vec!["mornings".into()], on_close: OnClose::FinishStep };
    let given = Given { windows: open_now, batch: None, reopening: Some(reopening), ..given };
    let again = windows_gate(&life, &given);
    assert_eq!(again.state.opens_at(), Some(last));
    assert!(again.why().is_some_and(|why| why.contains("once all else is over, the calendar is open at")), "{again:?}");
}

fn code_of(state: &GateState) -> Option<&str> {
    match state {
        GateState::Open => None,
        GateState::Closed { code, .. } => Some(code),
    }
}

fn hold(until: Timestamp) -> ServiceHold {
    let order = HoldOrder {
        hold: "HOLD-1".into(),
        services: ["shop".to_owned()].into(),
        team: None,
        environment: None,
        until,
        emergency: Passage::Allow,
        pause: false,
        reason: "the shop is slow".into(),
    };
    ServiceHold { order, by: user("eve"), since: start() }
}

// PA6
#[test]
fn an_emergency_passes_every_window_while_it_lasts() {
    let emergency = Emergency {
        incident: "INC-1".into(),
        reason: "checkout is down".into(),
        until: after(start(), HOUR),
        quorum: vec![],
        approval_within: DAY,
        review_within: HOUR,
    };
    let life = begin(sealed(Proposal { course: Course::Emergency(emergency), ..proposal("shop@1") }));
    assert!(windows_gate(&life, &Given { windows: shut(None), ..clearway(&life) }).is_open());
}

// LC4: the gate of windows is asked again at each step.
#[test]
fn a_window_that_ends_in_mid_rollout_holds_the_next_step_and_no_rollback() {
    let life = begin(proposal("shop@1")).step_begun().step_applied().judged(change::verification::Answer::Pass);
    let given = Given { windows: shut(None), ..open(Actor::Clearway(Part::Rollout), life.now) };
    let mut held = life.clone();
    let events = held.ask(Command::BeginStep { observed: serde_json::Value::Null }, &given).expect("it is held");
    assert!(matches!(events.as_slice(), [Event::Held { .. }]), "{events:#?}");
    let back = life.then(Command::Rollback { reason: "customers complain".into() });
    let undo = change::decide(&back.change, Command::BeginUndo, &Given { now: back.now, ..given });
    assert!(undo.is_ok_and(|events| matches!(events.first(), Some(Event::UndoBegun { .. }))));
}

fn planned(when: When, window: Window, given: impl Fn(&Life) -> Given) -> Life {
    let life = Life::begin(ID, Proposal { when, ..proposal("shop@1") });
    let effect = life.effect();
    let life = life.then(Command::Assess(Box::new(Assessment { window, ..allowed(effect, 1) })));
    let mut life = life.then(Command::Approve { effect, comment: None, signature: None });
    let given = given(&life);
    life.ask(Command::Schedule, &given).expect("it is approved");
    life
}

// LC4
#[test]
fn a_change_for_the_next_window_is_scheduled_for_the_opening_and_its_votes_last_until_then() {
    let far = after(start(), DAY.times(30));
    let life = planned(When::NextWindow, Window::Free, |life| Given {
        windows: shut(Some(far)),
        opening: Some(Opening { at: Some(far), obstacles: vec![] }),
        ..clearway(life)
    });
    assert_eq!((life.change.phase(), life.change.not_before()), (Phase::Scheduled, Some(far)));
    assert_eq!(life.change.votes[0].until, after(far, DAY.times(7)));
    let none = planned(When::NextWindow, Window::Free, |life| Given {
        windows: shut(None),
        opening: Some(Opening::default()),
        ..clearway(life)
    });
    assert_eq!(none.change.not_before(), Some(none.now), "it waits at the gate, which says why");
}

// LC4
#[test]
fn where_a_window_is_required_one_of_the_calendar_is_enough() {
    let life = planned(When::Now, Window::Required, clearway);
    let code = |life: &Life, given: &Given| windows_gate(life, given).code().map(str::to_owned);
    assert_eq!(code(&life, &clearway(&life)).as_deref(), Some("window_required"));
    let open_window = Windows::Open { names: vec!["w".into()], on_close: OnClose::FinishStep };
    assert_eq!(code(&life, &Given { windows: open_window, ..clearway(&life) }), None);
    let batch =
        BatchStanding { name: "nightly".into(), window: "nights".into(), is_open: true, opens_at: None, stopped: None };
    assert_eq!(code(&life, &Given { batch: Some(batch), ..clearway(&life) }), None, "that of its batch is one");
    let next = planned(When::NextWindow, Window::Required, clearway);
    let gate = windows_gate(&next, &clearway(&next));
    assert_eq!(gate.why().as_deref(), Some("windows: a change like this starts in a window, and no window covers it"));
}

// LC4, PA5: one that has a time of its own is not told that the calendar is open now, and one of a batch waits for the window of the batch.
#[test]
fn the_next_opening_is_looked_for_from_the_own_time_of_a_change_on_and_in_the_window_of_its_batch() {
    let text = "
windows: [{name: nights, kinds: [network], rrule: 'FREQ=DAILY;BYHOUR=22', duration: 4h, tz: UTC, owner: sre}]
freezes: [{name: audit, start: '2026-06-04T00:00:00', end: '2026-06-06T22:30:00', tz: UTC, reason: r, owner: o}]
batches: [{name: nightly, match: {kind: code}, window: nights, up_to: medium}]
";
    let calendar: Calendar = Document::from_yaml(text).and_then(|document| document.read()).expect("a calendar");
    let almanac = Almanac::of(&calendar);
    let governance = Governance { calendar, ..Governance::embedded("ada") };
    let opening = |when: When, now: Timestamp| {
        let life = Life::begin(ID, sealed(Proposal { when, ..proposal("shop@1") })).assessed();
        schedule::opening(&life.change, &governance, &almanac, &Passes::default(), now)
    };
    let instant = |text: &str| text.parse::<Timestamp>().expect("an instant");
    let asked = instant("2026-06-05T12:00:00Z");
    let own = opening(When::At(asked), start());
    assert_eq!(own.at, Some(instant("2026-06-06T22:30:00Z")));
    assert_eq!(
        own.in_words(),
        "the calendar opens at `2026-06-06T22:30:00Z`: the freeze `audit` until `2026-06-06T22:30:00Z` (r)"
    );
    let batched = opening(When::Now, start());
    assert_eq!(
        batched.in_words(),
        "the calendar opens at `2026-06-01T22:00:00Z`: outside of the window of its batch `nightly` until `2026-06-01T22:00:00Z`"
    );
    // The window of its batch opens twice in the freeze, and is open still when the freeze ends.
    assert_eq!(opening(When::Now, instant("2026-06-04T12:00:00Z")).at, Some(instant("2026-06-06T22:30:00Z")));
    let begun = Life::begin(ID, proposal("shop@1")).watching();
    let now = begun.now;
    let step = schedule::opening(&begun.change, &governance, &almanac, &Passes::default(), now);
    assert_eq!(step, Opening::now(now), "who has begun waits for no batch");
}

fn finance(life: &Life, who: &str, groups: &[&str]) -> Given {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    let may = [Permission::Propose, Permission::Approve].into();
    Given { groups, may, frozen: vec![freeze(after(life.now, DAY))], ..open(user(who), life.now) }
}

fn ask(life: &mut Life, until: Timestamp) -> Result<Vec<Event>, Rejection> {
    let given = finance(life, AUTHOR, &[]);
    let (freeze, reason) = ("quarter-end".to_owned(), "the tax rate changes".to_owned());
    life.ask(Command::AskException { freeze, until, reason }, &given)
}

fn grant(life: &mut Life, who: &str, groups: &[&str]) -> Result<Vec<Event>, Rejection> {
    let given = finance(life, who, groups);
    let until = life.change.exceptions.last().map_or(life.now, |asked| asked.until);
    life.ask(Command::GrantException { freeze: "quarter-end".into(), until }, &given)
}

// LC4: a yes is for what was read: who asks for more in the meantime is not granted it.
#[test]
fn an_exception_that_is_asked_for_anew_is_not_granted_by_a_yes_to_the_old_one() {
    let mut life = begin(proposal("shop@1"));
    let (noon, weeks) = (after(life.now, HOUR), after(life.now, Span::secs(31 * 86_400)));
    ask(&mut life, noon).expect("who may propose may ask");
    ask(&mut life, weeks).expect("and ask anew");
    let given = finance(&life, "cyd", &["team-finance"]);
    let yes = |until| Command::GrantException { freeze: "quarter-end".into(), until };
    let refused = life.ask(yes(noon), &given).expect_err("cyd has not read it");
    assert!(matches!(refused, Rejection::StaleException { .. }), "{refused}");
    assert!(refused.help().is_some_and(|help| help.contains(&format!("--until {weeks}"))), "{refused}");
    assert_eq!(frozen(&life).code(), Some("freeze"));
    life.ask(yes(weeks), &given).expect("cyd has read it");
    assert!(frozen(&life).is_open());
}

fn frozen(life: &Life) -> Gate {
    windows_gate(life, &finance(life, "bob", &[]))
}

// LC4: what passes a freeze is one change, for a time, by the word of its owner; and it stands at the gate.
#[test]
fn an_exception_is_asked_for_granted_by_the_owner_of_the_freeze_and_lapses_by_itself() {
    let mut life = begin(proposal("shop@1"));
    assert_eq!(frozen(&life).code(), Some("freeze"));
    let until = after(life.now, HOUR);
    ask(&mut life, until).expect("who may propose may ask");
    let GateState::Closed { who_can, .. } = frozen(&life).state else { panic!("asking opens nothing") };
    assert!(who_can.is_some_and(|who| who.contains("`team-finance`, by granting the exception until")));
    let stranger = grant(&mut life, "bob", &["sre"]).expect_err("bob owns nothing of it");
    assert!(matches!(stranger, Rejection::NotFreezeOwner { .. }), "{stranger}");
    let own = grant(&mut life, AUTHOR, &["team-finance"]).expect_err("the author owns the freeze, and may not");
    assert!(matches!(own, Rejection::OwnException { .. }), "{own}");
    grant(&mut life, "cyd", &["team-finance"]).expect("cyd is of the owners");
    let open = frozen(&life);
    assert!(open.is_open());
    assert_eq!(
        open.warnings,
        [
            "it passes the freeze `quarter-end` until `2026-06-01T13:00:00Z` by an exception that user:cyd granted: the tax rate changes"
        ]
    );
    assert_eq!(frozen(&life.later(HOUR)).code(), Some("freeze"));
}

// F2: an exception is for exactly this.
#[test]
fn an_exception_falls_with_the_effect_and_passes_no_other_freeze() {
    let mut life = begin(proposal("shop@1"));
    let until = after(life.now, DAY);
    ask(&mut life, until).expect("asked");
    grant(&mut life, "cyd", &["team-finance"]).expect("granted");
    let mut other = finance(&life, "bob", &[]);
    other.frozen[0].name = "audit".into();
    assert_eq!(windows_gate(&life, &other).code(), Some("freeze"), "another freeze is another's to pass");
    let amended = life.then(Command::Amend { proposal: Box::new(proposal("shop@2")), revision: None });
    assert_eq!(frozen(&amended).code(), Some("freeze"));
}

fn revoke(life: &mut Life, who: &str, groups: &[&str]) -> Result<Vec<Event>, Rejection> {
    let given = finance(life, who, groups);
    life.ask(Command::RevokeException { freeze: "quarter-end".into(), reason: "it is not needed".into() }, &given)
}

// LC4: what was granted is ended by its owner, by who asked for it and by who granted it, and closes the gate at once.
#[test]
fn an_exception_is_revoked_by_who_owns_the_freeze_or_has_a_part_in_it_and_by_nobody_else() {
    for (who, groups) in [("dan", &["team-finance"][..]), ("cyd", &[]), (AUTHOR, &[])] {
        let mut life = begin(proposal("shop@1"));
        let nothing = revoke(&mut life, "cyd", &["team-finance"]).expect_err("nobody has asked");
        assert!(nothing.to_string().contains("none of `quarter-end` is asked for or granted"), "{nothing}");
        let until = after(life.now, HOUR);
        ask(&mut life, until).expect("asked");
        grant(&mut life, "cyd", &["team-finance"]).expect("granted");
        assert!(frozen(&life).is_open());
        let stranger = revoke(&mut life, "eve", &["sre"]).expect_err("eve has no part in it");
        assert!(matches!(stranger, Rejection::NotFreezeOwner { .. }), "{stranger}");
        revoke(&mut life, who, groups).unwrap_or_else(|no| panic!("{who}: {no}"));
        assert_eq!(frozen(&life).code(), Some("freeze"), "{who}");
        assert!(revoke(&mut life, who, groups).is_err(), "once is enough");
        ask(&mut life, until).expect("it can be asked for again");
        let GateState::Closed { who_can, .. } = frozen(&life).state else { panic!("nobody has granted it again") };
        assert!(who_can.is_some_and(|who| who.contains("by granting the exception until")));
    }
}

// LC4
#[test]
fn an_exception_is_refused_in_words_of_its_own_and_asked_for_once() {
    let mut life = begin(proposal("shop@1"));
    let until = after(life.now, HOUR);
    assert!(!ask(&mut life, until).expect("asked").is_empty());
    assert!(ask(&mut life, until).expect("it is asked for").is_empty(), "nobody is told twice");
    let own = grant(&mut life, AUTHOR, &["team-finance"]).expect_err("never one's own");
    assert!(own.to_string().contains("an exception is granted by somebody else"), "{own}");
    assert!(own.help().is_some_and(|help| help.contains("ask the owner of the freeze")));
    grant(&mut life, "cyd", &["team-finance"]).expect("granted");
    let again = grant(&mut life, "eve", &["team-finance"]).expect_err("it is granted");
    assert!(again.to_string().contains("user:cyd granted it already"), "{again}");
    let over = life.now;
    let past = ask(&mut life, over).expect_err("it is over");
    assert!(matches!(past, Rejection::BadEnd { .. }) && past.help().is_none(), "{past}");
}

// LC4
#[test]
fn a_reason_that_nobody_reads_is_refused() {
    let mut life = begin(proposal("shop@1"));
    let given = finance(&life, AUTHOR, &[]);
    let until = after(life.now, HOUR);
    let long = Command::AskException { freeze: "quarter-end".into(), until, reason: "x".repeat(4_001) };
    let refused = life.ask(long, &given).expect_err("it is too long");
    assert_eq!(refused.to_string(), "the reason has 4001 characters, and at most 4000 are taken");
}

// LC4
#[test]
fn an_exception_without_an_end_or_of_nothing_is_refused() {
    let mut life = begin(proposal("shop@1"));
    let over = life.now;
    let refused = |answer: Result<Vec<Event>, Rejection>| answer.expect_err("refused").to_string();
    assert!(refused(ask(&mut life, over)).contains("is over already"));
    let far = after(life.now, DAY.times(40));
    assert!(refused(ask(&mut life, far)).contains("an exception lasts at most 31d"));
    assert!(refused(grant(&mut life, "cyd", &["team-finance"])).contains("nobody asks"));
    let none = Given { freezes: Default::default(), ..finance(&life, AUTHOR, &[]) };
    let ask = Command::AskException { freeze: "x".into(), until: after(life.now, HOUR), reason: "r".into() };
    assert!(matches!(life.ask(ask, &none), Err(Rejection::NoSuchFreeze { .. })));
}
