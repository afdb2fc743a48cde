//! Change files as people write them: what they become, what is said of their mistakes, and what voids an approval.
//!
//! Messages are asserted whole, as a reader sees them.

use std::collections::BTreeSet;

use change::assessment::Window;
use change::document::{MAX_BYTES, Problem};
use change::proposal::{self, Carry, Claims, Closure, Files, Proposal, Surroundings, carry, named_files};
use change::rollout::Plan;
use change::verification::{Against, Latency, Query, Ratio, Sli};
use change::{ChangeId, Digest};
use expect_test::{Expect, expect};

/// A server with two drivers, two SLIs, one telemetry source and three principals.
struct Around {
    commands: bool,
    /// What the SLI `availability` counts.
    counter: &'static str,
}

impl Default for Around {
    fn default() -> Self {
        Self { commands: true, counter: "http_requests_total" }
    }
}

impl Surroundings for Around {
    fn downstream(&self, _: &BTreeSet<String>, _: usize) -> Vec<(String, Sli)> {
        vec![]
    }

    fn sli(&self, name: &str) -> Option<Sli> {
        let sli = |ratio, latency| Sli {
            name: name.to_owned(),
            source: "prometheus".into(),
            ratio,
            latency,
            gauge: None,
            rate: None,
            objective: Some("99.5%".parse().expect("an objective")),
            against: Against::Step,
            harm: None,
            safe: None,
            floor: None,
            weight: None,
        };
        let of = |labels: &str| Query::Both(format!("{}{{version=\"$cohort\"{labels}}}", self.counter));
        match name {
            "availability" => {
                Some(sli(Some(Ratio { bad: Some(of(",code=~\"5..\"")), good: None, total: of("") }), None))
            }
            "latency" => {
                let below = Some("300ms".parse().expect("a span"));
                let histogram = "http_request_duration_seconds{version=\"$cohort\"}".into();
                Some(sli(None, Some(Latency { histogram, below })))
            }
            _ => None,
        }
    }

    fn sli_names(&self) -> Vec<String> {
        vec!["availability".into(), "latency".into()]
    }

    fn claims(&self, plan: &Plan) -> Result<Claims, Vec<(String, String)>> {
        match plan.target.text("service") {
            Some(service) => Ok(Claims {
                resources: [format!("router:edge/{service}")].into(),
                effect: Closure::Closed,
                hands: Default::default(),
            }),
            None => Err(vec![("/service".into(), "the driver `router` needs the service it routes".into())]),
        }
    }

    fn drivers(&self) -> Vec<String> {
        vec!["exec".into(), "router".into()]
    }

    fn sources(&self) -> Vec<String> {
        vec!["prometheus".into()]
    }

    fn environments(&self, service: &str) -> Vec<String> {
        if service == "shop" { vec!["staging".into(), "production".into()] } else { vec![] }
    }

    fn holders(&self, resource: &str) -> Vec<String> {
        if resource == "router:edge/till" { vec!["till".into(), "till-batch".into()] } else { vec![] }
    }

    fn may_run_commands(&self) -> bool {
        self.commands
    }

    fn is_principal(&self, id: &str) -> bool {
        self.principals().iter().any(|p| p == id)
    }

    fn principals(&self) -> Vec<String> {
        vec!["ada".into(), "bob".into(), "team-shop".into()]
    }
}

const GOOD: &str = "\
title: raise the limit of the basket
kind: config
owner: team-shop
services: [shop]
environment: production
plan:
  strategy: canary
  target: {driver: router, service: shop, to: v2}
verify:
  slis: [availability, latency]
rollback: {}
artifact: registry/shop@sha256:aa
commit: c0ffee
links: [https://tickets.test/41]
";

fn read(text: &str, around: &Around) -> Result<Proposal, Vec<Problem>> {
    proposal::read(text, &Files::new(), around)
}

fn told(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What a reader is told about a file, in an ordinary world.
fn check(text: &str, wanted: &Expect) {
    check_in(&Around::default(), text, wanted);
}

fn check_in(around: &Around, text: &str, wanted: &Expect) {
    let answer = match read(text, around) {
        Ok(proposal) => format!("ok: {}", proposal.title),
        Err(problems) => told(&problems),
    };
    wanted.assert_eq(&answer);
}

/// The good file with one piece of text replaced.
fn with(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "the good file has no `{old}`");
    GOOD.replace(old, new)
}

// LC6 PR2
#[test]
fn a_good_file_becomes_a_proposal_with_every_default_written_out() {
    let proposal = read(GOOD, &Around::default()).expect("the file is good");
    let value = serde_json::to_value(&proposal).expect("a proposal has a JSON form");
    let part = |name: &str| serde_json::to_string(&value[name]).expect("and is written");
    let parts = ["plan", "verify", "rollback", "when", "claims"].map(|name| format!("{name}: {}", part(name)));
    expect![[r#"
        plan: {"strategy":"canary","target":{"driver":"router","service":"shop","to":"v2"},"steps":[{"weight":"5%","bake":"5m","deadline":"30m","comparison":"concurrent"},{"weight":"25%","bake":"5m","deadline":"30m","comparison":"concurrent"},{"weight":"100%","bake":"5m","deadline":"30m","comparison":"objective"}]}
        verify: {"slis":[{"name":"availability","source":"prometheus","ratio":{"bad":"http_requests_total{version=\"$cohort\",code=~\"5..\"}","total":"http_requests_total{version=\"$cohort\"}"},"objective":"99.5%"},{"name":"latency","source":"prometheus","latency":{"histogram":"http_request_duration_seconds{version=\"$cohort\"}","below":"300ms"},"objective":"99.5%"}],"commands":[],"every":"10s","on_insufficient":"hold","on_unreachable":"page","watch":"5m","watch_against":"objective","downstream":1,"scan":"note"}
        rollback: {"automatic":true}
        when: "now"
        claims: {"resources":["router:edge/shop"],"effect":"closed"}"#]].assert_eq(&parts.join("\n"));
    assert_eq!(proposal.effect_digest, proposal.compute_effect_digest());
}

// PR5
#[test]
fn a_service_is_changed_where_it_runs() {
    check(
        &with("environment: production", "environment: prodution"),
        &expect![[r#"
            5:1: `environment`: `shop` does not run in `prodution`: the catalog names `staging` and `production`
              help: did you mean `production`?"#]],
    );
    let elsewhere = with("services: [shop]", "services: [nosuch]");
    read(&elsewhere.replace("environment: production", "environment: moon"), &Around::default())
        .expect("nobody says where it runs");
}

// I10: rights and votes go by the services that a change names.
#[test]
fn what_another_service_runs_on_is_changed_in_its_name() {
    let till = GOOD.replace("service: shop, to", "service: till, to");
    check(
        &till,
        &expect![[r#"
        8:3: `plan.target`: it acts on `router:edge/till`, which the catalog lists as a target of `till` and `till-batch`
          help: name `till` or `till-batch` in `services`, so that who answers for it is asked"#]],
    );
    assert!(read(&till.replace("[shop]", "[shop, till-batch]"), &Around::default()).is_ok());
}

#[test]
fn each_strategy_has_its_steps() {
    for (strategy, weights) in [
        ("canary", "5%, 25%, 100%"),
        ("rolling", "25%, 50%, 75%, 100%"),
        ("blue-green", "100%"),
        ("all-at-once", "100%"),
    ] {
        let text = with("strategy: canary", &format!("strategy: {strategy}"));
        let proposal = read(&text, &Around::default()).expect("the file is good");
        let steps: Vec<String> = proposal.plan.steps.iter().map(|s| s.weight.to_string()).collect();
        assert_eq!(steps.join(", "), weights, "{strategy}");
    }
}

#[test]
fn every_field_that_is_wrong_is_named_at_once_with_its_place_and_a_hint() {
    check(
        "\
title: 41
description: [a, list]
kind: confg
owner: ''
services: shop
enviroment: production
plan:
  strategy: canarry
  target: router
  steps:
    - {weight: 5, bake: 5 minutes}
    - {wieght: 25%}
    - {weight: 101%, comparison: both}
verify:
  slis: [{name: UPPER, source: prometheus}, 7]
  commands: [{run: '', timeout: soon}]
  every: fast
  on_insufficient: pass
rollback: true
effects: {cost_per_month: {amount: much, currency: euro}}
after: [CHG-0, 12]
when: tomorrow
links: https://tickets.test/41
",
        &expect![[r#"
            1:1: `environment` is missing
              help: where: `production`, `staging`, ...
            1:1: `title`: expected text, found the number `41`
              help: put it in quotes, so that it is text
            2:1: `description`: expected text, found a list
            3:1: `kind`: `confg` is not known here
              help: did you mean `config`? it can be `code`, `config`, `infrastructure`, `data`, `flag`, `secret`, `access`, `network`, `pipeline`, `platform`, `docs` or `governance`
            4:1: `owner`: the text is empty
            5:1: `services`: expected a list, found the text `shop`
              help: write `[shop]`
            6:1: `enviroment`: there is no field `enviroment`
              help: did you mean `environment`?
            8:3: `plan.strategy`: `canarry` is not known here
              help: did you mean `canary`? it can be `canary`, `blue-green`, `rolling` or `all-at-once`
            9:3: `plan.target`: expected a mapping, found the text `router`
              help: write its fields as `name: value`
            11:8: `plan.steps[0].weight`: expected text, found the number `5`
              help: a share of traffic; write for example `5%`
            11:19: `plan.steps[0].bake`: `5 minutes` does not have the right form
              help: a length of time with one unit: 250ms, 30s, 5m, 4h, 14d or 2w; write for example `5m`
            12:7: `plan.steps[1]`: `weight` is missing
              help: the share of traffic that the new version gets
            12:8: `plan.steps[1].wieght`: there is no field `wieght`
              help: did you mean `weight`?
            13:8: `plan.steps[2].weight`: `101%` does not have the right form
              help: a share of traffic; write for example `5%`
            13:22: `plan.steps[2].comparison`: `both` is not known here
              help: it can be `concurrent`, `objective` or `before`
            15:11: `verify.slis[0].name`: `UPPER` does not have the right form
              help: write for example `checkout-availability`
            15:45: `verify.slis[1]`: expected text or a mapping, found the number `7`
            16:15: `verify.commands[0].run`: the text is empty
            16:24: `verify.commands[0].timeout`: `soon` does not have the right form
              help: a length of time with one unit: 250ms, 30s, 5m, 4h, 14d or 2w; write for example `5m`
            17:3: `verify.every`: `fast` does not have the right form
              help: a length of time with one unit: 250ms, 30s, 5m, 4h, 14d or 2w; write for example `5m`
            18:3: `verify.on_insufficient`: `pass` is not known here
              help: it can be `hold`, `page` or `rollback`
            19:1: `rollback`: expected a mapping, found `true`
              help: write its fields as `name: value`
            20:28: `effects.cost_per_month.amount`: expected a number, found the text `much`
            20:42: `effects.cost_per_month.currency`: `euro` does not have the right form
              help: it has to match `^[A-Z]{3}$`
            21:9: `after[0]`: `CHG-0` does not have the right form
              help: the number of a change; write for example `CHG-7`
            21:16: `after[1]`: expected text, found the number `12`
              help: the number of a change; write for example `CHG-7`
            22:1: `when`: `tomorrow` does not have the right form
              help: `now`, `next-window`, or a time with its zone; write for example `2026-12-01T09:00 Europe/Berlin`
            23:1: `links`: expected a list, found the text `https://tickets.test/41`
              help: write `[https://tickets.test/41]`"#]],
    );
}

#[test]
fn every_field_that_is_missing_is_named_at_once() {
    check(
        "{}",
        &expect![[r#"
        1:1: `environment` is missing
          help: where: `production`, `staging`, ...
        1:1: `kind` is missing
          help: what sort of thing is changed
        1:1: `owner` is missing
          help: the user or group that answers for the change
        1:1: `plan` is missing
          help: the steps of the rollout
        1:1: `rollback` is missing
          help: how it is undone
        1:1: `services` is missing
          help: the services that it changes
        1:1: `title` is missing
          help: what the change does, in one line"#]],
    );
    check(
        "title: x\nplan: {}\nrollback:\n",
        &expect![[r#"
        1:1: `environment` is missing
          help: where: `production`, `staging`, ...
        1:1: `kind` is missing
          help: what sort of thing is changed
        1:1: `owner` is missing
          help: the user or group that answers for the change
        1:1: `services` is missing
          help: the services that it changes
        2:1: `plan`: `strategy` is missing
          help: how the change moves from nobody to everybody
        2:1: `plan`: `target` is missing
          help: where the steps act, and by which driver
        3:1: `rollback`: expected a mapping, found nothing
          help: write its fields as `name: value`"#]],
    );
    check(
        "",
        &expect![[r#"
        1:1: expected a mapping, found nothing
          help: write its fields as `name: value`"#]],
    );
    check(
        "just a sentence",
        &expect![[r#"
        1:1: expected a mapping, found the text `just a sentence`
          help: write its fields as `name: value`"#]],
    );
    check(
        "- a\n- list\n",
        &expect![[r#"
        1:1: expected a mapping, found a list
          help: write its fields as `name: value`"#]],
    );
}

#[test]
fn names_that_nobody_knows_come_with_the_nearest_that_somebody_does() {
    check(
        &with("owner: team-shop", "owner: team-shp"),
        &expect![[r#"
        3:1: `owner`: there is no user or group `team-shp`
          help: did you mean `team-shop`?"#]],
    );
    check(
        &with("owner: team-shop", "owner: zoe"),
        &expect![[r#"
        3:1: `owner`: there is no user or group `zoe`
          help: owners are users and groups of access.yaml: `ada`, `bob` or `team-shop`"#]],
    );
    check(
        &with("driver: router", "driver: ruoter"),
        &expect![[r#"
        8:12: `plan.target.driver`: there is no driver `ruoter`
          help: did you mean `router`? this server has `exec` or `router`"#]],
    );
    check(
        &with("driver: router", "driver: kubernetes"),
        &expect![[r#"
        8:12: `plan.target.driver`: there is no driver `kubernetes`
          help: this server has `exec` or `router`"#]],
    );
    check(
        &with("[availability, latency]", "[avalability, throughput]"),
        &expect![[r#"
        10:10: `verify.slis[0]`: there is no SLI `avalability`
          help: did you mean `availability`?
        10:23: `verify.slis[1]`: there is no SLI `throughput`
          help: define it in `slis.yaml` of the governance directory, or here in place of its name"#]],
    );
    check(
        &with("rollback: {}", "rollback: {automatik: true}"),
        &expect![[r#"
        11:12: `rollback.automatik`: there is no field `automatik`
          help: did you mean `automatic`?"#]],
    );
    check(
        &with("kind: config", "kind: configuration"),
        &expect![[r#"
        2:1: `kind`: `configuration` is not known here
          help: did you mean `config`? it can be `code`, `config`, `infrastructure`, `data`, `flag`, `secret`, `access`, `network`, `pipeline`, `platform`, `docs` or `governance`"#]],
    );
    check(
        &with("service: shop, ", ""),
        &expect!["8:3: `plan.target.service`: the driver `router` needs the service it routes"],
    );
}

// PR2
#[test]
fn a_plan_rises_from_above_nothing_to_everything() {
    let steps = |steps: &str| with("to: v2}", &format!("to: v2}}\n  steps: [{steps}]"));
    check(
        &steps("{weight: 0%}, {weight: 100%}"),
        &expect![[r#"
        9:12: `plan.steps[0].weight`: a step of `0%` changes nothing and can't be verified
          help: remove the step, or give it at least `0.01%`"#]],
    );
    check(
        &steps("{weight: 50%}, {weight: 25%}, {weight: 100%}"),
        &expect![[r#"
        9:27: `plan.steps[1].weight`: `25%` does not rise above the `50%` of the step before
          help: weights rise from step to step"#]],
    );
    check(
        &steps("{weight: 50%}"),
        &expect![[r#"
        9:12: `plan.steps[0].weight`: the last step ends at `50%`
          help: end with a step of `100%`"#]],
    );
    check(
        &steps("{weight: 100%, comparison: concurrent}"),
        &expect![[r#"
        9:26: `plan.steps[0].comparison`: at `100%` there is no other version to compare with
          help: use `objective`"#]],
    );
    check(
        &steps("{weight: 100%, bake: 10m, deadline: 5m}"),
        &expect![[r#"
        9:37: `plan.steps[0].deadline`: the deadline `5m` comes before the bake of `10m` is over
          help: make it longer than the bake"#]],
    );
    check(&steps(""), &expect!["9:3: `plan.steps`: the list is empty"]);
    let two = "strategy: all-at-once\n  steps: [{weight: 5%}, {weight: 100%}]";
    check(
        &with("strategy: canary", two),
        &expect![[r#"
        8:26: `plan.steps[1].weight`: this strategy has one step
          help: use `strategy: canary` for several"#]],
    );
}

// LC6 X8
#[test]
fn a_verification_has_to_be_able_to_answer() {
    let slis = |slis: &str| with("[availability, latency]", &format!("[{slis}]"));
    check(
        &slis("{name: a, source: prometheus, objective: 99%}"),
        &expect!["10:10: `verify.slis[0]`: the SLI `a` needs one of `ratio`, `latency`, `gauge` and `rate`"],
    );
    check(
        &slis("{name: a, source: promethius, objective: 99%, ratio: {bad: x, total: y}}"),
        &expect![[r#"
        10:20: `verify.slis[0].source`: there is no telemetry source `promethius`
          help: did you mean `prometheus`? the sources in clearway.toml: `prometheus`
        10:64: `verify.slis[0].ratio.bad`: `x` does not tell the versions apart
          help: put `$cohort` where the label of the version belongs, as in `version="$cohort"`
        10:72: `verify.slis[0].ratio.total`: `y` does not tell the versions apart
          help: put `$cohort` where the label of the version belongs, as in `version="$cohort"`"#]],
    );
    check(
        &slis("{name: a, source: prometheus, latency: {histogram: h$cohort}, ratio: {bad: x$cohort, total: y$cohort}}"),
        &expect![[r#"
            10:10: `verify.slis[0]`: the SLI `a` has no objective, and a step is compared with it
              help: add for example `objective: 99.5%`, so that a step that takes all traffic can be judged
            10:10: `verify.slis[0]`: the SLI `a` needs one of `ratio`, `latency`, `gauge` and `rate`"#]],
    );
    check(
        &slis("{name: a, source: prometheus, latency: {histogram: h$cohort}, objective: 99%}"),
        &expect![[r#"
        10:40: `verify.slis[0].latency`: an objective on latency needs `below`
          help: add for example `below: 300ms`"#]],
    );
    check(
        &slis("availability, availability"),
        &expect!["10:24: `verify.slis[1]`: the SLI `availability` is listed twice"],
    );
    check(
        &slis("{name: a, source: prometheus, ratio: {bad: x$cohort, total: y$cohort}}"),
        &expect![[r#"
        10:10: `verify.slis[0]`: the SLI `a` has no objective, and a step is compared with it
          help: add for example `objective: 99.5%`, so that a step that takes all traffic can be judged"#]],
    );
    check(
        &with("verify:", "verify:\n  every: 10ms\n  deadline: 1m"),
        &expect![[r#"
        10:3: `verify.every`: a look every `10ms` is outside of 100ms to 1h
        11:3: `verify.deadline`: the deadline comes before the bake of step 1 (`5m`) is over
        11:3: `verify.deadline`: the deadline comes before the bake of step 2 (`5m`) is over
        11:3: `verify.deadline`: the deadline comes before the bake of step 3 (`5m`) is over"#]],
    );
    check(
        &slis("{name: a, source: prometheus, objective: 100%}"),
        &expect![[r#"
        10:40: `verify.slis[0].objective`: `100%` does not have the right form
          help: the share of good events that is promised; write for example `99.5%`"#]],
    );
}

#[test]
fn commands_are_refused_where_the_operator_has_not_allowed_them() {
    let text = with("verify:", "verify:\n  commands: [{run: ./smoke.sh}]");
    check(&text, &expect!["ok: raise the limit of the basket"]);
    check_in(
        &Around { commands: false, ..Around::default() },
        &text,
        &expect![[r#"
        10:3: `verify.commands`: this server does not run commands
          help: ask the operator to set `[commands] allow = true` in clearway.toml"#]],
    );
}

#[test]
fn mistakes_of_form_and_mistakes_of_meaning_are_each_told_together() {
    let text = with("owner: team-shop", "owner: nobody").replace("driver: router", "driver: rooter");
    check(
        &text.replace("[availability, latency]", "[availibility]"),
        &expect![[r#"
        3:1: `owner`: there is no user or group `nobody`
          help: owners are users and groups of access.yaml: `ada`, `bob` or `team-shop`
        8:12: `plan.target.driver`: there is no driver `rooter`
          help: did you mean `router`? this server has `exec` or `router`
        10:10: `verify.slis[0]`: there is no SLI `availibility`
          help: did you mean `availability`?"#]],
    );
}

#[test]
fn what_yaml_makes_of_a_value_is_said_where_it_surprises() {
    check(
        &with("commit: c0ffee", "commit: 1234567"),
        &expect![[r#"
        13:1: `commit`: expected text, found the number `1234567`
          help: put it in quotes, so that it is text"#]],
    );
    check(&with("commit: c0ffee", "commit: 12e4567"), &expect!["ok: raise the limit of the basket"]);
    check(
        &with("commit: c0ffee", "commit: 1e5"),
        &expect![[r#"
        13:1: `commit`: expected text, found the number `100000.0`
          help: put it in quotes, so that it is text"#]],
    );
    check(
        &with("commit: c0ffee", "commit: true"),
        &expect![[r#"
        13:1: `commit`: expected text, found `true`
          help: put it in quotes, so that it is text"#]],
    );
    check(&with("commit: c0ffee", "commit: ~"), &expect!["ok: raise the limit of the basket"]);
    check(
        &with("rollback: {}", "rollback: {automatic: yes}"),
        &expect!["11:12: `rollback.automatic`: expected `true` or `false`, found the text `yes`"],
    );
    check(
        &with("owner: team-shop", "owner: team-shop\nowner: ada"),
        &expect![[r#"
        4:1: `owner`: this key stands here twice
          help: keep one of them"#]],
    );
    check(
        &with("  strategy: canary", "\tstrategy: canary"),
        &expect!["7:2: this is not YAML: tabs disallowed within this context (block indentation)"],
    );
    check(
        &with("title: raise", "title: basket: raise"),
        &expect!["1:14: this is not YAML: mapping values are not allowed in this context"],
    );
    check(&with("rollback: {}", "rollback: {"), &expect!["12:1: this is not YAML: invalid indentation"]);
    check(
        &with("verify:", "verify: 7\nverify_:"),
        &expect![[r#"
        9:1: `verify`: expected a mapping, found the number `7`
          help: write its fields as `name: value`
        10:1: `verify_`: there is no field `verify_`
          help: did you mean `verify`?"#]],
    );
    check(
        &with("verify:", "verify:\n  deadline: 5"),
        &expect![[r#"
            10:3: `verify.deadline`: expected text, found the number `5`
              help: a length of time with one unit: 250ms, 30s, 5m, 4h, 14d or 2w; write for example `5m`"#]],
    );
    check(
        &with("rollback: {}", "rollback: {}\nwhen: 2026-12-01T09:00"),
        &expect![[r#"
            12:1: `when`: `2026-12-01T09:00` has no time zone; write `2026-12-01T09:00 Europe/Berlin` or `2026-12-01T08:00:00Z`"#]],
    );
    check(
        &with("rollback: {}", "rollback: {}\nwhen: 2026-12-01T09:00 Europe/Berlim"),
        &expect![
            "12:1: `when`: the time zone `Europe/Berlim` is not known; write an IANA name such as `Europe/Berlin`"
        ],
    );
    check(
        &with("rollback: {}", "rollback: {}\nwhen: 2026-12-01T09:00 Europe/Berlin"),
        &expect!["ok: raise the limit of the basket"],
    );
}

#[test]
fn bombs_and_floods_are_refused_before_they_are_unfolded() {
    let long = format!("title: {}\n", "x".repeat(10 << 20));
    check(&long, &expect!["1:1: the file has 10485768 bytes; the most that is read is 1048576"]);
    assert!(long.len() > MAX_BYTES);
    check(
        "title: &a [x, x]\nlinks: [*a, *a]\n",
        &expect![[r#"
        2:9: `links[0]`: aliases are not allowed here
          help: write the value out"#]],
    );
    check(
        &format!("title: {}{}\n", "[".repeat(10_000), "]".repeat(10_000)),
        &expect!["1:263: the file is nested more than 24 deep"],
    );
    check(
        &format!("links: [{}]\n", "x, ".repeat(60_000)),
        &expect!["1:150003: `links[49998]`: the file has more than 50000 values"],
    );
    check(
        "title: !!binary aGk=\n",
        &expect![[r#"
        1:8: `title`: tags are not allowed here
          help: remove the word that begins with `!`"#]],
    );
}

fn effect(text: &str) -> Digest {
    read(text, &Around::default()).expect("the file is good").effect_digest
}

// F2
#[test]
fn what_has_no_effect_keeps_the_effect_digest() {
    for (old, new) in [
        ("title: raise the limit of the basket", "title: raise it"),
        ("title:", "description: because it is too low\ntitle:"),
        ("links: [https://tickets.test/41]\n", ""),
        ("owner: team-shop", "owner: ada"),
        ("kind: config", "kind: code"),
        ("commit: c0ffee", "commit: decaf"),
        ("links:", "after: [CHG-3]\nlinks:"),
        ("links:", "when: 2026-12-01T09:00 Europe/Berlin\nlinks:"),
        ("links:", "effects: {slo: none}\nlinks:"),
        ("rollback: {}", "rollback: {automatic: true}"),
        ("environment: production", "environment: production # the shop's own"),
    ] {
        assert_eq!(effect(GOOD), effect(&with(old, new)), "{new}");
        let revision = |text: &str| read(text, &Around::default()).expect("the file is good").revision_digest;
        assert_ne!(revision(GOOD), revision(&with(old, new)), "{new}");
    }
}

// F2
#[test]
fn what_has_an_effect_changes_the_effect_digest() {
    for (old, new) in [
        ("sha256:aa", "sha256:bb"),
        ("artifact: registry/shop@sha256:aa\n", ""),
        ("strategy: canary", "strategy: rolling"),
        ("to: v2}", "to: v2}\n  steps: [{weight: 10%}, {weight: 100%}]"),
        ("to: v2", "to: v3"),
        ("to: v2", "to: v2, drain: true"),
        ("service: shop", "service: cart"),
        ("services: [shop]", "services: [shop, cart]"),
        ("environment: production", "environment: staging"),
        ("[availability, latency]", "[availability]"),
        ("verify:", "verify:\n  on_insufficient: rollback"),
        ("verify:", "verify:\n  watch: 10m"),
        ("verify:", "verify:\n  commands: [{run: ./smoke.sh}]"),
        ("rollback: {}", "rollback: {automatic: false}"),
        ("rollback: {}", "rollback: {runbook: runbooks/shop.md}"),
    ] {
        assert_ne!(effect(GOOD), effect(&with(old, new)), "{new}");
    }
}

// F2
#[test]
fn the_content_behind_a_name_changes_the_effect_digest_too() {
    let text = with("rollback: {}", "rollback: {runbook: runbooks/shop.md}");
    let with_file = |content: &[u8], counter| {
        let files: Files = [("runbooks/shop.md".to_owned(), Digest::of_bytes(content))].into();
        let around = Around { counter, ..Around::default() };
        proposal::read(&text, &files, &around).expect("the file is good").effect_digest
    };
    let digest = with_file(b"call ada", "http_requests_total");
    assert_eq!(digest, with_file(b"call ada", "http_requests_total"));
    assert_ne!(digest, with_file(b"call bob", "http_requests_total"), "another file behind the same path");
    assert_ne!(digest, with_file(b"call ada", "grpc_requests_total"), "another SLI behind the same name");
}

#[test]
fn the_files_that_a_change_names_are_its_scripts_and_its_runbook() {
    let text = with("verify:", "verify:\n  commands: [{run: './smoke.sh --fast'}, {run: curl -f x}]")
        .replace("to: v2", "to: v2, run: ./deploy.sh")
        .replace("rollback: {}", "rollback: {runbook: runbooks/shop.md}");
    assert_eq!(named_files(&text), ["./deploy.sh", "./smoke.sh", "runbooks/shop.md"]);
    assert_eq!(named_files("not: [a, change"), Vec::<String>::new());
}

// F2
#[test]
fn votes_carry_over_only_to_the_same_effect_that_the_digest_covers() {
    let old = |closure: Closure| {
        let mut proposal = read(GOOD, &Around::default()).expect("the file is good");
        proposal.claims.effect = closure;
        crate::world::sealed(proposal)
    };
    type Edit = fn(&mut Proposal);
    let edits: [(&str, Edit); 5] = [
        ("nothing", |_| {}),
        ("the title", |p| p.title.push('!')),
        ("the commit", |p| p.commit = Some("decaf".into())),
        ("the artifact", |p| p.artifact = Some("registry/shop@sha256:bb".into())),
        ("what it comes after", |p| p.after = [ChangeId::new(3)].into()),
    ];
    let mut table = format!("{:<20} {:<8} {}\n", "changed", "closed", "open");
    for (name, edit) in edits {
        let fate = |closure: Closure| {
            let before = old(closure);
            let mut after = before.clone();
            edit(&mut after);
            match carry(&before, &crate::world::sealed(after), Window::Free) {
                Carry::Kept => "kept",
                Carry::Void => "void",
            }
        };
        table.push_str(&format!("{name:<20} {:<8} {}\n", fate(Closure::Closed), fate(Closure::Open)));
    }
    expect![[r#"
        changed              closed   open
        nothing              kept     kept
        the title            kept     kept
        the commit           kept     void
        the artifact         void     void
        what it comes after  kept     kept
    "#]]
    .assert_eq(&table);
}

// F2
#[test]
fn a_driver_that_opens_its_effect_voids_what_was_approved_while_it_was_closed() {
    let closed = read(GOOD, &Around::default()).expect("the file is good");
    let mut open = closed.clone();
    open.claims.effect = Closure::Open;
    assert_eq!(carry(&closed, &crate::world::sealed(open), Window::Free), Carry::Void);
}

fn with_checks(checks: &str) -> String {
    with("  slis: [availability, latency]\n", &format!("  slis: [availability]\n  every: 5s\n  checks:\n{checks}"))
}

// LC6 F1
#[test]
fn every_kind_of_check_can_be_written_and_keeps_its_form() {
    let text = with_checks(
        "    - name: login
      http:
        url: https://$cohort.shop.internal/login
        method: POST
        headers: {accept: application/json, authorization: {env: SHOP_TOKEN}}
        body: '{}'
        status: [200, 300-399]
        body_contains: welcome
        body_matches: '^\\{.*\\}$'
        json: {/status: ok, /db/up: true}
        header: {content-type: json}
        within: 1s
        redirects: follow
        ca_file: shop.pem
      every: 30s
      timeout: 3s
      tries: 2
      objective: 99%
    - {name: port, tcp: {address: '$cohort.shop.internal:5432', send: hi, expect: ho}}
    - {name: name, dns: {name: shop.example, type: MX, resolver: '[::1]:5353', contains: [10 mail.shop.example]}}
    - {name: certificate, tls: {address: 'shop.example:443', server_name: www.shop.example, days_left: 30}}
    - {name: smoke, command: {run: ./smoke.sh --fast}}
",
    );
    let proposal = read(&text, &Around::default()).expect("the file is good");
    let checks = serde_json::to_string(&proposal.verify.checks).expect("checks have a JSON form");
    expect![[r#"[{"name":"login","http":{"url":"https://$cohort.shop.internal/login","method":"POST","headers":{"accept":"application/json","authorization":{"env":"SHOP_TOKEN"}},"body":"{}","status":[200,"300-399"],"body_contains":"welcome","body_matches":"^\\{.*\\}$","json":{"/db/up":true,"/status":"ok"},"header":{"content-type":"json"},"within":"1s","redirects":"follow","ca_file":"shop.pem"},"every":"30s","timeout":"3s","tries":2,"objective":"99%"},{"name":"port","tcp":{"address":"$cohort.shop.internal:5432","send":"hi","expect":"ho"}},{"name":"name","dns":{"name":"shop.example","type":"MX","resolver":"[::1]:5353","contains":["10 mail.shop.example"]}},{"name":"certificate","tls":{"address":"shop.example:443","server_name":"www.shop.example","days_left":30}},{"name":"smoke","command":{"run":"./smoke.sh --fast"}}]"#]].assert_eq(&checks);
    assert_eq!(
        serde_json::from_str::<Vec<change::verification::synthetic::SyntheticCheck>>(&checks).ok(),
        Some(proposal.verify.checks)
    );
    assert_eq!(named_files(&text), ["./smoke.sh"], "the script is digested as those of the plan are");
}

#[test]
fn every_mistake_in_a_check_is_named_with_its_place_and_a_hint() {
    check(
        &with_checks(
            "    - {name: a, http: {url: 'ftp://x', metod: GET, status: [99, 200-3000], redirects: yes, headers: {a: {evn: X}}}, every: 5}
    - {name: B, dns: {name: x, type: PTR}, tries: 9, tcp: {adress: x}}
",
        ),
        &expect![[r#"
            13:24: `verify.checks[0].http.url`: `ftp://x` does not have the right form
              help: write for example `https://$cohort.shop.internal/health`
            13:40: `verify.checks[0].http.metod`: there is no field `metod`
              help: did you mean `method`?
            13:61: `verify.checks[0].http.status[0]`: value is less than the minimum of 100
            13:65: `verify.checks[0].http.status[1]`: `200-3000` does not have the right form
              help: write for example `200-299`
            13:76: `verify.checks[0].http.redirects`: `yes` is not known here
              help: it can be `refuse` or `follow`
            13:102: `verify.checks[0].http.headers.a`: `env` is missing
              help: a variable that `[checks] env` in clearway.toml lists
            13:106: `verify.checks[0].http.headers.a.evn`: there is no field `evn`
              help: the fields here are `env`
            13:117: `verify.checks[0].every`: expected text, found the number `5`
              help: a length of time with one unit: 250ms, 30s, 5m, 4h, 14d or 2w; write for example `5m`
            14:8: `verify.checks[1].name`: `B` does not have the right form
              help: write for example `login-page`
            14:32: `verify.checks[1].dns.type`: `PTR` is not known here
              help: it can be `A`, `AAAA`, `CNAME`, `TXT`, `MX` or `NS`
            14:44: `verify.checks[1].tries`: value is greater than the maximum of 5
            14:54: `verify.checks[1].tcp`: `address` is missing
            14:60: `verify.checks[1].tcp.adress`: there is no field `adress`
              help: did you mean `address`?"#]],
    );
    check(
        &with_checks(
            "    - {name: availability, http: {url: 'http://ada:pw@x/'}}
    - {name: two, http: {url: 'http://x'}, tcp: {address: 'x:1'}}
    - {name: two, command: {run: ls}}
    - {name: none}
    - {name: time, tcp: {address: 'x:1'}, every: 1s, timeout: 2m}
    - {name: tries, tcp: {address: 'x:1'}, timeout: 5s, tries: 3}
    - {name: parts, http: {url: 'http://x', headers: {host: y, 'a b': c}, json: {$.a.b: 1}, body_matches: '(a'}}
    - {name: addresses, tcp: {address: shop}}
    - {name: dns, dns: {name: 'a b', resolver: 'x:y', contains: [a], equals: [b]}}
    - {name: tls, tls: {address: '$cohort.shop:0'}}
",
        ),
        &expect![[r#"
            13:8: `verify.checks[0].name`: another check or SLI is named `availability`
            13:35: `verify.checks[0].http.url`: a URL must not hold credentials: everybody can read a change
              help: send them in a header: `headers: {authorization: {env: NAME}}`
            14:7: `verify.checks[1]`: the check `two` needs one of `http`, `tcp`, `dns`, `tls` and `command`
            15:8: `verify.checks[2].name`: another check or SLI is named `two`
            16:7: `verify.checks[3]`: the check `none` needs one of `http`, `tcp`, `dns`, `tls` and `command`
            17:43: `verify.checks[4].every`: `1s` is shorter than the time between two looks, `5s`
              help: leave it out to run with each look, or look more often
            17:54: `verify.checks[4].timeout`: a run may take `2m`; a run takes more than nothing and at most `10s`
            18:44: `verify.checks[5].timeout`: a run may take `15s`: 3 tries of `5s`; a run takes more than nothing and at most `10s`
            19:45: `verify.checks[6].http.headers`: `a b` is no name of a header
            19:45: `verify.checks[6].http.headers`: the header `host` can't be set
              help: it follows from the URL and the body
            19:75: `verify.checks[6].http.json`: `$.a.b` is no JSON pointer
              help: write `/a/b`
            19:93: `verify.checks[6].http.body_matches`: this is no regular expression: unclosed group
            20:31: `verify.checks[7].tcp.address`: `shop` is no address
              help: write it as `host:port`
            21:25: `verify.checks[8].dns.name`: `a b` is no name
            21:38: `verify.checks[8].dns.resolver`: `x:y` is no address of a resolver
              help: write for example `10.0.0.53` or `dns.internal:5353`
            21:55: `verify.checks[8].dns.contains`: both `contains` and `equals` are given
              help: `equals` says it all
            22:25: `verify.checks[9].tls.address`: `$cohort.shop:0` is no address
              help: write it as `host:port`"#]],
    );
    check_in(
        &Around { commands: false, ..Around::default() },
        &with_checks("    - {name: smoke, command: {run: ls}}\n"),
        &expect![[r#"
            13:21: `verify.checks[0].command`: this server does not run commands
              help: ask the operator to set `[commands] allow = true` in clearway.toml"#]],
    );
}
