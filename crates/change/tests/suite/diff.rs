//! What two revisions of a change differ in, as those are shown it who have to say yes once more.

use change::assessment::Window;
use change::diff::{self, Diff, MOST, Revision};
use change::lifecycle::{Command, Event};
use change::proposal::{self, Carry, Proposal};
use change::rollout::Weight;
use change::time::Span;
use change::{Actor, Digest};
use expect_test::{Expect, expect};
use serde_json::json;

use crate::world::{AUTHOR, ID, Life, VOTERS, open, proposal, sealed, start, user};

fn between(old: &Proposal, new: &Proposal) -> Diff {
    let (author, other) = (user(VOTERS[0]), user(VOTERS[1]));
    let revision = |number, proposal, by| Revision { number, proposal, by, at: start() };
    diff::between(&revision(1, old, &author), &revision(2, new, &other))
}

fn check(edit: impl FnOnce(&mut Proposal), expected: &Expect) {
    let old = proposal("shop@sha256:aa");
    let mut new = old.clone();
    edit(&mut new);
    let diff = between(&old, &sealed(new));
    let line = |d: &diff::Difference| {
        let value = |v: &Option<String>| v.clone().unwrap_or_else(|| "nothing".into());
        let kind = if d.has_effect { "effect" } else { "words " };
        format!("{kind}  {}: {} -> {}\n", d.path, value(&d.before), value(&d.after))
    };
    expected.assert_eq(&diff.differences.iter().map(line).collect::<String>());
}

// F2: what has effect is told from what has none, by the rule that voids votes.
#[test]
fn each_difference_is_named_in_the_words_of_the_change_file() {
    check(
        |p| {
            p.title = "another title".into();
            p.artifact = Some("shop@sha256:bb".into());
            p.plan.steps[0].weight = Weight::percent(20);
            p.plan.steps.pop();
            p.plan.target.options = [("backend".to_owned(), json!({"name": "b1", "port": 80}))].into_iter().collect();
            p.verify.every = Span::secs(30);
            p.rollback.runbook = None;
            p.services.insert("search".into());
            p.files.insert("./smoke.sh".into(), Digest::of_bytes(b"x"));
            p.links = vec!["https://tracker.example/1".into()];
        },
        &expect![[r#"
            effect  artifact: shop@sha256:aa -> shop@sha256:bb
            effect  files: nothing -> {"./smoke.sh":"sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}
            effect  plan.steps[0].weight: 10% -> 20%
            effect  plan.steps[1]: {"bake":"5m","comparison":"objective","deadline":"30m","weight":"100%"} -> nothing
            effect  plan.target.backend: nothing -> {"name":"b1","port":80}
            effect  rollback.runbook: runbooks/shop.md -> nothing
            effect  services: ["shop"] -> ["search","shop"]
            effect  verify.every: 10s -> 30s
            words   links: nothing -> ["https://tracker.example/1"]
            words   title: raise the limit of the basket -> another title
        "#]],
    );
    check(|_| {}, &expect![""]);
}

#[test]
fn what_has_a_name_goes_by_it_wherever_it_stands() {
    let options = |list: serde_json::Value| [("pools".to_owned(), list)].into_iter().collect();
    let mut old = proposal("shop@sha256:aa");
    old.plan.target.options = options(json!([{"name": "a", "size": 1}, {"name": "b", "size": 2}, {"name": "c"}]));
    let mut new = old.clone();
    new.plan.target.options = options(json!([{"name": "b", "size": 3}, {"name": "a", "size": 1}, {"name": "d"}]));
    let paths: Vec<String> = between(&old, &new).differences.into_iter().map(|d| d.path).collect();
    let root = "plan.target.pools";
    let wanted = ["[b].size", "[c]", "[d]"].map(|end| format!("{root}{end}"));
    assert_eq!(paths[..3], wanted);
    assert_eq!(paths[3..], [format!("order of {root}")], "the order is told too");
}

#[test]
fn a_difference_has_effect_exactly_where_votes_fall() {
    let old = proposal("shop@sha256:aa");
    let edits: [fn(&mut Proposal); 8] = [
        |p| p.title = "other".into(),
        |p| p.owner = "other".into(),
        |p| p.environment = "staging".into(),
        |p| p.commit = None,
        |p| p.claims.resources.clear(),
        |p| p.verify.watch = Span::secs(9),
        |p| p.effects = None,
        |p| p.rollback.automatic = false,
    ];
    for edit in edits {
        let mut new = old.clone();
        edit(&mut new);
        let new = sealed(new);
        let said = between(&old, &new).differences.iter().any(|d| d.has_effect);
        assert_eq!(said, proposal::carry(&old, &new, Window::Free) == Carry::Void, "{new:?}");
    }
}

#[test]
fn a_list_of_differences_is_bounded_and_so_is_each_value() {
    let old = proposal("shop@sha256:aa");
    let mut new = old.clone();
    new.plan.target.options = (0..1_000).map(|i| (format!("key{i:04}"), json!("x".repeat(10_000)))).collect();
    new.title = "other".into();
    let diff = between(&old, &new);
    assert_eq!((diff.differences.len(), diff.more), (MOST, 801));
    let after = diff.differences[0].after.as_ref().expect("a value");
    assert!(after.len() < 500 && after.ends_with("... (10000 characters)"), "{after}");
}

#[test]
fn a_voter_is_shown_what_is_new_since_their_last_vote() {
    let mut life = Life::begin(ID, proposal("shop@sha256:aa"));
    let amend = |mut life: Life, artifact: &str| {
        let given = open(user(AUTHOR), life.now);
        life.ask(Command::Amend { proposal: Box::new(proposal(artifact)), revision: None }, &given)
            .expect("the author amends");
        life
    };
    life = amend(life, "shop@sha256:bb").approved();
    life = amend(life, "shop@sha256:cc");
    let log = || life.log.iter().map(|(event, actor, at)| (event, actor, *at));
    let numbers: Vec<u32> = diff::revisions(log()).iter().map(|r| r.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let seen = |who: &Actor| diff::seen_by(log(), who);
    assert!(life.log.iter().any(|(event, actor, _)| matches!(event, Event::Approved { .. }) && *actor == user("bob")));
    assert_eq!((seen(&user("bob")), seen(&user("cyd"))), (2, 1));
    assert_eq!(life.change.revision, 3);
}
