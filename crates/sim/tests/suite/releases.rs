//! U1 and U9: releases played in a fleet with the real engine, while hours pass and the engine dies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use change::lifecycle::outside::{Ended, Report};
use change::release::{Command, Phase, Release, Standing};
use change::{ChangeId, Event, ReleaseId, Span};
use engine::ports::Store;
use engine::releases::ReleaseDraft;
use engine::{Draft, Handle};
use sim::fleet::{Fleet, FleetDeed, member_file};
use sim::world::{NOBODY, ada, bob, governance};

use crate::support::{memory, paused};

/// U1: an API and two services that call it.
const API: &str = "title: A new tax API\nowner: ada\nchanges:\n  - {name: api, change: api.yaml}\n  - {name: web, change: web.yaml, after: [api]}\n  - {name: app, change: app.yaml, after: [api]}\n";
/// U9: one dependency, raised in a first service, then in three, two at a time.
const WAVES: &str = "title: Raise the TLS library\nowner: ada\nwaves:\n  - {name: first, bake: 10m, each: [cell-1], change: cell.yaml}\n  - {name: rest, at_once: 2, each: [cell-2, cell-3, cell-4], change: cell.yaml}\n";

fn draft(text: &str, names: &[&str]) -> ReleaseDraft {
    let change = |name: &&str| ((*name).to_owned(), Draft { text: member_file(name), ..Draft::default() });
    ReleaseDraft { text: text.to_owned(), changes: names.iter().map(change).collect() }
}

fn api() -> ReleaseDraft {
    draft(API, &["api", "web", "app"])
}

fn waves() -> ReleaseDraft {
    draft(WAVES, &["cell-1", "cell-2", "cell-3", "cell-4"])
}

async fn start(fleet: &Fleet, store: &Arc<dyn Store>) -> Handle {
    fleet.start(store.clone(), governance(NOBODY)).await.expect("the engine starts")
}

async fn propose(handle: &Handle, draft: &ReleaseDraft) -> ReleaseId {
    match handle.propose_release(&ada(), draft, None).await {
        Ok(release) => release.id,
        Err(engine::ProposeError::Invalid(problems)) => panic!("{problems:#?}"),
        Err(error) => panic!("{error}"),
    }
}

async fn state(handle: &Handle, id: ReleaseId) -> Release {
    handle.release(id).await.expect("the store answers").expect("there is such a release").release
}

/// Lets time pass until the release is as wanted.
async fn until(handle: &Handle, id: ReleaseId, wanted: impl Fn(&Release) -> bool) -> Release {
    for _ in 0..20_000 {
        let release = state(handle, id).await;
        if wanted(&release) {
            return release;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let release = state(handle, id).await;
    panic!("{id} stays {}: {:#?}", release.phase(), release.standing);
}

async fn until_ended(handle: &Handle, id: ReleaseId) -> Release {
    until(handle, id, |release| release.phase().is_terminal()).await
}

fn weights(fleet: &Fleet, targets: &[&str]) -> Vec<u16> {
    targets.iter().map(|target| fleet.weight(target)).collect()
}

/// When each target was first touched, and when it went back to nothing.
fn first_and_back(deeds: &[FleetDeed]) -> BTreeMap<String, (usize, Option<usize>)> {
    let mut found: BTreeMap<String, (usize, Option<usize>)> = BTreeMap::new();
    for (i, deed) in deeds.iter().enumerate() {
        let entry = found.entry(deed.target.clone()).or_insert((i, None));
        if deed.weight == 0 {
            entry.1 = Some(i);
        }
    }
    found
}

/// From the fleet's own record alone: a caller begins when the API is out whole, and the API goes back last.
fn check_api(deeds: &[FleetDeed]) {
    let found = first_and_back(deeds);
    let whole = deeds.iter().position(|deed| deed.target == "api" && deed.weight == 10_000);
    for caller in ["web", "app"] {
        let Some((first, back)) = found.get(caller) else { continue };
        assert!(whole.is_some_and(|whole| whole < *first), "{caller} began before the API: {deeds:?}");
        if let Some(api) = found["api"].1 {
            assert!(back.is_some_and(|back| back < api), "the API went back before {caller}: {deeds:?}");
        }
    }
}

// U1
#[test]
fn an_api_and_its_callers_pass_together() {
    paused().block_on(async {
        let (fleet, store) = (Fleet::default(), memory());
        let handle = start(&fleet, &store).await;
        let id = propose(&handle, &api()).await;
        let release = until_ended(&handle, id).await;
        assert_eq!(release.phase(), Phase::Completed);
        assert_eq!(weights(&fleet, &["api", "web", "app"]), [10_000; 3]);
        check_api(&fleet.deeds());
        assert!(fleet.told().is_empty(), "{:?}", fleet.told());
        let completed = until_all_ended(&handle, &release).await;
        assert!(completed.iter().all(|phase| *phase == change::Phase::Completed), "{completed:?}");
    });
}

async fn until_all_ended(handle: &Handle, release: &Release) -> Vec<change::Phase> {
    let mut phases = Vec::new();
    for member in &release.plan.members {
        phases.push(crate::support::until_ended(handle, member.change).await.phase());
    }
    phases
}

// U1: one caller fails; the API and the other caller, which had done well, go back with it, the API last.
#[test]
fn a_caller_that_fails_takes_the_api_and_the_other_caller_back() {
    paused().block_on(async {
        let (fleet, store) = (Fleet::default(), memory());
        fleet.break_on("app");
        let handle = start(&fleet, &store).await;
        let id = propose(&handle, &api()).await;
        let release = until_ended(&handle, id).await;
        assert_eq!(release.phase(), Phase::RolledBack);
        assert_eq!(weights(&fleet, &["api", "web", "app"]), [0; 3]);
        check_api(&fleet.deeds());
        let stopped = release.stopped.expect("it was stopped");
        assert_eq!(stopped.cause, Some(ChangeId::new(3)));
        let told = fleet.told();
        assert!(told.iter().any(|what| what.contains("`REL-1` was stopped: `app` (CHG-3)")), "{told:?}");
    });
}

// U1: the API fails while its callers are under way: it waits for them.
#[test]
fn an_api_that_fails_late_goes_back_after_its_callers() {
    paused().block_on(async {
        let (fleet, store) = (Fleet::default(), memory());
        let handle = start(&fleet, &store).await;
        let id = propose(&handle, &api()).await;
        until(&handle, id, |_| fleet.weight("web") > 0 && fleet.weight("app") > 0).await;
        fleet.break_on("api");
        let release = until_ended(&handle, id).await;
        assert_eq!(release.phase(), Phase::RolledBack);
        check_api(&fleet.deeds());
        assert_eq!(weights(&fleet, &["api", "web", "app"]), [0; 3]);
    });
}

// U1: what has passed is watched on for as long as its release lasts, however long ago that was.
#[test]
fn an_api_that_fails_a_minute_after_it_passed_takes_its_callers_back() {
    paused().block_on(async {
        let (fleet, store) = (Fleet::default(), memory());
        let handle = start(&fleet, &store).await;
        let one_by_one = API.replace("change: app.yaml, after: [api]", "change: app.yaml, after: [web]");
        let id = propose(&handle, &draft(&one_by_one, &["api", "web", "app"])).await;
        until(&handle, id, |_| fleet.weight("app") > 0).await;
        fleet.break_on("api");
        let release = until_ended(&handle, id).await;

        assert_eq!(release.phase(), Phase::RolledBack);
        check_api(&fleet.deeds());
        assert_eq!(weights(&fleet, &["api", "web", "app"]), [0; 3]);
    });
}

// U1: a caller that can't go back holds nobody up, and people are told.
#[test]
fn a_caller_that_can_not_go_back_is_not_waited_for() {
    paused().block_on(async {
        let (fleet, store) = (Fleet::default(), memory());
        fleet.block("web");
        let handle = start(&fleet, &store).await;
        let id = propose(&handle, &api()).await;
        until(&handle, id, |_| fleet.weight("web") == 10_000).await;
        handle
            .command_release(&bob(), id, Command::RollBack { reason: "customers can not pay".into() })
            .await
            .expect("bob may");
        let release = until(&handle, id, |release| release.phase() == Phase::RollbackIncomplete).await;
        assert_eq!(weights(&fleet, &["api", "web"]), [0, 10_000], "{:#?}", release.standing);
        let told = fleet.told();
        assert!(told.iter().any(|what| what.contains("the way back is blocked")), "{told:?}");
    });
}

// U1, X20: a caller whose pipeline is dead holds the API for as long as a step of it may take, and people are called.
#[test]
fn a_pipeline_that_never_says_that_it_rolled_back_is_not_waited_for_for_ever() {
    paused().block_on(async {
        let (fleet, store) = (Fleet::default(), memory());
        let handle = start(&fleet, &store).await;
        let mut release = draft(&API.replace("  - {name: app, change: app.yaml, after: [api]}\n", ""), &["api", "web"]);
        let outside = "{driver: pipeline, name: deploy-web, resource: web, canary: new, stable: old}";
        // Nobody in the fleet sees what a pipeline deploys: its telemetry is that of the API.
        let web = member_file("web").replace("{driver: fleet, name: web}", outside);
        let web = web.replace("target=\"web\"", "target=\"api\"");
        release.changes.insert("web".into(), Draft { text: web, ..Draft::default() });
        let id = propose(&handle, &release).await;
        until(&handle, id, |release| release.standing[0].is == Standing::Passed).await;
        let web = ChangeId::new(2);
        let begun = handle.begin(&ada(), web).await.expect("every gate is open");
        let failed = Report { ended: Ended::Failed, note: None, step: None, attempt: None };
        handle.finish(&ada(), web, failed).await.expect("its pipeline says so");

        let deadline = begun.proposal.plan.steps[0].deadline;
        tokio::time::sleep(Duration::from_millis(deadline.as_millis() - 2_000)).await;
        assert_eq!(state(&handle, id).await.standing[1].is, Standing::GoingBack);
        assert_eq!(fleet.weight("api"), 10_000, "what comes after it goes back first");
        let release = until(&handle, id, |release| release.phase() == Phase::RollbackIncomplete).await;
        assert_eq!((release.standing[1].is, fleet.weight("api")), (Standing::NotBack, 0));
        let told = fleet.told();
        assert!(told.iter().any(|what| what.contains("has not said in time")), "{told:?}");

        // Its word still counts, however late.
        handle
            .finish(&ada(), web, Report { ended: Ended::RolledBack, note: None, step: None, attempt: None })
            .await
            .expect("it is");
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::RolledBack);
    });
}

// U9: the first cell is left alone for its bake, then two at a time go.
#[test]
fn a_dependency_is_raised_in_waves() {
    paused().block_on(async {
        let (fleet, store) = (Fleet::default(), memory());
        let handle = start(&fleet, &store).await;
        let id = propose(&handle, &waves()).await;
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::Completed);
        let log = handle.release_log(id).await.expect("the store answers");
        let moves = log.iter().filter_map(|recorded| match &recorded.event {
            Event::ReleaseMoved { change, to, .. } if *to != Standing::Approved => Some((*change, *to, recorded.time)),
            _ => None,
        });
        let moves: Vec<_> = moves.collect();
        let (first, passed, at) = moves[1];
        assert_eq!((first, passed), (ChangeId::new(1), Standing::Passed));
        let waited = change::time::between(at, moves[2].2);
        assert!(waited >= Span::secs(600), "the first cell was left alone for {waited}");
        let mut under_way = 0;
        for (_, to, _) in &moves {
            under_way += match to {
                Standing::UnderWay => 1,
                Standing::Passed => -1,
                _ => 0,
            };
            assert!(under_way <= 2, "more than two at once: {moves:?}");
        }
    });
}

// U9: the second wave fails, and nothing of what was waiting begins.
#[test]
fn the_first_failure_of_a_wave_stops_the_rest() {
    paused().block_on(async {
        let (fleet, store) = (Fleet::default(), memory());
        fleet.break_on("cell-2");
        fleet.break_on("cell-3");
        let handle = start(&fleet, &store).await;
        let id = propose(&handle, &waves()).await;
        assert_eq!(until_ended(&handle, id).await.phase(), Phase::RolledBack);
        assert_eq!(weights(&fleet, &["cell-1", "cell-2", "cell-3", "cell-4"]), [0; 4]);
        assert!(fleet.deeds().iter().all(|deed| deed.target != "cell-4"), "{:?}", fleet.deeds());
        let last = handle.change(ChangeId::new(4)).await.expect("the store answers").expect("a change");
        assert_eq!(last.phase(), change::Phase::Withdrawn);
    });
}

/// Lives of the engine until a release has ended; each but the last is cut off after so long.
fn live_and_die(seed: u64, draft: &ReleaseDraft, broken: &[&str]) -> (Phase, Fleet) {
    let (fleet, store) = (Fleet::default(), memory());
    broken.iter().for_each(|target| fleet.break_on(target));
    let mut id = None;
    let mut dice = seed;
    for life in 0..200_u64 {
        // A simple generator: what matters is that the cuts fall everywhere.
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let left = Duration::from_millis((dice >> 33) % if life < 25 { 20_000 } else { 240_000 });
        let ended = paused().block_on(async {
            let handle = start(&fleet, &store).await;
            let id = match id {
                Some(id) => id,
                None => *id.insert(propose(&handle, draft).await),
            };
            tokio::time::timeout(left, until_ended(&handle, id)).await.ok().map(|release| release.phase())
        });
        if let Some(phase) = ended {
            return (phase, fleet);
        }
    }
    panic!("seed {seed}: the release never ended");
}

// U1, U9, F8: an engine that dies again and again ends as one that does not.
#[test]
fn a_release_that_is_cut_off_again_and_again_ends_as_it_would_have() {
    let seeds = std::env::var("CLEARWAY_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let short = ReleaseDraft { text: WAVES.replace("10m", "1m"), ..waves() };
    for seed in 0..seeds {
        let (phase, fleet) = live_and_die(seed, &api(), &[]);
        assert_eq!(phase, Phase::Completed, "seed {seed}");
        check_api(&fleet.deeds());
        let (phase, fleet) = live_and_die(100 + seed, &api(), &["app"]);
        assert_eq!((phase, weights(&fleet, &["api", "web", "app"])), (Phase::RolledBack, vec![0; 3]), "seed {seed}");
        check_api(&fleet.deeds());
        let (phase, fleet) = live_and_die(200 + seed, &short, &["cell-3"]);
        let all = weights(&fleet, &["cell-1", "cell-2", "cell-3", "cell-4"]);
        assert_eq!((phase, all), (Phase::RolledBack, vec![0; 4]), "seed {seed}");
    }
}
