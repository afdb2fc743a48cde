//! The figures of a story written by hand, and what holds for any story: the order between changes does not matter, and periods add up.

use std::sync::LazyLock;

use change::approval::Voided;
use change::assessment::{Assessment, Denial, Requirement, Risk};
use change::document::Document;
use change::proposal::{Carry, Proposal, Proposed};
use change::rollout::Weight;
use change::time::{Span, after};
use change::verification::{Answer, Judgement};
use change::{Actor, ChangeId, Digest, Event, Timestamp};
use expect_test::expect;
use measure::{Figure, Fold, Report};
use proptest::prelude::*;

fn at(minutes: u64) -> Timestamp {
    after(Timestamp::UNIX_EPOCH, Span::secs(minutes * 60))
}

fn user(name: &str) -> Actor {
    Actor::User(name.into())
}

/// A change file's outcome with everything that good practice asks for, so that a test can take away what it is about.
fn proposal(environment: &str) -> Proposal {
    // Read once: the properties need thousands of them.
    static READ: LazyLock<Proposal> = LazyLock::new(read_proposal);
    Proposal { environment: environment.into(), ..READ.clone() }
}

fn read_proposal() -> Proposal {
    let digest = Digest::of_bytes(b"effect");
    let text = format!(
        "title: t\nkind: code\nowner: ada\nservices: [cart]\nenvironment: production\n\
         plan: {{strategy: all-at-once, target: {{driver: router}}, steps: [{{weight: 100%, bake: 5m, deadline: 30m, comparison: objective}}]}}\n\
         verify: {{slis: [], commands: [{{run: ./smoke.sh, timeout: 30s}}], every: 10s, on_insufficient: hold, on_unreachable: page, watch: 5m}}\n\
         rollback: {{automatic: true}}\ncommit: abc\nclaims: {{resources: [r], effect: closed}}\n\
         revision_digest: '{digest}'\neffect_digest: '{digest}'\n"
    );
    let document = Document::from_yaml(&text).expect("the test's own YAML");
    document.read().expect("a proposal")
}

fn proposed(proposal: Proposal) -> Event {
    Event::Proposed(Box::new(Proposed { uid: Default::default(), author: user("bob"), proposal }))
}

fn assessed(level: Risk, people: u8, denied: bool) -> Event {
    let digest = Digest::of_bytes(b"effect");
    let requirement = Requirement::of("sre", people, Span::secs(60));
    let denial = Denial::hard("no", "no");
    Event::Assessed(Box::new(Assessment {
        score: 0,
        level,
        factors: vec![],
        denials: if denied { vec![denial] } else { vec![] },
        warnings: vec![],
        requires: if people > 0 { vec![requirement] } else { vec![] },
        checklist: vec![],
        window: Default::default(),
        pre_approved: false,
        owed: vec![],
        policy: digest,
        input: digest,
        effect: digest,
    }))
}

fn approved() -> Event {
    let effect = Digest::of_bytes(b"effect");
    Event::Approved { effect, groups: [].into(), on_behalf: [].into(), comment: None, signature: None }
}

fn scheduled(minutes: u64) -> Event {
    Event::Scheduled { not_before: at(minutes) }
}

fn begun(effect: &[u8]) -> Event {
    Event::StepBegun {
        step: 0,
        attempt: 1,
        weight: Weight::FULL,
        effect: Digest::of_bytes(effect),
        observed: Default::default(),
    }
}

fn applied() -> Event {
    Event::StepApplied { step: 0, attempt: 1, actual: Default::default() }
}

fn judged(answer: Answer) -> Event {
    Event::Judged(Box::new(Judgement {
        answer,
        step: 0,
        attempt: 1,
        why: "because".into(),
        reasons: vec![],
        slis: vec![],
        looks: 1,
        evidence: 0.0,
        harm: 0.0,
        safety: 0.0,
        findings: vec![],
        at: at(0),
    }))
}

fn rolled_back() -> Event {
    Event::RolledBack { observed: Default::default() }
}

fn overridden() -> Event {
    let effect = Digest::of_bytes(b"effect");
    Event::Overridden { gate: "verification".into(), step: 0, effect, reason: "r".into() }
}

/// An event of a change, by whom, and in which minute.
type Entry = (u64, Event, Actor, u64);

fn fold(entries: &[Entry]) -> Fold {
    let mut fold = Fold::default();
    for (id, event, actor, minutes) in entries {
        fold.add(ChangeId::new(*id), event, actor, at(*minutes));
    }
    fold
}

fn line(name: &str, figure: &Figure) -> String {
    let value = figure.value.map_or("insufficient data".to_owned(), |v| format!("{v:.2} {:?}", figure.unit));
    let changes: Vec<String> = figure.changes.iter().map(ToString::to_string).collect();
    format!("{name}: {value} of {} [{}]\n", figure.samples, changes.join(" "))
}

fn figures(report: &Report) -> Vec<(&'static str, &Figure)> {
    vec![
        ("change failure rate", &report.change_failure_rate),
        ("lead time", &report.lead_time),
        ("queue time", &report.queue_time),
        ("approval, low", &report.approval_lead_time.low),
        ("approval, medium", &report.approval_lead_time.medium),
        ("approval, high", &report.approval_lead_time.high),
        ("approval, critical", &report.approval_lead_time.critical),
        ("detection", &report.detection_latency),
        ("automation", &report.automation_share),
        ("metadata", &report.full_metadata),
        ("rollback success", &report.rollback_success),
        ("overrides", &report.overrides),
        ("denials", &report.denials),
    ]
}

fn table(report: &Report) -> String {
    figures(report).into_iter().map(|(name, figure)| line(name, figure)).collect()
}

/// Five changes of a morning, in the order of the log.
fn story() -> Vec<Entry> {
    let clock = Actor::Clearway(change::actor::Part::Clock);
    let (ada, eve) = (user("ada"), user("eve"));
    let mut bare = proposal("production");
    (bare.commit, bare.rollback.automatic) = (None, false);
    vec![
        // CHG-1 needs nobody and goes through in half an hour.
        (1, proposed(proposal("production")), user("bob"), 0),
        (1, assessed(Risk::Low, 0, false), clock.clone(), 0),
        (1, approved(), clock.clone(), 0),
        (1, scheduled(10), clock.clone(), 0),
        // CHG-2 is denied first, then amended; a vote is voided in between, and another person approves.
        (2, proposed(bare.clone()), user("bob"), 5),
        (2, assessed(Risk::High, 1, true), clock.clone(), 5),
        (2, Event::Amended { proposal: Box::new(bare), votes: Carry::Void }, user("bob"), 6),
        (2, assessed(Risk::High, 1, false), clock.clone(), 7),
        (1, begun(b"one"), clock.clone(), 10),
        (1, applied(), clock.clone(), 11),
        (2, approved(), ada.clone(), 12),
        (2, scheduled(12), clock.clone(), 12),
        (2, Event::VotesVoided { voters: vec![ada], why: Voided::Lapsed }, clock.clone(), 13),
        (2, approved(), eve, 27),
        (2, scheduled(27), clock.clone(), 27),
        (2, begun(b"two"), clock.clone(), 30),
        (1, Event::Completed, clock.clone(), 30),
        (2, applied(), clock.clone(), 31),
        (2, judged(Answer::Insufficient), clock.clone(), 32),
        (2, judged(Answer::Fail), clock.clone(), 34),
        (2, judged(Answer::Fail), clock.clone(), 35),
        (2, rolled_back(), clock.clone(), 36),
        // CHG-3 is promoted by hand, and its rollback fails; people finish it.
        (3, proposed(proposal("production")), user("bob"), 40),
        (3, assessed(Risk::Low, 0, false), clock.clone(), 40),
        (3, scheduled(40), clock.clone(), 40),
        (3, begun(b"three"), clock.clone(), 41),
        (3, applied(), clock.clone(), 42),
        (3, overridden(), user("ada"), 43),
        (3, Event::RollbackFailed { error: "e".into() }, clock.clone(), 50),
        (3, Event::CompletedByHand { evidence: "e".into() }, user("ada"), 59),
        // CHG-4 completes in staging: its time is not one of production.
        (4, proposed(proposal("staging")), user("bob"), 44),
        (4, assessed(Risk::Low, 0, false), clock.clone(), 44),
        (4, scheduled(44), clock.clone(), 44),
        (4, begun(b"four"), clock.clone(), 45),
        (4, Event::Completed, clock.clone(), 46),
        // CHG-5 completes in production after two hours: of two, the lower median is the first's.
        (5, proposed(proposal("production")), user("bob"), 0),
        (5, assessed(Risk::Medium, 0, false), clock.clone(), 1),
        (5, scheduled(2), clock.clone(), 2),
        (5, begun(b"five"), clock.clone(), 62),
        (5, Event::Completed, clock, 120),
    ]
}

#[test]
fn the_figures_of_a_morning_are_those_that_people_would_count() {
    let fold = fold(&story());
    expect![[r#"
        change failure rate: 0.40 Ratio of 5 [CHG-2 CHG-3]
        lead time: 1800.00 Seconds of 2 [CHG-1 CHG-5]
        queue time: 600.00 Seconds of 2 [CHG-1 CHG-5]
        approval, low: insufficient data of 0 []
        approval, medium: insufficient data of 0 []
        approval, high: 1200.00 Seconds of 1 [CHG-2]
        approval, critical: insufficient data of 0 []
        detection: 180.00 Seconds of 1 [CHG-2]
        automation: 0.80 Ratio of 5 [CHG-1 CHG-3 CHG-4 CHG-5]
        metadata: 0.80 Ratio of 5 [CHG-1 CHG-3 CHG-4 CHG-5]
        rollback success: 0.50 Ratio of 2 [CHG-2]
        overrides: 1.00 Count of 5 [CHG-3]
        denials: 1.00 Count of 5 [CHG-2]
    "#]]
    .assert_eq(&table(&fold.report(at(0), at(1_000))));
}

#[test]
fn a_period_with_nothing_in_it_has_insufficient_data_and_no_zeros() {
    for fold in [Fold::default(), fold(&story())] {
        let report = fold.report(at(5_000), at(6_000));
        for (name, figure) in figures(&report) {
            assert_eq!((figure.value, figure.samples, figure.changes.len()), (None, 0, 0), "{name}");
        }
    }
}

#[test]
fn a_period_begins_with_its_start_and_ends_before_its_end() {
    let fold = fold(&story());
    assert_eq!(fold.report(at(30), at(31)).lead_time.samples, 1);
    assert_eq!(fold.report(at(29), at(30)).lead_time.samples, 0);
}

#[test]
fn history_counts_ended_changes_of_the_services_and_knows_an_effect_that_failed() {
    let fold = fold(&story());
    let history = |service: &str, effect: &[u8]| {
        let history = fold.history(&[service.to_owned()].into(), Digest::of_bytes(effect), &user("bob"), at(1_500));
        (history.ended, history.rolled_back, history.same_effect_rolled_back)
    };
    assert_eq!(history("cart", b"one"), (5, 2, false));
    assert_eq!(history("cart", b"two"), (5, 2, true));
    assert_eq!(history("cart", b"three"), (5, 2, true));
    assert_eq!(history("mail", b"two"), (0, 0, true));
}

// LC2, LC9: how the services and the author fared is there for the next assessment.
#[test]
fn history_knows_the_failure_rate_the_age_of_the_last_change_and_the_record_of_the_author() {
    let fold = fold(&story());
    let history = |service: &str, author: &str| {
        fold.history(&[service.to_owned()].into(), Digest::of_bytes(b"x"), &user(author), at(1_500))
    };
    let (cart, mail) = (history("cart", "bob"), history("mail", "bob"));
    assert_eq!(cart.failure_rate, Some(0.4));
    assert_eq!((cart.author.changes, cart.author.failures), (5, 2));
    assert_eq!(history("cart", "eve").author, Default::default());
    assert!(cart.last_change_age_days.is_some_and(|days| days > 0.9 && days < 1.1), "{cart:?}");
    assert_eq!((mail.failure_rate, mail.last_change_age_days), (None, None), "nothing to count is not zero");
    // What is kept for each service says the same as a walk over all changes.
    assert_eq!((fold.failure_rate("cart"), fold.failure_rate("mail")), (Some(0.4), None));
}

#[test]
fn a_record_does_not_grow_with_the_events_of_a_change() {
    let mut once = fold(&story());
    let again = once.clone();
    for _ in 0..1_000 {
        for event in [judged(Answer::Insufficient), Event::Released, applied()] {
            once.add(ChangeId::new(4), &event, &user("x"), at(46));
        }
    }
    once.add(ChangeId::new(99), &applied(), &user("x"), at(1));
    let same = |fold: &Fold| table(&fold.report(at(0), at(1_000)));
    assert_eq!(same(&once), same(&again));
    let size = |fold: &Fold| format!("{fold:?}").len();
    assert!(size(&once).abs_diff(size(&again)) < 100, "{} and {}", size(&once), size(&again));
}

/// A change's life, as far as it gets: the events of one of the plots, a given number of minutes apart.
fn life(id: u64, plot: usize, start: u64, pace: u64) -> Vec<Entry> {
    let risk = [Risk::Low, Risk::Medium, Risk::High, Risk::Critical][plot % 4];
    let opening = vec![
        proposed(proposal("production")),
        assessed(risk, 1, plot.is_multiple_of(3)),
        approved(),
        scheduled(0),
        begun(b"x"),
        applied(),
    ];
    let ending = match plot {
        0..4 => vec![overridden(), Event::Completed],
        4..8 => vec![judged(Answer::Fail), rolled_back()],
        8..12 => vec![judged(Answer::Fail), Event::RollbackFailed { error: "e".into() }, rolled_back()],
        _ => vec![],
    };
    let events = opening.into_iter().chain(ending).enumerate();
    events.map(|(i, event)| (id, event, user("ada"), start + pace * i as u64)).collect()
}

fn lives() -> impl Strategy<Value = Vec<Vec<Entry>>> {
    let change = (0usize..16, 0u64..500, 1u64..60);
    proptest::collection::vec(change, 0..12).prop_map(|changes| {
        let numbered = changes.into_iter().enumerate();
        numbered.map(|(i, (plot, start, pace))| life(i as u64 + 1, plot, start, pace)).collect()
    })
}

proptest! {
    #[test]
    fn the_order_between_changes_does_not_matter(lives in lives()) {
        let by_change: Vec<Entry> = lives.iter().flatten().cloned().collect();
        let backwards: Vec<Entry> = lives.iter().rev().flatten().cloned().collect();
        let mut by_time = by_change.clone();
        by_time.sort_by_key(|(_, _, _, minutes)| *minutes);
        prop_assert_eq!(fold(&by_change), fold(&by_time));
        prop_assert_eq!(fold(&by_change), fold(&backwards));
    }

    #[test]
    fn two_periods_that_adjoin_count_what_both_together_count(lives in lives(), middle in 0u64..1_200) {
        let fold = fold(&lives.concat());
        let (first, second) = (fold.report(at(0), at(middle)), fold.report(at(middle), at(1_200)));
        let whole = fold.report(at(0), at(1_200));
        for (i, (name, whole)) in figures(&whole).into_iter().enumerate() {
            let (one, two) = (figures(&first)[i].1, figures(&second)[i].1);
            let mut changes: Vec<_> = one.changes.iter().chain(&two.changes).copied().collect();
            changes.sort_unstable();
            prop_assert_eq!(&changes, &whole.changes, "{}", name);
            if matches!(name, "overrides" | "denials") {
                let sum = one.value.unwrap_or(0.0) + two.value.unwrap_or(0.0);
                prop_assert!((sum - whole.value.unwrap_or(0.0)).abs() < 1e-9, "{}", name);
            } else {
                prop_assert_eq!(one.samples + two.samples, whole.samples, "{}", name);
            }
        }
    }
}
