# What the other rules take for granted: where users are, what runs, and what is small.
package clearway.builtin.seen_test

import data.clearway.builtin.seen

small_one := {
	"change": {
		"kind": "code", "environment": "production", "services": ["cart"], "automatic_rollback": true, "first_share": 0.25,
		"course": "regular",
	},
	"material": {
		"files": {"count": 1, "lines": 50, "binary": 0, "submodules": 0, "symlinks": 0, "unlisted": 0},
		"kinds": ["code"], "kind_understated": false, "tests": {"green": true, "present": true},
	},
	"services": [{"name": "cart", "tier": 1, "data": ["personal", "weather"]}], "unknown_services": [],
}

but(other) := object.union(small_one, other)

small(given) if seen.small with input as given

in_production(environment) if seen.production with input as but({"change": {"environment": environment}})

runs(given) if seen.runs with input as given

# PR5: a place counts as one without users only where its name says so.
test_what_is_not_named_as_a_place_without_users_is_production if {
	in_production("production")
	in_production("prod-eu")
	in_production("shops")
	not in_production("staging")
	not in_production("staging-eu")
	not in_production("dev")
	in_production("test-production")
	in_production("dev-live")
}

staged_beside(environments) if {
	cart := {"name": "cart", "tier": 1, "environments": environments}
	seen.production with input as but({"change": {"environment": "staging"}, "services": [cart]})
}

# PR5
test_a_place_in_which_a_changed_service_does_not_run_is_production if {
	staged_beside(["dev", "production"])
	not staged_beside(["staging", "production"])
	not staged_beside([])
}

# PR5
test_documents_run_nowhere_as_long_as_nothing_says_otherwise if {
	not runs({"change": {"kind": "docs"}})
	not runs({"change": {"kind": "docs"}, "material": {"kind_understated": false}})
	runs({"change": {"kind": "docs"}, "material": {"kind_understated": true}})
	runs({"change": {"kind": "code"}, "material": {"kind_understated": false}})
	runs({"change": {"kind": "code"}, "material": null})
}

# PR3
test_one_small_tested_file_that_takes_itself_back_is_small if {
	small(small_one)
	not small(but({"material": {"files": {"count": 2}}}))
	not small(but({"material": {"files": {"lines": 51}}}))
	not small(but({"material": {"files": {"binary": 1}}}))
	not small(but({"material": {"files": {"symlinks": 1}}}))
	not small(but({"material": {"files": {"unlisted": 1}}}))
	not small(but({"material": {"tests": {"green": false}}}))
	not small(but({"material": {"kinds": ["code", "data"]}}))
	not small(but({"material": {"kind_understated": true}}))
	not small(but({"change": {"kind": "access"}}))
	not small(but({"change": {"services": ["cart", "web"]}}))
	not small(but({"change": {"automatic_rollback": false}}))
	not small(but({"change": {"first_share": 0.26}}))
	not small({"change": small_one.change, "material": null})
}

test_every_way_but_the_regular_one_is_named if {
	seen.regular with input as small_one
	seen.regular with input as {"change": {"kind": "code"}}
	not seen.emergency with input as small_one
	seen.emergency with input as but({"change": {"course": "emergency"}})
	every course in ["emergency", "standard", "afterwards"] {
		not seen.regular with input as but({"change": {"course": course}})
	}
}

test_the_most_important_service_counts_and_an_unknown_one_may_be_it if {
	seen.important with input as small_one
	not seen.important with input as {"services": [{"tier": 3}], "unknown_services": []}
	seen.important with input as {"services": [{"tier": 3}], "unknown_services": ["ghost"]}
	not seen.important with input as {"services": [], "unknown_services": ["ghost"]}
	seen.important with input as {"services": [], "unknown_services": ["ghost"], "catalog_in_use": true}
	not seen.important with input as {"services": [], "unknown_services": [], "catalog_in_use": true}
}

test_data_that_a_law_protects_is_told_from_other_data if {
	seen.data_classes == {"personal"} with input as small_one
}
