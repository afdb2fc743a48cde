# What is refused and what is remarked on, on top of a change that does everything right.
package clearway.builtin.practice_test

import data.clearway.builtin.practice

sound := {"change": {
	"kind": "code", "environment": "production", "steps": 3,
	"slis": 1, "commands": 0, "has_commit": true, "has_artifact": true,
}}

but(patches) := {"change": object.union(sound.change, patches)}

denied(given) := {denial.code | some denial in said} if {
	said := practice.deny with input as given
}

warned(given) := count(said) if {
	said := practice.warn with input as given
}

test_a_sound_change_passes_without_a_word if {
	denied(sound) == set()
	warned(sound) == 0
}

test_production_needs_a_look_at_the_effect if {
	denied(but({"slis": 0})) == {"no_verification"}
	denied(but({"slis": 0, "commands": 1})) == set()
	denied(but({"slis": 0, "checks": 1})) == set()
	denied(but({"slis": 0, "checks": 0})) == {"no_verification"}
	denied(but({"slis": 0, "environment": "staging"})) == set()
	denied(but({"slis": 0, "kind": "docs"})) == set()
}

test_a_change_without_a_source_is_remarked_on if {
	warned(but({"has_commit": false})) == 0
	warned(but({"has_commit": false, "has_artifact": false})) == 1
}

test_a_single_step_in_production_is_remarked_on if {
	warned(but({"steps": 1})) == 1
	warned(but({"steps": 1, "environment": "staging"})) == 0
}

test_documents_that_are_deployed_are_remarked_on if {
	warned(but({"kind": "docs"})) == 1
	warned(but({"kind": "docs", "has_artifact": false})) == 0
}
