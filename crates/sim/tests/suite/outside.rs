//! X20: pipelines that perform the steps themselves, and their silence.

use change::lifecycle::Found;
use change::lifecycle::outside::{Ended, Report};
use change::rollout::PauseReason;
use change::{Command, Event, Phase};
use engine::CommandError;
use sim::world::{Behaviour, NOBODY, World, ada, bob, change_file, governance};

use crate::support::*;

const STEPS: [(&str, &str); 2] = [("25%", "30s"), ("100%", "30s")];

fn file() -> String {
    let ours = "{driver: pipeline, name: deploy-shop, resource: shop, canary: new, stable: old}";
    let file = change_file("a", &STEPS, "");
    assert!(file.contains("{driver: world, resource: shop}"), "{file}");
    file.replace("{driver: world, resource: shop}", ours)
}

fn said(ended: Ended) -> Report {
    Report { ended, note: None, step: None, attempt: None }
}

// X20, F8: silence is no success: after the deadline of the step nobody knows, people are paged, and they say what they found.
#[test]
fn a_pipeline_that_falls_silent_leaves_an_unknown_outcome_for_people() {
    paused().block_on(async {
        let (world, store) = (World::new(1, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &file()).await;
        until(&handle, id, |p| p == Phase::Scheduled).await;
        tokio::time::sleep(std::time::Duration::from_secs(3_600)).await;
        assert_eq!(state(&handle, id).await.phase(), Phase::Scheduled, "it begins when the pipeline asks to");
        let begun = handle.begin(&ada(), id).await.expect("every gate is open");
        let deadline = begun.proposal.plan.steps[0].deadline;
        tokio::time::sleep(std::time::Duration::from_millis(deadline.as_millis() - 1_000)).await;
        assert_eq!(state(&handle, id).await.phase(), Phase::RollingOut { step: 0 });
        let silent = until(&handle, id, |p| matches!(p, Phase::Paused { .. })).await;
        assert_eq!(silent.rollout().and_then(|r| r.pause.as_ref()).map(|p| p.why), Some(PauseReason::UnknownOutcome));
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        assert!(world.pages().iter().any(|(_, reason)| reason.contains("nobody can say")), "{:?}", world.pages());
        let late = handle.finish(&ada(), id, said(Ended::Succeeded)).await;
        assert!(matches!(late, Err(CommandError::Rejected(change::Rejection::Stale { .. }))), "{late:?}");
        handle.command(&bob(), id, Command::Resume { found: Some(Found::NotApplied) }).await.expect("bob may");
        assert!(world.deeds().is_empty(), "no driver was called");
        let again = handle.begin(&ada(), id).await.expect("the same step once more");
        assert_eq!(again.rollout().map(|r| (r.step, r.attempt)), Some((0, 2)));
        let of_before = Report { attempt: Some(1), ..said(Ended::Succeeded) };
        assert!(
            handle.finish(&ada(), id, of_before).await.is_err(),
            "a report of the attempt before is not taken for this one"
        );
    });
}

// X20, F8: each step is begun by the pipeline, and judged; a rollback waits for the pipeline as long as a step would, then people are called; what the
// pipeline says after that still counts.
#[test]
fn a_rollback_waits_for_the_pipeline_that_has_to_do_it() {
    paused().block_on(async {
        let (world, store) = (World::new(2, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &file()).await;
        until(&handle, id, |p| p == Phase::Scheduled).await;
        assert!(handle.finish(&ada(), id, said(Ended::Succeeded)).await.is_err(), "nothing has begun");
        handle.begin(&ada(), id).await.expect("every gate is open");
        handle.command(&bob(), id, Command::Rollback { reason: "customers complain".into() }).await.expect("bob may");
        let deadline = state(&handle, id).await.proposal.plan.steps[0].deadline;
        tokio::time::sleep(std::time::Duration::from_millis(deadline.as_millis() - 2_000)).await;
        assert_eq!(state(&handle, id).await.phase(), Phase::RollingBack);
        assert!(world.pages().iter().any(|(_, reason)| reason.contains("has to roll back")), "{:?}", world.pages());
        tokio::time::sleep(std::time::Duration::from_secs(3_600)).await;
        assert_eq!(state(&handle, id).await.phase(), Phase::RollbackFailed);
        let silent = |(_, reason): &(_, String)| reason.contains("has not said in time that it has rolled back");
        assert!(world.pages().iter().any(silent), "{:?}", world.pages());
        assert!(handle.finish(&user("eve"), id, said(Ended::RolledBack)).await.is_err(), "eve only reads");
        handle.finish(&ada(), id, said(Ended::RolledBack)).await.expect("its pipeline says so");
        assert_eq!(state(&handle, id).await.phase(), Phase::RolledBack);
        assert!(world.deeds().is_empty(), "no driver was called");
        let log = log(&store, id).await;
        let tail = ["StepBegun", "RollbackBegun", "UndoBegun", "PageOwed", "Paged"];
        assert_eq!(story(&log)[4..9], tail);
        assert_eq!(story(&log)[9..], ["UndoFailed", "RollbackFailed", "PageOwed", "Paged", "RolledBack", "DebtOwed"]);
        let by = log.iter().find(|r| matches!(r.event, Event::RolledBack { .. })).map(|r| r.actor.clone());
        assert_eq!(by, Some(ada()));
    });
}

// X20, F3: a rollback that the pipeline could not do is people's.
#[test]
fn a_rollback_that_fails_in_the_pipeline_pages() {
    paused().block_on(async {
        let (world, store) = (World::new(3, Behaviour::GOOD), memory());
        let handle = start(&world, &store, governance(NOBODY)).await;
        let id = propose(&handle, &file()).await;
        until(&handle, id, |p| p == Phase::Scheduled).await;
        handle.begin(&ada(), id).await.expect("every gate is open");
        let note = Some("the image was gone".to_owned());
        handle.finish(&ada(), id, Report { note, ..said(Ended::Failed) }).await.expect("it failed");
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        handle.finish(&ada(), id, said(Ended::Failed)).await.expect("so did its rollback");
        assert_eq!(state(&handle, id).await.phase(), Phase::RollbackFailed);
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        assert!(world.pages().iter().any(|(_, reason)| reason.contains("follow docs/back.md")), "{:?}", world.pages());
    });
}
