//! The bench of assessments: changes with 10, 100 and 1,000 changed resources, beside the bare interpreter with the same rules, query and input.
//!
//! `cargo xtask bench assess` runs it. Both take turns in the same run, so that their ratio says more than the machine. Nothing is asserted: an aim that is
//! missed is printed as missed. The facts of changed resources are made up in their size and form.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use change::governance::Matrix;
use change::proposal::Proposal;
use policy::Bundle;
use regorus::Engine;
use serde_json::{Value, json};

const ROUNDS: usize = 200;
/// The aim for a change of a hundred resources.
const AIM: Duration = Duration::from_millis(10);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let began = Bundle::compiled();
    let bundle = Bundle::compile(&BTreeMap::from([("policy/shop.rego".to_owned(), RULES.to_owned())]))?;
    let mut bare = bare(&bundle)?;
    let proposal: Proposal = proposal()?;
    let matrix = Matrix::default_rules();
    println!("{:<34} {:>9} {:>9}   {:>12}   {:>6}   aim", "assess", "p50", "p99", "bare p50", "ratio");
    for resources in [10, 100, 1_000] {
        let input = change::id::canonical(&input(resources));
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let said = bundle.assess_input(&input, &matrix, &proposal);
            ours.push(start.elapsed());
            if said.denials.iter().any(|denial| denial.code == policy::bundle::POLICY_ERROR) {
                return Err(format!("{:?}", said.denials).into());
            }
            let start = Instant::now();
            bare.set_input_json(&input)?;
            bare.eval_query(bundle.query().to_owned(), false)?;
            theirs.push(start.elapsed());
        }
        let (p50, p99, peer) = (at(&mut ours, 50), at(&mut ours, 99), at(&mut theirs, 50));
        let aim = match resources {
            100 if p99 <= AIM => "p99 at most 10 ms",
            100 => "p99 at most 10 ms: missed",
            _ => "-",
        };
        let (name, ratio) =
            (format!("{resources} resources, {} kB", input.len() / 1_000), p50.as_secs_f64() / peer.as_secs_f64());
        println!("{name:<34} {p50:>9.1?} {p99:>9.1?}   {peer:>12.1?}   {ratio:>6.2}   {aim}");
    }
    println!("bundles compiled for {} assessments: {}", 3 * ROUNDS, Bundle::compiled() - began);
    Ok(())
}

const RULES: &str = r#"package clearway.shop

replaced := {r.address | some r in input.material.resources; "delete" in r.actions}

score contains {"code": "replaced", "points": min([20, count(replaced)]), "reason": "resources are replaced"} if count(replaced) > 0

deny contains {"code": "identity", "reason": "a key is shown"} if {
	some r in input.material.resources
	r.class == "identity"
	r.public
}
"#;

fn bare(bundle: &Bundle) -> Result<Engine, Box<dyn std::error::Error>> {
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(true);
    for (path, text) in bundle.modules() {
        engine.add_policy(path.clone(), text.clone())?;
    }
    Ok(engine)
}

fn at(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100]
}

/// The facts of a change in a catalog of 1,000 services, each of which a third of the others depends on in the end.
fn input(resources: usize) -> Value {
    let each = |i: usize| {
        json!({
            "address": format!("module.shop.aws_instance.web[{i}]"), "provider": "aws", "type": "aws_instance", "class": "compute",
            "actions": if i.is_multiple_of(10) { json!(["delete", "create"]) } else { json!(["update"]) }, "public": false,
        })
    };
    let service = |name: &str| json!({"name": name, "owner": "ada", "tier": 2, "slis": [], "depends_on": [], "data": ["personal"]});
    json!({
        "change": {
            "title": "t", "kind": "infrastructure", "environment": "production", "services": ["s1", "s2"], "author": "ada", "owner": "ada",
            "strategy": "canary", "steps": 3, "first_share": 0.05, "slis": 2, "commands": 0, "checks": 0, "automatic_rollback": true,
            "has_runbook": true, "has_commit": true, "has_artifact": true, "driver": "router", "cost_per_month": 12.0,
            "course": "regular", "incident": null, "evidence": {},
        },
        "services": [service("s1"), service("s2")], "unknown_services": [],
        "blast_radius": {"figure": 91.2, "direct": 40, "tier_1": 30, "tier_2": 90}, "groups": ["security", "sre"],
        "error_budget_left": 0.4, "reversible": {"answer": "no", "reasons": ["stateful resources that the plan deletes: 2"]}, "cost": null,
        "dependents": (0..333).map(|i| format!("service-{i}")).collect::<Vec<_>>(),
        "history": {"ended": 12, "rolled_back": 1, "same_effect_rolled_back": false},
        "now": {"weekday": "tuesday", "hour": 10, "is_weekend": false, "date": "2026-12-01", "tz": "UTC"},
        "material": {
            "resources": (0..resources).map(each).collect::<Vec<_>>(), "kinds": ["access", "infrastructure"], "kind_understated": true,
            "tests": {"present": true, "green": true, "passed": 40, "failed": 0, "errors": 0},
            "files": {"count": resources, "lines": 20 * resources, "binary": 0, "submodules": 0, "symlinks": 0, "unlisted": 0, "examples": {}},
            "plan": {
                "creates": 0, "updates": resources, "deletes": 2, "replaces": resources / 10, "forgets": 0, "iam": 3, "network": 0,
                "encryption": 1, "stateful": 2, "unknown_types": ["acme_gate"], "complete": true,
            },
        },
    })
}

fn proposal() -> Result<Proposal, serde_json::Error> {
    let digest = change::Digest::of_bytes(b"bench");
    serde_json::from_value(json!({
        "title": "t", "kind": "infrastructure", "owner": "ada", "services": ["s1", "s2"], "environment": "production",
        "plan": {
            "strategy": "canary", "target": {"driver": "router"},
            "steps": [{"weight": "100%", "bake": "5m", "deadline": "30m", "comparison": "objective"}],
        },
        "verify": {"slis": [], "commands": [], "every": "10s", "on_insufficient": "hold", "on_unreachable": "page", "watch": "5m"},
        "rollback": {"automatic": true}, "claims": {"resources": ["router:s1"], "effect": "closed"},
        "revision_digest": digest, "effect_digest": digest,
    }))
}
