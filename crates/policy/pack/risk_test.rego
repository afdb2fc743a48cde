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
	points(but({"services": [{"tier": 3, "data": []}, {"tier": 1, "data": []}, {"tier": 2, "data": []}]})).tier == 15
	points(but({"services": [{"tier": 2, "data": []}]})).tier == 8
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
