//! What a bundle says of changes, and how it closes the gate when something goes wrong. The built-in rules have tests of their own beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use change::Timestamp;
use change::assessment::{Assessment, Risk, Signing, Window};
use change::catalog::{Catalog, Service};
use change::facts::{Facts, History};
use change::governance::Matrix;
use change::proposal::{Kind, Proposal};
use change::rollout::{Strategy, Weight};
use expect_test::{Expect, expect};
use policy::{Bundle, PolicyError, TestRun};
use serde_json::json;

/// A canary of one service in production, on a Tuesday morning.
fn proposal(kind: &str) -> Proposal {
    let digest = change::Digest::of_bytes(b"test");
    let step = |weight: &str, comparison: &str| json!({"weight": weight, "bake": "5m", "deadline": "30m", "comparison": comparison});
    let sli =
        json!({"name": "errors", "source": "prometheus", "ratio": {"bad": "b", "total": "t"}, "objective": "99%"});
    serde_json::from_value(json!({
        "title": "A change", "kind": kind, "owner": "ada", "services": ["cart"], "environment": "production",
        "plan": {
            "strategy": "canary", "target": {"driver": "router"},
            "steps": [step("5%", "concurrent"), step("25%", "concurrent"), step("100%", "objective")],
        },
        "verify": {
            "slis": [sli], "commands": [], "every": "10s", "on_insufficient": "hold", "on_unreachable": "page", "watch": "5m",
        },
        "rollback": {"automatic": true}, "commit": "4f2c9", "claims": {"resources": ["router:cart"], "effect": "closed"},
        "revision_digest": digest, "effect_digest": digest,
    }))
    .expect("a proposal")
}

fn facts(proposal: &Proposal) -> Facts {
    let now: Timestamp = "2026-12-01T10:00:00Z".parse().expect("a time");
    Facts::of(proposal, "bob", &Catalog::default(), History::default(), now)
}

fn bundle(rules: &[(&str, &str)]) -> Result<Bundle, PolicyError> {
    Bundle::compile(&modules(rules))
}

fn modules(rules: &[(&str, &str)]) -> BTreeMap<String, String> {
    rules.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

fn assess(rules: &str, proposal: &Proposal) -> Assessment {
    let text = format!("package clearway.shop\n{rules}\n");
    let bundle = bundle(&[("policy/shop.rego", &text)]).expect(rules);
    bundle.assess(&facts(proposal), &Matrix::default_rules(), proposal)
}

fn summary(a: &Assessment) -> String {
    let factors: Vec<String> = a.factors.iter().map(|f| format!("{} {}", f.code, f.points)).collect();
    let requires: Vec<String> = a.requires.iter().map(|r| format!("{} x{} in {}", r.by, r.count, r.within)).collect();
    let denials: Vec<&str> = a.denials.iter().map(|d| d.code.as_str()).collect();
    let list = |items: &[String]| if items.is_empty() { "nobody".to_owned() } else { items.join(", ") };
    format!(
        "{} {} ({}); asks {}; {} warnings; denied {denials:?}",
        a.score,
        a.level,
        factors.join(", "),
        list(&requires),
        a.warnings.len()
    )
}

#[test]
fn everyday_changes_come_out_as_people_would_expect() {
    let check = |adjust: fn(&mut Proposal), kind: &str, expected: Expect| {
        let mut proposal = proposal(kind);
        adjust(&mut proposal);
        let bundle = bundle(&[]).expect("the built-in rules");
        expected.assert_eq(&summary(&bundle.assess(&facts(&proposal), &Matrix::default_rules(), &proposal)));
    };
    check(|_| {}, "config", expect!["22 low (kind 12, production 10); asks nobody; 0 warnings; denied []"]);
    check(
        |_| {},
        "code",
        expect!["25 medium (production 10, kind 8, untested 7); asks approvers x1 in 1d; 0 warnings; denied []"],
    );
    check(
        |_| {},
        "access",
        expect!["55 high (kind 45, production 10); asks approvers x1 in 1d; 2 warnings; denied []"],
    );
    check(|_| {}, "data", expect!["50 high (kind 40, production 10); asks approvers x1 in 1d; 0 warnings; denied []"]);
    check(
        |p| {
            p.plan.strategy = Strategy::AllAtOnce;
            p.plan.steps.drain(..2);
            p.rollback.automatic = false;
        },
        "infrastructure",
        expect![
            "80 critical (kind 35, all_at_once 10, first_step 10, manual_rollback 10, production 10, no_runbook 5); asks approvers x1 in 1d; 1 warnings; denied []"
        ],
    );
    check(
        |p| {
            p.verify.slis.clear();
            p.plan.steps[0].weight = Weight::FULL;
            p.plan.steps.truncate(1);
            p.rollback.automatic = false;
        },
        "docs",
        expect!["0 low (kind 0); asks nobody; 0 warnings; denied []"],
    );
    check(
        |p| p.verify.slis.clear(),
        "flag",
        expect![[r#"18 low (production 10, kind 8); asks nobody; 0 warnings; denied ["no_verification"]"#]],
    );
}

#[test]
fn a_loaded_catalog_and_a_bad_history_are_seen() {
    let service = |name: &str, tier, depends_on: &[&str], data: &[&str]| Service {
        tier,
        depends_on: depends_on.iter().map(|d| (*d).into()).collect(),
        data: data.iter().map(|d| (*d).into()).collect(),
        ..Service::named(name, "ada")
    };
    let catalog = Catalog::new(vec![service("cart", 1, &[], &["payment"]), service("web", 2, &["cart"], &[])]);
    let mut proposal = proposal("code");
    proposal.services.insert("ghost".into());
    let history = History { ended: 4, rolled_back: 1, same_effect_rolled_back: true, ..History::default() };
    let now: Timestamp = "2026-12-01T10:00:00Z".parse().expect("a time");
    let facts = Facts::of(&proposal, "bob", &catalog, history, now);
    let said = bundle(&[]).expect("the built-in rules").assess(&facts, &Matrix::default_rules(), &proposal);
    expect!["100 critical (rolled_back_before 40, failure_rate 15, sensitive_data 15, tier 12, production 10, unknown_service 10, kind 8, untested 7, services 5, first_by_author 3, dependents 2); asks approvers x1 in 1d, service-owners x1 in 1d; 1 warnings; denied []"].assert_eq(&summary(&said));
}

// LC2: a catalog that knows none of the services of a change knows of that too.
#[test]
fn services_that_nobody_knows_make_a_change_riskier_and_not_less_risky() {
    let now: Timestamp = "2026-12-01T10:00:00Z".parse().expect("a time");
    let points = |services: Vec<Service>| {
        let mut proposal = proposal("config");
        proposal.services = ["ghost".to_owned()].into();
        let facts = Facts::of(&proposal, "bob", &Catalog::new(services), History::default(), now);
        let said = bundle(&[]).expect("the built-in rules").assess(&facts, &Matrix::default_rules(), &proposal);
        (said.score, said.factors.iter().any(|factor| factor.code == "unknown_service"))
    };
    let (without, with) = (points(vec![]), points(vec![Service::named("shop", "ada")]));
    assert_eq!((without.1, with.1), (false, true));
    assert!(with.0 > without.0, "{with:?} {without:?}");
}

#[test]
fn every_kind_has_its_points_in_the_built_in_rules() {
    use Kind::*;
    let kinds =
        [Code, Config, Infrastructure, Data, Flag, Secret, Access, Network, Pipeline, Platform, Docs, Governance];
    let pack = include_str!("../pack/risk.rego");
    for kind in kinds {
        assert!(pack.contains(&format!("\t\"{kind}\": ")), "{kind}");
    }
}

#[test]
fn the_organisation_adds_denials_warnings_points_and_requirements() {
    let rules = r#"
deny contains {"code": "no_friday", "reason": "not on Tuesdays either"} if input.now.weekday == "tuesday"
warn contains "look twice" if input.change.kind == "code"
warn contains {"reason": "look thrice"}
score contains {"code": "own", "points": 30, "reason": "ours"}
require contains {"by": "approvers", "count": 2, "within": "4h"}
require contains {"by": "dba"}
"#;
    let said = assess(rules, &proposal("code"));
    expect![[r#"55 high (own 30, production 10, kind 8, untested 7); asks approvers x2 in 4h, dba x1 in 1d; 2 warnings; denied ["no_friday"]"#]].assert_eq(&summary(&said));
    assert!(!said.allows());
    assert_eq!(said.denials[0].reason, "not on Tuesdays either");
    assert_eq!(said.warnings, ["look thrice", "look twice"]);
}

#[test]
fn a_matrix_without_a_rule_for_the_change_denies_it() {
    let proposal = proposal("config");
    let said = bundle(&[]).expect("the built-in rules").assess(
        &facts(&proposal),
        &Matrix { rules: vec![], emergency: Default::default() },
        &proposal,
    );
    assert_eq!(said.denials.len(), 1);
    assert_eq!(said.denials[0].code, "no_approval_rule");
    assert_eq!(said.denials[0].reason, "no rule of approvals.yaml matches a change of low risk like this one");
    assert!(said.requires.is_empty());
}

#[test]
fn what_goes_wrong_in_a_rule_closes_the_gate() {
    let check = |rules: &str, expected: Expect| {
        let said = assess(rules, &proposal("docs"));
        assert_eq!((said.score, said.level, said.allows()), (100, Risk::Critical, false), "{rules}");
        let codes: Vec<&str> = said.denials.iter().map(|d| d.code.as_str()).collect();
        assert_eq!((codes, said.factors.len()), (vec!["policy_error"], 1), "{rules}");
        expected.assert_eq(&said.denials[0].reason);
    };
    check(
        "deny contains {\"code\": \"x\", \"reason\": y} if y := 1 / 0",
        expect!["policy/shop.rego:2: divide by zero"],
    );
    check(
        "deny contains {\"code\": \"x\", \"reason\": y} if y := lower(3)",
        expect!["policy/shop.rego:2: `lower` expects string argument. Got `3` instead"],
    );
    check(
        "deny contains {\"code\": \"x\", \"reason\": y} if y := unheard.of(3)",
        expect!["policy/shop.rego:2: could not find function unheard.of"],
    );
    check(
        "deny if input.change.kind == \"docs\"",
        expect![[
            r#"`deny` of `clearway.shop` is not a set; write `deny contains {"code": "...", "reason": "..."} if ...`"#
        ]],
    );
    check(
        "deny contains \"no\"",
        expect![[
            r#"`deny` of `clearway.shop` has `"no"` in it, not `{"code": "...", "reason": "..."}`: invalid type: string "no""#
        ]],
    );
    check(
        "score contains {\"code\": \"x\", \"points\": 500, \"reason\": \"y\"}",
        expect![[
            r#"`score` of `clearway.shop` has `{"code":"x","points":500,"reason":"y"}` in it, not `{"code": "...", "points": 0 to 100, "reason": "..."}`: invalid value: integer `500`"#
        ]],
    );
    check(
        "a := 1\na := 2\nwarn contains \"w\" if a == 1",
        expect!["policy/shop.rego:3: rule conflicts with rule at policy/shop.rego:2:1"],
    );
    check(
        "a if b\nb if a\nwarn contains \"w\" if a",
        expect!["policy/shop.rego:2: recursion detected when evaluating rule"],
    );
    check(
        "warn contains \"w\" if count(numbers.range(1, 1000000000000)) > 1",
        expect!["policy/shop.rego:2: a range of more than 10000 numbers"],
    );
    check(
        "warn contains sprintf(\"%2000000000d\", [1])",
        expect!["policy/shop.rego:2: `sprintf` with a field of a thousand columns or more"],
    );
    check(
        "warn contains sprintf(\"%d\", [bits.lsh(1, 4000000000)])",
        expect!["policy/shop.rego:2: a shift by more than 1024"],
    );
    check(
        "warn contains \"w\" if time.clock([0, \"Local\"])[0] == 1",
        expect!["policy/shop.rego:2: the time zone `Local` depends on the machine; name a zone"],
    );
    check(
        "f(x) := data.clearway[sprintf(\"%s\", [\"shop\"])].g\ng := f(1)\nwarn contains \"w\" if g",
        expect!["policy/shop.rego:3: recursion detected when evaluating rule"],
    );
}

#[test]
fn a_rule_without_an_end_is_stopped_after_a_second() {
    let loops = "n := numbers.range(1, 10000)\nwarn contains \"w\" if { some a in n; some b in n; some c in n; a + b == c - 50000 }";
    let huge = "n := numbers.range(1, 10000)\nwarn contains \"w\" if count([[a, b] | some a in n; some b in n]) > 1";
    for rules in [loops, huge] {
        let start = Instant::now();
        let said = assess(rules, &proposal("docs"));
        assert_eq!(said.denials[0].reason, "the policies took longer than 1 s");
        assert_eq!(said.denials[0].code, "policy_error");
        // Generous, since the machine may be busy; without a limit each of them would take hours or all memory.
        assert!(start.elapsed() < Duration::from_secs(60));
    }
}

#[test]
fn modules_that_depend_on_one_another_in_a_long_chain_have_room() {
    let chain: String = (0..1_500).map(|i| format!("r{i} := r{}\n", i + 1)).collect();
    let said = assess(&format!("{chain}r1500 := 1\nwarn contains \"at the end\" if r0 == 1"), &proposal("docs"));
    assert_eq!((said.warnings, said.denials), (vec!["at the end".to_owned()], vec![]));
}

#[test]
fn an_error_in_a_module_is_reported_with_file_line_and_message() {
    let check = |rules: &[(&str, &str)], expected: Expect| {
        expected.assert_eq(&bundle(rules).expect_err("each of them is wrong").to_string());
    };
    let ours = |rules: &'static str| [("policy/shop.rego", rules)];
    check(
        &ours("package clearway.shop\n\ndeny contains {\"code\": \"x\" if true\n"),
        expect!["policy/shop.rego:3: expecting `}` while parsing object"],
    );
    check(
        &ours("package clearway.shop\n\nwarn contains \"w\" if y > 1\n"),
        expect!["policy/shop.rego:3: use of undefined variable `y` is unsafe"],
    );
    check(
        &ours("package clearway.shop\n\n\nwarn contains \"w\" if \"a\n"),
        expect!["policy/shop.rego:4: invalid character in string"],
    );
    check(
        &ours("package clearway.shop\nwarn contains x if x := http.send({})\n"),
        expect!["policy/shop.rego:2: `http.send` is not for policies: policies don't reach the network"],
    );
    check(
        &ours("package clearway.shop\nwarn contains \"w\" if\n time.now_ns() > 1\n"),
        expect![
            "policy/shop.rego:3: `time.now_ns` is not for policies: an assessment comes out the same when it is run again; use `input.now`"
        ],
    );
    check(
        &ours("package clearway.shop\nf(x) := f(x)\n"),
        expect![
            "policy/shop.rego:2: a function can't come to call itself: data.clearway.shop.f -> data.clearway.shop.f"
        ],
    );
    check(
        &ours("package claerway.shop\ndeny contains {\"code\": \"x\", \"reason\": \"y\"}\n"),
        expect![
            "policy/shop.rego:1: nobody asks `deny` of the package `claerway.shop`; name it `clearway.claerway.shop`"
        ],
    );
    check(
        &ours("package clearway.builtin.risk\nkind_points := {}\n"),
        expect![
            "policy/shop.rego:1: the package `clearway.builtin.risk` is built in; choose a name of your own below `clearway`"
        ],
    );
    check(&ours(""), expect!["policy/shop.rego:1: expecting `package` Missing package declaration."]);
    check(
        &[("builtin/risk.rego", "package clearway.shop\n")],
        expect!["builtin/risk.rego:1: paths below `builtin/` are built in; choose another"],
    );
    check(
        &[("policy/shop_test.rego", "package clearway.shop_test\ntest_x if y\n")],
        expect!["policy/shop_test.rego:2: use of undefined variable `y` is unsafe"],
    );
}

#[test]
fn packages_of_any_name_below_clearway_are_asked_and_libraries_may_lie_elsewhere() {
    let rules = [
        ("policy/lib.rego", "package lib.text\nloud(x) := upper(x)\n"),
        ("policy/root.rego", "package clearway\nwarn contains \"from the root\"\n"),
        (
            "policy/deep.rego",
            "package clearway.a.b[\"c-d.e\"]\nimport data.lib.text\nwarn contains text.loud(\"from below\")\n",
        ),
    ];
    let proposal = proposal("config");
    let said = bundle(&rules).expect("they compile").assess(&facts(&proposal), &Matrix::default_rules(), &proposal);
    assert_eq!((said.warnings, said.denials), (vec!["FROM BELOW".to_owned(), "from the root".to_owned()], vec![]));
}

#[test]
fn the_same_facts_give_the_same_assessment_and_other_rules_another_digest() {
    let proposal = proposal("infrastructure");
    let rules = [("policy/a.rego", "package clearway.a\nwarn contains w if some w in [\"b\", \"a\"]\n")];
    let (one, two) = (bundle(&rules).expect("compiles"), bundle(&rules).expect("compiles"));
    let ask = |bundle: &Bundle| bundle.assess(&facts(&proposal), &Matrix::default_rules(), &proposal);
    assert_eq!(ask(&one), ask(&two));
    assert_eq!(ask(&one), ask(&one.clone()));
    assert_eq!(ask(&one).policy, one.digest());
    assert_eq!(ask(&one).input, change::Digest::of_value(&facts(&proposal)));
    assert_eq!(ask(&one).effect, proposal.effect_digest);
    let renamed = [("policy/b.rego", rules[0].1)];
    let digests: BTreeSet<_> = [&[][..], &rules, &renamed].map(|r| bundle(r).expect("compiles").digest()).into();
    assert_eq!(digests.len(), 3);
}

#[test]
fn tests_of_the_organisation_run_but_are_never_asked() {
    let modules = modules(&[
        ("policy/shop.rego", "package clearway.shop\nwarn contains \"big\" if input.size > 3\n"),
        (
            "policy/shop_test.rego",
            "package clearway.shop\ntest_big if count(warn) == 1 with input as {\"size\": 4}\ntest_small if count(warn) == 1 with input as {\"size\": 3}\ndeny contains {\"code\": \"test\", \"reason\": \"a fixture\"}\n",
        ),
    ]);
    let proposal = proposal("config");
    let bundle = Bundle::compile(&modules).expect("they compile");
    let said = bundle.assess(&facts(&proposal), &Matrix::default_rules(), &proposal);
    assert_eq!((said.denials, said.warnings), (vec![], vec![]));
    let run = |line, name: &str, failure: Option<&str>| TestRun {
        file: "policy/shop_test.rego".into(),
        line,
        name: name.into(),
        failure: failure.map(str::to_owned),
    };
    let expected = [run(2, "test_big", None), run(3, "test_small", Some("it is undefined"))];
    assert_eq!(TestRun::all(&modules), Ok(expected.to_vec()));
}

/// The only denial, which has to be that of a policy that failed, and in time.
fn closed_by(rules: &str) -> String {
    let start = Instant::now();
    let said = assess(rules, &proposal("docs"));
    assert_eq!((said.score, said.allows(), said.denials[0].code.as_str()), (100, false, "policy_error"), "{rules}");
    assert!(start.elapsed() < Duration::from_secs(60), "{rules}");
    said.denials[0].reason.clone()
}

/// A chain of rules, each made of the one before.
fn chain(first: &str, next: impl Fn(&str) -> String, length: usize, last: &str) -> String {
    let links: String = (1..=length).map(|i| format!("x{i} := {}\n", next(&format!("x{}", i - 1)))).collect();
    format!("x0 := {first}\n{links}warn contains \"w\" if {}\n", last.replace('X', &format!("x{length}")))
}

#[test]
fn a_bomb_of_memory_closes_the_gate_in_the_line_where_it_would_go_off() {
    let doubled = |with: &'static str| move |x: &str| with.replace('X', x);
    let cases = [
        chain("\"aaaaaaaaaaaaaaaa\"", doubled("concat(\"\", [X, X])"), 30, "count(X) > 1"),
        chain("\"aa\"", doubled("replace(X, \"a\", \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\")"), 9, "count(X) > 1"),
        chain("\"aa\"", doubled("regex.replace(X, \"a\", \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaa\")"), 9, "count(X) > 1"),
        chain("\"aa\"", doubled("strings.replace_n({\"a\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaa\"}, X)"), 9, "count(X) > 1"),
        chain("\"a\"", doubled("sprintf(\"%s%s\", [X, X])"), 40, "count(X) > 1"),
        chain("\"a\"", doubled("base64.encode(concat(\"\", [X, X]))"), 40, "count(X) > 1"),
        chain("\"a\"", doubled("json.marshal([X, X])"), 40, "count(X) > 1"),
        chain("\"1\"", doubled("json.marshal(json.unmarshal(sprintf(\"[%s,%s]\", [X, X])))"), 40, "count(X) > 1"),
        chain("[1]", doubled("array.concat(X, X)"), 40, "count(X) > 1"),
        chain("[1]", doubled("[X, X]"), 60, "json.marshal(X) != \"\""),
        chain("{\"a\": 1}", doubled("object.union({\"b\": X}, {\"c\": X})"), 60, "count(X) > 1"),
        chain("[1]", doubled("[X, X]"), 60, "count([p | walk(X, [p, _])]) > 1"),
        "a := to_number(\"1e999999999\")\nwarn contains \"w\" if a > 1".to_owned(),
        "warn contains \"w\" if regex.match(\"((a{900}){900}){900}\", \"a\")".to_owned(),
    ];
    for rules in cases {
        let reason = closed_by(&rules);
        let bounded = ["a value of more than", "made more than", "more than 400 digits", "a pattern whose counts"];
        assert!(bounded.iter().any(|words| reason.contains(words)), "{rules}\n{reason}");
        assert!(reason.starts_with("policy/shop.rego:"), "{reason}");
    }
}

#[test]
fn what_is_collected_without_an_end_is_stopped_by_the_clock() {
    let n = "n := numbers.range(1, 10000)\n";
    let cases = [
        format!("{n}warn contains \"w\" if count({{[a, b]: [n, a, b] | some a in n; some b in n}}) > 1"),
        format!("{n}warn contains \"w\" if count([[b | some b in n; b != a] | some a in n]) > 1"),
        format!("{n}o := {{a: {{b: true | some b in n}} | some a in n}}\nwarn contains \"w\" if count(o) > 1"),
    ];
    for rules in cases {
        assert_eq!(closed_by(&rules), "the policies took longer than 1 s");
    }
}

#[test]
fn an_answer_that_is_huge_or_an_input_that_is_closes_the_gate() {
    let deep = chain("[\"reason\"]", |x| format!("[{x}, {x}]"), 40, "true");
    let rules = format!("{deep}deny contains {{\"code\": \"x\", \"reason\": \"y\", \"more\": x40}}");
    assert_eq!(closed_by(&rules), "the policies answered more than 262144 bytes");
    let proposal = proposal("docs");
    let bundle = bundle(&[]).expect("the built-in rules");
    let said = bundle.assess_input(&format!("\"{}\"", "x".repeat(9 << 20)), &Matrix::default_rules(), &proposal);
    assert!(said.denials[0].reason.contains("the most that policies are given"), "{said:?}");
}

// F4, X16
#[test]
fn levels_checklists_and_windows_stand_in_the_assessment() {
    let soft = "# METADATA\n# title: Shop\n# custom: {level: soft, override_by: [sre]}\npackage clearway.shop\n";
    let rules = r#"
deny contains {"code": "late", "reason": "it is late"}
deny contains {"code": "never", "reason": "never", "level": "hard"}
require contains {"window": "required"}
require contains {"by": "approvers", "escalate": ["leads"], "signature": "required", "remind": "2h"}
checklist contains {"list": "before-production", "code": "load", "title": "A load test", "evidence": "k6 run 12"}
"#;
    let advisory = "# METADATA\n# custom: {level: advisory}\npackage clearway.hint\ndeny contains {\"code\": \"h\", \"reason\": \"mind it\"}\n";
    let text = format!("{soft}{rules}");
    let proposal = proposal("code");
    let bundle = bundle(&[("policy/shop.rego", &text), ("policy/hint.rego", advisory)]).expect("they compile");
    let said = bundle.assess(&facts(&proposal), &Matrix::default_rules(), &proposal);
    let levels: Vec<String> =
        said.denials.iter().map(|d| format!("{} {} {:?}", d.code, d.level, d.override_by)).collect();
    assert_eq!(levels, [r#"late soft {"sre"}"#, "never hard {}"]);
    assert_eq!((said.window, said.checklist.len()), (Window::Required, 1));
    assert_eq!(said.warnings, ["mind it (`h`, advisory)"]);
    let asked = said.requires.iter().find(|r| r.by == "approvers").expect("they are asked");
    assert_eq!((asked.signature, asked.escalate.len()), (Signing::Required, 1));
}

#[test]
fn a_bundle_is_made_again_from_what_was_kept_of_it() {
    let proposal = proposal("code");
    let rules = [
        ("policy/a.rego", "package clearway.a\nwarn contains \"w\"\n"),
        ("policy/a_test.rego", "package clearway.a\ntest_w if \"w\" in warn\n"),
    ];
    let one = bundle(&rules).expect("compiles");
    let kept = one.to_keep();
    assert_eq!(change::Digest::of_bytes(&kept), one.digest());
    let again = Bundle::of_kept(&kept).expect("it is a bundle");
    let ask = |bundle: &Bundle| bundle.assess(&facts(&proposal), &Matrix::default_rules(), &proposal);
    assert_eq!((again.digest(), ask(&again)), (one.digest(), ask(&one)));
    assert!(Bundle::of_kept(b"{}x").is_err());
}

#[test]
fn lines_that_no_test_reaches_are_named() {
    let modules = modules(&[
        (
            "policy/shop.rego",
            "package clearway.shop\nwarn contains \"big\" if input.size > 3\nwarn contains \"old\" if {\n\tinput.age > 3\n\tinput.worn\n}\n",
        ),
        (
            "policy/shop_test.rego",
            "package clearway.shop_test\nimport data.clearway.shop\ntest_big if count(shop.warn) == 1 with input as {\"size\": 4, \"age\": 1}\n",
        ),
    ]);
    let tested = policy::testing::test(&modules).expect("they compile");
    assert_eq!((tested.failed(), tested.coverage.len()), (0, 1));
    let shop = &tested.coverage[0];
    assert_eq!((shop.file.as_str(), &shop.not_covered), ("policy/shop.rego", &BTreeSet::from([3, 5])), "{shop:?}");
    assert!((shop.percent() - 50.0).abs() < 0.1, "{shop:?}");
}
