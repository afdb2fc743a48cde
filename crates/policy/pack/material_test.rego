# What was sent speaks against the change, or does not.
package clearway.builtin.material_test

import data.clearway.builtin.material

sound := {
	"change": {"kind": "code", "environment": "production", "course": "regular", "has_runbook": false},
	"material": {
		"kind_understated": false, "tests": {"present": true, "green": true, "passed": 3, "failed": 0, "errors": 0},
		"plan": {"complete": true},
	},
	"reversible": {"answer": "yes", "reasons": []},
}

but(other) := object.union(sound, other)

denied(given) := {denial.code: denial.level | some denial in said} if {
	said := material.deny with input as given
}

red := {"material": {"tests": {"green": false, "failed": 2}}}

lost := {"reversible": {"answer": "no", "reasons": ["a column is dropped"]}}

cut := {"material": {"plan": {"complete": false}}}

test_sound_material_denies_nothing if denied(sound) == {}

test_tests_that_failed_hold_a_change_in_production if {
	denied(but(red)) == {"tests_failed": "soft"}
	denied(object.union(but(red), {"change": {"environment": "staging"}})) == {}
	denied(but({"material": {"tests": {"present": false, "green": false}}})) == {}
}

# X3
test_what_can_not_be_taken_back_needs_words_on_what_is_done_instead if {
	denied(but(lost)) == {"irreversible_without_runbook": "soft"}
	denied(object.union(but(lost), {"change": {"has_runbook": true}})) == {}
	denied(object.union(but(lost), {"change": {"environment": "staging"}})) == {}
	denied(but({"reversible": {"answer": "unknown"}})) == {}
}

test_a_plan_that_is_not_whole_holds_a_change if {
	denied(but(cut)) == {"plan_incomplete": "soft"}
	denied({"change": sound.change, "material": null}) == {}
}

# LC3
test_in_an_emergency_they_are_remarks if {
	hurried := object.union(object.union(but(red), lost), object.union(cut, {"change": {"course": "emergency"}}))
	denied(hurried) == {"tests_failed": "advisory", "irreversible_without_runbook": "advisory", "plan_incomplete": "advisory"}
}
