//! What people are told of a change that waits or is paused: never more than is true, and always the way out.

use change::Actor;
use change::actor::Part;
use change::assessment::{Assessment, Risk};
use change::calendar::{OnClose, Windows};
use change::explain;
use change::lifecycle::{Command, Event, Given};
use change::on_call::Duty;
use change::proposal::Proposal;
use change::rollout::PauseReason;
use change::schedule::When;
use change::time::{Span, Timestamp, after};

use crate::world::{ID, Life, allowed, open, proposal};

const HOUR: Span = Span::secs(3_600);

fn approved_at_high_risk() -> Life {
    let life = Life::begin(ID, Proposal { when: When::Now, ..proposal("shop@1") });
    let effect = life.effect();
    let life = life.then(Command::Assess(Box::new(Assessment { level: Risk::High, ..allowed(effect, 1) })));
    life.then(Command::Approve { effect, comment: None, signature: None })
}

fn shut(life: &Life, opens_at: Timestamp) -> Given {
    let windows = Windows::Shut {
        names: vec!["mornings".into()],
        opens_at: Some(opens_at),
        owners: ["sre".to_owned()].into(),
        on_close: OnClose::FinishStep,
    };
    Given { windows, ..with_duty(life) }
}

fn with_duty(life: &Life) -> Given {
    let named = ["sre".to_owned()].into();
    let duty = Duty { named, users: ["eve".to_owned()].into(), ..Duty::default() };
    Given { duty, ..open(Actor::Clearway(Part::Clock), life.now) }
}

fn told(events: &[Event]) -> Vec<&str> {
    events.iter().filter_map(reason).collect()
}

fn reason(event: &Event) -> Option<&str> {
    match event {
        Event::PageOwed { reason, .. } => Some(reason),
        _ => None,
    }
}

// A4
#[test]
fn people_on_call_hear_that_a_change_waits_and_hear_again_when_it_begins() {
    let mut life = approved_at_high_risk();
    let opens_at = after(life.now, HOUR);
    let given = shut(&life, opens_at);
    let events = life.ask(Command::Schedule, &given).expect("it is scheduled");
    let [said] = told(&events)[..] else { panic!("{events:#?}") };
    assert!(said.contains("begins once `windows` is open, at `2026-06-01T13:00:00Z` by itself"), "{said}");
    assert!(!said.contains("begins now"), "{said}");
    life.ask(Command::BeginStep { observed: serde_json::Value::Null }, &given).expect("it is held");
    let life = life.later(HOUR);
    let mut life = life;
    let given = Given { actor: Actor::Clearway(Part::Rollout), ..with_duty(&life) };
    let events = life.ask(Command::BeginStep { observed: serde_json::Value::Null }, &given).expect("it begins");
    let [said] = told(&events)[..] else { panic!("{events:#?}") };
    assert!(said.contains("that had to wait begins now"), "{said}");
}

// A4
#[test]
fn people_on_call_hear_once_of_a_change_that_begins_at_once() {
    let mut life = approved_at_high_risk();
    let given = with_duty(&life);
    let events = life.ask(Command::Schedule, &given).expect("it is scheduled");
    assert!(told(&events)[..].iter().all(|said| said.contains("begins now")), "{events:#?}");
    let given = Given { actor: Actor::Clearway(Part::Rollout), ..given };
    let events = life.ask(Command::BeginStep { observed: serde_json::Value::Null }, &given).expect("it begins");
    assert!(told(&events).is_empty(), "{events:#?}");
}

// LC4, A4: what paused it may be over long ago, and nobody should have to look for the command.
#[test]
fn a_paused_change_says_how_it_goes_on_and_who_may() {
    let life = Life::begin(ID, proposal("shop@1")).scheduled().step_begun().step_applied();
    let halt = Command::Halt {
        why: PauseReason::Hold,
        reason: "dan held `shop`: it is slow".into(),
        by: ["HOLD-1".to_owned()].into(),
    };
    let said = explain::headline(&life.then(halt).change);
    assert!(said.contains("dan held `shop`"), "{said}");
    assert!(
        said.contains(&format!("`clearway resume {ID}` by somebody with the permission `resume` for `shop`")),
        "{said}"
    );
}
