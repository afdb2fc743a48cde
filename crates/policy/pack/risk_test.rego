# Each factor alone, on top of the quietest change there is: a configuration in staging by a canary that rolls back by itself.
package clearway.builtin.risk_test

import data.clearway.builtin.risk

quiet := {
	"change": {
		"kind": "config", "environment": "staging", "services": ["cart"], "strategy": "canary", "steps": 3, "first_share": 0.05,
		"slis": 1, "commands": 0, "automatic_rollback": true, "has_runbook": false, "has_commit": true, "has_artifact": false,
		"cost_per_month": null,
	},
	"services": [], "unknown_services": [], "dependents": [],
	"history": {"ended": 0, "rolled_back": 0, "same_effect_rolled_back": false},
	"now": {"weekday": "tuesday", "hour": 10},
}

# Objects are merged, field by field.
but(other) := object.union(quiet, other)

# The points of each factor.
points(given) := {factor.code: factor.points | some factor in said} if {
	said := risk.score with input as given
}

test_a_quiet_change_has_the_points_of_its_kind_alone if {
	points(quiet) == {"kind": 12}
}

test_an_unknown_kind_weighs_as_much_as_the_heaviest if {
	points(but({"change": {"kind": "teleport"}})) == {"kind": 45}
}

test_production_counts if {
	points(but({"change": {"environment": "production"}})) == {"kind": 12, "production": 10}
}

test_services_beyond_the_first_count_up_to_twenty if {
	points(but({"change": {"services": ["a", "b", "c"]}})).services == 10
	points(but({"change": {"services": ["a", "b", "c", "d", "e", "f", "g"]}})).services == 20
}

test_dependents_count_up_to_twenty if {
	points(but({"dependents": ["a", "b", "c"]})).dependents == 6
	points(but({"dependents": numbers.range(1, 40)})).dependents == 20
}

test_the_most_important_tier_counts if {
	points(but({"services": [{"tier": 3, "data": []}, {"tier": 1, "data": []}, {"tier": 2, "data": []}]})).tier == 12
	points(but({"services": [{"tier": 2, "data": []}]})).tier == 6
	not points(but({"services": [{"tier": 3, "data": []}]})).tier
}

test_a_large_first_step_counts_in_production if {
	points(but({"change": {"environment": "production", "first_share": 0.51}})).first_step == 10
	points(but({"change": {"environment": "production", "first_share": 0.26}})).first_step == 5
	not points(but({"change": {"environment": "production", "first_share": 0.25}})).first_step
	not points(but({"change": {"first_share": 1}})).first_step
}

test_all_at_once_counts_in_production if {
	given := {"change": {"environment": "production", "strategy": "all-at-once", "first_share": 1}}
	points(but(given)) == {"kind": 12, "production": 10, "first_step": 10, "all_at_once": 10}
}

test_a_rollback_by_hand_counts_and_one_that_nobody_described_counts_more if {
	points(but({"change": {"automatic_rollback": false}})) == {"kind": 12, "manual_rollback": 10, "no_runbook": 5}
	described := {"change": {"automatic_rollback": false, "has_runbook": true}}
	points(but(described)) == {"kind": 12, "manual_rollback": 10}
}

test_failures_count_from_three_changes_on if {
	points(but({"history": {"ended": 6, "rolled_back": 1}})).failure_rate == 15
	not points(but({"history": {"ended": 7, "rolled_back": 1}})).failure_rate
	not points(but({"history": {"ended": 2, "rolled_back": 2}})).failure_rate
}

test_what_was_rolled_back_before_counts if {
	points(but({"history": {"same_effect_rolled_back": true}})).rolled_back_before == 40
}

test_sensitive_data_counts_once if {
	points(but({"services": [{"tier": 3, "data": ["personal", "payment"]}]})).sensitive_data == 15
	not points(but({"services": [{"tier": 3, "data": ["weather"]}]})).sensitive_data
}

by_hand(now) := but({"change": {"environment": "production", "automatic_rollback": false}, "now": now})

test_the_hour_counts_where_a_person_would_have_to_act if {
	not points(by_hand({"weekday": "friday", "hour": 8})).off_hours
	not points(by_hand({"weekday": "friday", "hour": 17})).off_hours
	points(by_hand({"weekday": "friday", "hour": 7})).off_hours == 5
	points(by_hand({"weekday": "friday", "hour": 18})).off_hours == 5
	points(by_hand({"weekday": "sunday", "hour": 12})).off_hours == 5
	alone := {"change": {"environment": "production"}, "now": {"weekday": "sunday"}}
	not points(but(alone)).off_hours
}

test_a_service_that_is_not_in_the_catalog_counts_if_there_is_one if {
	points(but({"unknown_services": ["ghost"], "services": [{"tier": 3, "data": []}]})).unknown_service == 10
	points(but({"unknown_services": ["ghost"], "catalog_in_use": true})).unknown_service == 10
	not points(but({"unknown_services": ["ghost"]})).unknown_service
}

test_costs_count_above_a_thousand if {
	points(but({"change": {"cost_per_month": 1000.5}})).cost == 10
	not points(but({"change": {"cost_per_month": 1000}})).cost
}

test_documents_have_no_points_wherever_they_go if {
	points(but({
		"change": {
			"kind": "docs", "environment": "production", "strategy": "all-at-once", "first_share": 1, "automatic_rollback": false,
		},
		"dependents": ["a"], "services": [{"tier": 1, "data": ["personal"]}],
	})) == {"kind": 0}
}

# A change of code in production as people make it every day.
everyday := but({
	"change": {"kind": "code", "environment": "production"},
	"services": [{"name": "cart", "tier": 2, "data": []}],
	"material": {
		"kinds": ["code"], "kind_understated": false, "tests": {"present": true, "green": true, "passed": 40, "failed": 0, "errors": 0},
		"files": {"count": 6, "lines": 120, "binary": 0, "submodules": 0, "symlinks": 0, "unlisted": 0, "examples": {"code": "src/cart.rs"}},
		"commits": {"all_named": true, "unknown": []},
	},
	"reversible": {"answer": "yes", "reasons": []},
})

with_material(given, other) := object.union(given, {"material": other})

total(given) := sum([worth | some worth in points(given)])

reason(given, code) := factor.reason if {
	said := risk.score with input as given
	some factor in said
	factor.code == code
}

# LC2, PR3
test_an_everyday_canary_of_code_with_green_tests_is_low if {
	points(everyday) == {"kind": 8, "production": 10, "tier": 6}
	total(everyday) < 25
}

test_code_without_tests_is_medium_and_with_failed_ones_too if {
	untested := with_material(everyday, {"tests": {"present": false, "green": false}})
	points(untested).untested == 7
	total(object.union(untested, {"services": [{"tier": 3, "data": []}]})) == 25
	failed := with_material(everyday, {"tests": {"present": true, "green": false, "passed": 3, "failed": 1, "errors": 0}})
	points(failed) == {"kind": 8, "production": 10, "tier": 6, "tests_failed": 20}
	reason(failed, "tests_failed") == "tests are not green: 3 passed, 1 failed, 0 broke off"
}

# PR3: one small file with green tests stays low whatever depends on the service.
test_a_small_text_change_is_low_on_the_most_important_service if {
	tiny := with_material(
		object.union(everyday, {
			"services": [{"name": "cart", "tier": 1, "data": ["personal"]}], "dependents": numbers.range(1, 40),
			"blast_radius": {"figure": 61.5, "direct": 40, "tier_1": 9, "tier_2": 0},
		}),
		{"files": {"count": 1, "lines": 4}},
	)
	points(tiny) == {"kind": 8, "production": 10}
	large := with_material(tiny, {"files": {"count": 2}})
	points(large) == {"kind": 8, "production": 10, "tier": 12, "dependents": 20, "critical_dependents": 15, "sensitive_data": 15}
	reason(large, "critical_dependents") == "services of tier 1 that depend on it: 9 (blast radius 61.5 of 100)"
}

test_the_heaviest_kind_that_is_touched_counts_and_to_say_less_does_too if {
	more := with_material(everyday, {
		"kinds": ["code", "access"], "kind_understated": true, "files": {"examples": {"code": "src/cart.rs", "access": "iam/roles.yaml"}},
	})
	points(more).kind == 45
	points(more).kind_understated == 15
	reason(more, "kind") == "a change of kind `code` that touches access"
	reason(more, "kind_understated") == "it is declared as `code` and may be more: `iam/roles.yaml` is access"
	hidden := with_material(everyday, {"kind_understated": true})
	reason(hidden, "kind_understated") == "it is declared as `code` and may be more"
}

# X3
test_what_can_not_be_taken_back_is_high_in_production_by_itself if {
	lost := object.union(everyday, {"reversible": {"answer": "no", "reasons": ["a column is dropped", "a bucket is deleted"]}})
	points(lost).irreversible == 35
	total(object.union(lost, {"services": []})) >= 50
	reason(lost, "irreversible") == "it can't be taken back: a column is dropped; a bucket is deleted"
	points(object.union(everyday, {"reversible": {"answer": "unknown", "reasons": ["no plan"]}})).reversible_unknown == 5
	not points(but({"reversible": {"answer": "unknown", "reasons": ["nothing was sent"]}, "material": null})).reversible_unknown
}

sized(lines, files) := with_material(everyday, {"files": {"lines": lines, "count": files}})

test_size_counts_from_where_reviews_find_less if {
	not points(sized(399, 19)).size
	points(sized(400, 3)).size == 5
	points(sized(2000, 3)).size == 10
	points(sized(20, 20)).size == 5
	points(sized(20, 100)).size == 10
	not points(object.union(sized(2000, 100), {"change": {"course": "emergency"}})).size
}

planned := {
	"creates": 1, "updates": 0, "deletes": 0, "replaces": 0, "forgets": 0, "iam": 0, "network": 0, "encryption": 0, "stateful": 0,
	"unknown_types": [],
}

of_plan(other) := {code: worth |
	some code, worth in points(with_material(everyday, {"plan": object.union(planned, other)}))
	not code in {"kind", "production", "tier"}
}

test_each_class_of_a_plan_counts_once if {
	of_plan({}) == {}
	of_plan({"deletes": 1}) == {"destroys": 5}
	of_plan({"deletes": 30, "replaces": 1}) == {"destroys": 15}
	of_plan({"iam": 3}) == {"iam": 5}
	of_plan({"network": 3}) == {"network": 3}
	of_plan({"encryption": 1, "stateful": 2}) == {"encryption": 5, "stateful": 5}
	of_plan({"unknown_types": ["acme_gate"]}) == {"unknown_types": 5}
	given := with_material(everyday, {"plan": object.union(planned, {"deletes": 2, "replaces": 1, "iam": 3, "unknown_types": ["b", "a"]})})
	reason(given, "destroys") == "the plan deletes 2, replaces 1 and forgets 0 resources"
	reason(given, "iam") == "resources of the plan that say who may do what: 3"
	reason(given, "unknown_types") == "types that are not known: a, b"
}

test_each_class_of_manifests_counts_once if {
	none := {"rbac": 0, "secrets": 0, "crds": 0, "network": 0, "unknown_kinds": 0, "unpinned_images": 0}
	codes := {"rbac": 5, "secret_objects": 5, "definitions": 8, "network_objects": 3, "unknown_objects": 5, "unpinned_images": 5}
	points(with_material(everyday, {"manifests": none})) == points(everyday)
	all := {"rbac": 1, "secrets": 2, "crds": 3, "network": 4, "unknown_kinds": 5, "unpinned_images": 6}
	points(with_material(everyday, {"manifests": all})) == object.union(points(everyday), codes)
}

# X3
test_each_hazard_of_migrations_counts_once if {
	none := {"locking": 0, "data_loss": 0, "slow": 0, "unparsable": 0}
	codes := {"locking": 10, "data_loss": 10, "slow_migration": 5, "unparsable": 10}
	points(with_material(everyday, {"migrations": none})) == points(everyday)
	all := {"locking": 1, "data_loss": 2, "slow": 3, "unparsable": 4}
	points(with_material(everyday, {"migrations": all})) == object.union(points(everyday), codes)
}

test_people_who_are_not_known_count if {
	given := with_material(everyday, {"commits": {"all_named": false, "unknown": ["x@example.com"]}})
	points(given).unknown_committers == 5
	not points(everyday).unknown_committers
}

with_history(other) := points(but({"history": other}))

test_what_nobody_touched_for_long_counts if {
	with_history({"last_change_age_days": 91.5}).stale == 5
	not with_history({"last_change_age_days": 90}).stale
	not with_history({"last_change_age_days": null}).stale
}

test_incidents_count_up_to_fifteen_and_not_in_an_emergency if {
	with_history({"incidents": 1}).incidents == 5
	with_history({"incidents": 9}).incidents == 15
	not with_history({"incidents": 0}).incidents
	not points(but({"history": {"incidents": 9}, "change": {"course": "emergency"}})).incidents
}

test_the_record_of_the_author_counts if {
	with_history({"ended": 3, "author": {"changes": 0, "failures": 0}}).first_by_author == 3
	not with_history({"ended": 2, "author": {"changes": 0, "failures": 0}}).first_by_author
	with_history({"author": {"changes": 6, "failures": 2}}).author_record == 10
	not with_history({"author": {"changes": 7, "failures": 2}}).author_record
	not with_history({"author": {"changes": 1, "failures": 1}}).author_record
}

budget(left) := points(object.union(everyday, {"error_budget_left": left}))

test_the_error_budget_counts_from_its_last_quarter if {
	budget(0).error_budget == 20
	budget(0.24).error_budget == 10
	not budget(0.25).error_budget
	not budget(null).error_budget
	not points(object.union(everyday, {"error_budget_left": 0, "change": {"course": "emergency"}})).error_budget
	reason(object.union(everyday, {"error_budget_left": 0.123}), "error_budget") == "of the error budget, 12.3% is left"
}

# X10
test_the_larger_of_the_costs_counts if {
	points(but({"cost": {"per_month": 2000, "currency": "EUR"}})).cost == 10
	points(but({"cost": {"per_month": 10, "currency": "EUR"}, "change": {"cost_per_month": 3000}})).cost == 10
	not points(but({"cost": {"per_month": -2000, "currency": "EUR"}})).cost
}

# LC3
test_in_an_emergency_the_hour_does_not_count if {
	not points(object.union(by_hand({"weekday": "sunday", "hour": 3}), {"change": {"course": "emergency"}})).off_hours
}

test_the_factors_are_added_up if {
	risk.total == 24 with input as everyday
}
