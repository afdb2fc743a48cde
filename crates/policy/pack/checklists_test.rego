# X16: which points are asked of whom, which evidence ticks them, and which wait for a person.
package clearway.builtin.checklists_test

import data.clearway.builtin.checklists

# A whole path on which evidence is there for every point.
ready := {
	"change": {
		"kind": "config", "environment": "production", "services": ["cart", "web"], "strategy": "canary", "steps": 3,
		"first_share": 0.05, "slis": 2, "commands": 1, "checks": 0, "automatic_rollback": true, "has_runbook": true, "has_commit": true,
		"has_artifact": true, "course": "regular", "evidence": {"load-test": "https://load.example/12"}, "cost_per_month": null,
	},
	"services": [
		{"name": "cart", "owner": "ada", "on_call": "team-cart", "tier": 1, "data": [], "slos": ["cart-fast"], "links": ["https://w.example/c"]},
		{"name": "web", "owner": "bob", "on_call": "bob", "tier": 3, "data": [], "slis": ["web-errors"], "links": ["https://w.example/w"]},
	],
	"unknown_services": [], "dependents": [], "history": {"ended": 0, "rolled_back": 0, "same_effect_rolled_back": false},
	"material": {"kinds": ["config"], "kind_understated": false, "tests": {"present": true, "green": true, "passed": 12}},
	"reversible": {"answer": "yes", "reasons": []},
	"now": {"weekday": "tuesday", "hour": 10},
}

but(other) := object.union(ready, other)

# What shows each point; empty where it waits.
points(given) := {item.code: object.get(item, "evidence", "") | some item in said} if {
	said := checklists.checklist with input as given
}

waiting(given) := {code | some code, evidence in points(given); evidence == ""}

ticks(given, code) := tick if {
	said := checklists.checklist with input as given
	some item in said
	item.code == code
	tick := item.tick
}

# X16
test_evidence_ticks_every_point_that_it_can if {
	points(ready) == {
		"tests": "12 passed, none failed",
		"rollback": "a runbook is named",
		"verification": "2 SLIs, 1 commands, 0 checks",
		"source": "a commit is named",
		"first_step": "the first step takes 5% of the traffic",
		"dependents": "no service of the catalog depends on it",
		"owner": "cart: ada, web: bob",
		"on_call": "cart: team-cart, web: bob",
		"objectives": "cart-fast, web-errors",
		"runbook": "https://w.example/c, https://w.example/w",
		"capacity": "https://load.example/12",
	}
}

# X16
test_what_no_evidence_shows_waits_for_a_person if {
	waiting(but({"dependents": ["app"]})) == {"dependents"}
	waiting(but({"change": {"first_share": 0.5}})) == {"first_step"}
	waiting(but({"change": {"automatic_rollback": false, "has_runbook": false}})) == {"rollback"}
	waiting(but({"change": {"has_commit": false, "has_artifact": false}})) == {"source"}
	waiting(but({"material": {"tests": {"present": false, "green": false}}})) == {"tests"}
	waiting(but({"change": {"slis": 0, "commands": 0}})) == {"verification"}
	ticks(but({"dependents": ["app"]}), "dependents") == "person"
}

# X16
test_tests_that_failed_are_ticked_by_no_person if {
	red := but({"material": {"tests": {"present": true, "green": false, "passed": 3, "failed": 1, "errors": 0}}})
	waiting(red) == {"tests"}
	ticks(red, "tests") == "evidence"
}

# X16
test_links_of_the_change_file_are_evidence if {
	linked := but({"material": {"tests": {"present": false, "green": false}}, "change": {"evidence": {"test-report": "https://ci.example/7"}}})
	points(linked).tests == "https://ci.example/7"
	lost := but({"reversible": {"answer": "no", "reasons": ["a column is dropped"]}})
	waiting(lost) == {"backup"}
	points(object.union(lost, {"change": {"evidence": {"backup": "restore of 12 May"}}})).backup == "restore of 12 May"
}

# X16
test_a_catalog_that_says_little_leaves_the_services_to_people if {
	bare := but({"services": [{"name": "cart", "owner": "ada", "tier": 1, "data": []}], "change": {"has_runbook": false}})
	waiting(bare) == {"on_call", "objectives", "runbook"}
	waiting(but({"unknown_services": ["web"], "services": [ready.services[0]]})) == {"owner", "on_call", "objectives", "dependents"}
	points(object.union(bare, {"change": {"has_runbook": true}})).runbook == "the change names a runbook"
}

lists(given) := {item.list | some item in said} if {
	said := checklists.checklist with input as given
}

both := {"before-production", "production-readiness"}

# X16, PR5
test_the_lists_are_asked_on_the_whole_path_and_of_critical_risk_alone if {
	lists(ready) == both
	one := {"change": {"services": ["cart"]}}
	lists(but(one)) == set()
	lists(object.union(but(one), {"change": {"kind": "data"}, "history": {"same_effect_rolled_back": true}})) == both
	lists(but({"change": {"environment": "staging"}})) == set()
	lists(but({"change": {"kind": "docs"}})) == set()
}

# LC3
test_emergencies_and_standard_changes_are_not_asked if {
	every course in ["emergency", "standard", "afterwards"] {
		lists(but({"change": {"course": course}})) == set()
	}
}
