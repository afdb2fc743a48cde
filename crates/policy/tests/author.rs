//! What the author of a rule can ask about it: which rule said what, what it is for, and what it names that is gone.

use std::collections::BTreeMap;

use change::governance::Governance;
use policy::Bundle;
use policy::doc::Whose;
use policy::drift::Drift;
use serde_json::{Value, json};

const RULES: &str = r#"# METADATA
# title: The shop's own rules
# description: What the shop does not do.
# custom: {level: soft, override_by: [sre], review_by: 2026-06-01, owner: ada}
package clearway.shop

# METADATA
# title: Fridays are quiet
# description: Who would mend it on Saturday?
deny contains {"code": "friday", "reason": "it is Friday"} if friday

deny contains {"code": code, "reason": "it is a ghost"} if {
	code := sprintf("ghost_%s", ["x"])
	"ghost" in input.change.services
}

# A helper.
friday if input.now.weekday == "friday"

require contains {"by": "nobody", "count": 1} if input.change.kind == "teleport"

score contains {"code": "moon", "points": 3, "reason": "r"} if input.change.environment == "moon"
"#;

fn bundle() -> Bundle {
    Bundle::compile(&BTreeMap::from([("policy/shop.rego".to_owned(), RULES.to_owned())])).expect("it compiles")
}

fn input() -> Value {
    json!({"change": {"kind": "docs", "services": ["ghost"], "environment": "production"}, "now": {"weekday": "friday", "hour": 9}})
}

#[test]
fn each_answer_is_led_back_to_its_rule_with_what_the_rule_says_of_itself_and_reads() {
    let explained = bundle().explain(&input().to_string()).expect("it answers");
    let of = |code: &str| {
        explained.iter().find(|e| e.answer["code"] == code).unwrap_or_else(|| panic!("{code}: {explained:?}"))
    };
    let friday = of("friday");
    assert_eq!(
        (friday.file.as_str(), friday.line, friday.title.as_deref()),
        ("policy/shop.rego", 10, Some("Fridays are quiet"))
    );
    assert_eq!(friday.reads, BTreeMap::from([("input.now.weekday".to_owned(), json!("friday"))]));
    // Its code stands nowhere in the text, and its title is that of the package.
    let ghost = of("ghost_x");
    assert_eq!((ghost.line, ghost.title.as_deref()), (12, Some("The shop's own rules")));
    assert_eq!(ghost.reads["input.change.services"], json!(["ghost"]));
    // A built-in one.
    assert_eq!(of("kind").file, "builtin/risk.rego");
    assert_eq!(explained.iter().filter(|e| e.kind == "deny").count(), 2);
}

#[test]
fn rules_that_are_all_described_are_told_apart() {
    let rules = "package clearway.shop\n# METADATA\n# title: One\nwarn contains \"1\"\n# METADATA\n# title: Two\nwarn contains \"2\"\n";
    let bundle =
        Bundle::compile(&BTreeMap::from([("policy/shop.rego".to_owned(), rules.to_owned())])).expect("it compiles");
    let explained = bundle.explain(&input().to_string()).expect("it answers");
    let of = |answer: &str| explained.iter().find(|e| e.answer == answer).map(|e| (e.line, e.title.as_deref()));
    assert_eq!((of("1"), of("2")), (Some((4, Some("One"))), Some((7, Some("Two")))));
}

// X23
#[test]
fn rules_that_name_what_is_gone_and_what_no_rule_covers_are_found() {
    let files = BTreeMap::from([
        ("access.yaml", "users: [{id: ada, roles: [{role: all}]}]\nroles: [{id: all, may: [approve]}]\n"),
        (
            "approvals.yaml",
            "rules:\n  - {match: {kind: code}, require: []}\n  - {match: {kind: [config, data, flag, secret, access, network, pipeline, platform, docs, governance]}, require: []}\n",
        ),
        ("services/cart.yaml", "name: cart\nowner: ada\n"),
        ("policy/shop.rego", RULES),
    ]);
    let files = files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
    let governance = Governance::read(&files).expect("it is well formed");
    let found = policy::drift::drift(&bundle(), &governance, "2026-06-02").expect("it compiles");
    let said: Vec<String> =
        found.iter().map(|f| format!("{}:{} {:?}: {}", f.file, f.line, f.drift, f.message)).collect();
    let expected = [
        (Drift::DeadService, 14, "`ghost`"),
        (Drift::DeadTeam, 5, "`sre`"),
        (Drift::DeadTeam, 20, "`nobody`"),
        (Drift::DeadKind, 20, "`teleport`"),
        (Drift::UnheardEnvironment, 22, "`moon`"),
        (Drift::UncoveredKind, 1, "`infrastructure`"),
        (Drift::UnnamedService, 1, "`cart`"),
        (Drift::ReviewOverdue, 5, "2026-06-01"),
    ];
    for (drift, line, word) in expected {
        assert!(
            found.iter().any(|f| f.drift == drift && f.line == line && f.message.contains(word)),
            "{drift:?} {word}: {said:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{said:#?}");
    let in_time = policy::drift::drift(&bundle(), &governance, "2026-06-01").expect("it compiles");
    assert!(!in_time.iter().any(|f| f.drift == Drift::ReviewOverdue));
}

#[test]
fn the_page_of_the_rules_is_written_from_what_they_say_of_themselves() {
    let page = policy::doc::markdown(&bundle(), Whose::Own, "Rules").expect("it compiles");
    for part in [
        "# Rules",
        "## The shop's own rules\n\n`clearway.shop` · binds `soft` · may be overridden by `sre` · owner `ada` · to be reviewed by 2026-06-01\n\nWhat the shop does not do.",
        "### Fridays are quiet\n\n`deny` `friday` · policy/shop.rego:10\n\nWho would mend it on Saturday?\n\nReads `input.now.weekday`.",
        "### moon",
    ] {
        assert!(page.contains(part), "{part}\n---\n{page}");
    }
    assert!(!page.contains("builtin/"), "{page}");
    let built_in = policy::doc::markdown(&bundle(), Whose::BuiltIn, "The pack").expect("it compiles");
    assert!(built_in.contains("no_verification") && !built_in.contains("friday"), "{built_in}");
}
