//! X12: standard changes: approved once for all, suspended after failures, and never more than what was approved.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use change::governance::Governance;
use change::standard::{Standing, Template};
use change::{Actor, Change, ChangeId, Event, Phase};
use engine::ports::{Recorded, Store};
use engine::{CommandError, Draft, Handle, InForce, ProposeError};
use serde_json::json;
use sim::world::{Behaviour, ONE_OF_SRE, World, ada, bob, change_file, governance};

use crate::support::*;

const STEPS: [(&str, &str); 2] = [("25%", "30s"), ("100%", "30s")];

pub(crate) fn template(more: &str, top: &str) -> Template {
    let change = change_file("${name}", &STEPS, more).trim_end().replace('\n', "\n  ");
    let text = format!(
        "id: roll-shop\ntitle: Roll the shop\nowner: sre\nparameters: {{name: {{pattern: '[a-z]+', example: a}}}}\n\
         change:\n  {change}\nreview_by: 2027-12-31\n{top}"
    );
    let document = change::document::Document::from_yaml(&text).expect("YAML");
    Template::read(&document).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// Everything needs a vote of `sre`, but for the template. `ada` governs.
pub(crate) fn governed(template: Template) -> Governance {
    let mut governance = governance(ONE_OF_SRE);
    let mut access = serde_json::to_value(&governance.access).expect("JSON");
    access["roles"][0]["may"].as_array_mut().expect("a list").push(json!("freeze"));
    access["roles"].as_array_mut().expect("roles").push(json!({"id": "governor", "may": ["govern"]}));
    access["users"][0]["roles"].as_array_mut().expect("roles").push(json!({"role": "governor"}));
    governance.access = serde_json::from_value(access).expect("an access table");
    governance.standards = [(template.id.clone(), template)].into();
    governance
}

pub(crate) async fn propose_named(handle: &Handle, name: &str) -> ChangeId {
    let parameters = BTreeMap::from([("name".to_owned(), json!(name))]);
    match handle.propose_standard(&ada(), "roll-shop", &parameters, None).await {
        Ok(change) => change.id,
        Err(ProposeError::Invalid(problems)) => panic!("{problems:#?}"),
        Err(error) => panic!("{error}"),
    }
}

async fn ends_as(handle: &Handle, name: &str, phase: Phase) {
    let id = propose_named(handle, name).await;
    assert_eq!(until_ended(handle, id).await.phase(), phase, "{name}");
}

async fn of_template(store: &Arc<dyn Store>) -> Vec<Recorded> {
    store.read("standard/roll-shop", 0).await.expect("the store answers")
}

fn warnings(change: &Change) -> String {
    change.assessment.as_ref().map(|assessed| assessed.assessment.warnings.join("\n")).unwrap_or_default()
}

/// What waits for a vote goes the regular way.
async fn waits_for_votes(handle: &Handle, id: ChangeId) -> Change {
    let change = until(handle, id, |phase| phase == Phase::Assessed).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(state(handle, id).await.phase(), Phase::Assessed);
    change
}

// X12
#[test]
fn a_standard_change_is_suspended_after_two_failures_reinstated_and_counted_anew() {
    paused().block_on(async {
        let (world, store) = (World::new(1, Behaviour::FAILING), memory());
        let handle = start(&world, &store, governed(template("", ""))).await;
        ends_as(&handle, "a", Phase::RolledBack).await;
        assert!(of_template(&store).await.is_empty(), "one failure is none in a row of two");
        ends_as(&handle, "b", Phase::RolledBack).await;

        let log = of_template(&store).await;
        let [suspended] = log.as_slice() else { panic!("suspended once: {log:#?}") };
        assert_eq!(suspended.actor, Actor::Clearway(change::actor::Part::Policy));
        let reason = "2 in a row failed; after 2 it is suspended".to_owned();
        assert_eq!(suspended.event, Event::StandardSuspended { standard: "roll-shop".into(), failures: 2, reason });
        let told = world.notices();
        assert_eq!(told.iter().filter(|(_, said)| said.contains("`roll-shop` is suspended")).count(), 1, "{told:?}");

        let deeds = world.deeds().len();
        let regular = propose_named(&handle, "c").await;
        let change = waits_for_votes(&handle, regular).await;
        assert!(warnings(&change).contains("does not count: it is suspended: 2 in a row"), "{}", warnings(&change));
        assert_eq!(world.deeds().len(), deeds, "no driver was called");

        let refused = handle.reinstate(&bob(), "roll-shop", "it will be fine").await;
        assert!(matches!(refused, Err(CommandError::Rejected(_))), "{refused:?}");
        handle.drain().await;
        let handle = start(&world, &store, governed(template("", ""))).await;
        assert_eq!(of_template(&store).await.len(), 1, "a restart suspends nothing twice");
        handle.reinstate(&ada(), "roll-shop", "the pool is drained first now").await.expect("ada governs");

        ends_as(&handle, "d", Phase::RolledBack).await;
        let record = handle.standard("roll-shop").await.expect("the store answers").expect("it is there").record;
        assert_eq!((record.completed, record.failed, record.failed_in_a_row), (0, 3, 1), "counted anew");
        world.set_behaviour(Behaviour::GOOD);
        ends_as(&handle, "e", Phase::Completed).await;
        let now = handle.standard("roll-shop").await.expect("the store answers").expect("it is there");
        assert_eq!((now.record.completed, now.record.failed_in_a_row), (1, 0));
        assert!(now.record.last_used.is_some());
        assert_eq!(now.standing, Standing::Counts { warning: None });
        assert_eq!(of_template(&store).await.len(), 2);
    });
}

// X12: what a crash has kept from the log is derived from it again.
#[test]
fn a_suspension_that_is_missing_is_made_up_for_before_the_next_one_counts() {
    paused().block_on(async {
        let (world, store) = (World::new(2, Behaviour::FAILING), memory());
        let handle = start(&world, &store, governed(template("", "suspend_after: 3\n"))).await;
        ends_as(&handle, "a", Phase::RolledBack).await;
        ends_as(&handle, "b", Phase::RolledBack).await;
        handle.drain().await;
        let handle = start(&world, &store, governed(template("", "suspend_after: 2\n"))).await;
        assert!(of_template(&store).await.is_empty());
        let id = propose_named(&handle, "c").await;
        waits_for_votes(&handle, id).await;
        assert_eq!(of_template(&store).await.len(), 1);
    });
}

// X12, F2: what waits for its time begins only if the template that was approved is still in force.
#[test]
fn an_amended_template_approves_nothing_that_was_proposed_from_the_old_one() {
    paused().block_on(async {
        let (world, store) = (World::new(3, Behaviour::GOOD), memory());
        let later = change::time::after(sim::world::epoch(), change::Span::secs(3_600));
        let when = format!("when: {later}");
        let handle = start(&world, &store, governed(template(&when, ""))).await;
        let id = propose_named(&handle, "a").await;
        let change = until(&handle, id, |phase| phase == Phase::Scheduled).await;
        assert!(warnings(&change).contains("approved in advance as the standard change `roll-shop`"));

        let wider = governed(template(&when.replace(":00Z", ":01Z"), ""));
        handle.govern(InForce::new(wider).expect("no policies")).await.expect("the store answers");
        tokio::time::sleep(Duration::from_secs(7_200)).await;
        assert!(world.deeds().is_empty(), "no driver was called");
        let overview = handle.overview(id).await.expect("the store answers").expect("there is such a change");
        let said: Vec<String> = overview.gates.iter().map(|gate| format!("{gate:?}")).collect();
        assert!(
            said.iter().any(|gate| gate.contains("its template is another one since it was proposed")),
            "{said:#?}"
        );

        let draft = Draft { text: change_file("a", &STEPS, ""), ..Draft::default() };
        let amended = handle.amend(&ada(), id, &draft, None).await.expect("a valid file").expect("it may be amended");
        assert!(amended.proposal.course.is_regular(), "what a person has edited is no standard change");
        waits_for_votes(&handle, id).await;
    });
}

// X12, I10
#[test]
fn who_is_not_named_may_not_use_it_and_what_is_out_of_bounds_is_refused() {
    paused().block_on(async {
        let (world, store) = (World::new(4, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governed(template("", "may: [bob]\n"))).await;
        let ask = async |actor: Actor, name: &str| {
            let parameters = BTreeMap::from([("name".to_owned(), json!(name))]);
            handle.propose_standard(&actor, "roll-shop", &parameters, Some("key")).await
        };
        let refused = ask(ada(), "a").await.expect_err("ada is not named");
        assert_eq!(
            refused.to_string(),
            "the standard change `roll-shop` is for `bob`, and `user:ada` is not among them"
        );
        assert!(matches!(ask(bob(), "a\nowner: eve").await, Err(ProposeError::Parameters { .. })));
        let first = ask(bob(), "a").await.expect("bob is named");
        assert_eq!(ask(bob(), "a").await.expect("the same request").id, first.id);
        assert!(matches!(ask(bob(), "b").await, Err(ProposeError::KeyReused(_))));
        assert_eq!(until_ended(&handle, first.id).await.phase(), Phase::Completed);
    });
}
