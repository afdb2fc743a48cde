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

# PR5
test_documents_that_touch_more_are_no_documents if {
	more := {"change": but({"kind": "docs", "slis": 0, "has_artifact": false}).change, "material": {"kind_understated": true}}
	denied(more) == {"no_verification"}
	warned(more) == 1
}

# X3
test_what_can_not_be_taken_back_is_named_in_every_environment if {
	lost := {
		"reversible": {"answer": "no", "reasons": ["a column is dropped", "a bucket is deleted"]},
		"material": {"kind_understated": false, "migrations": {"irreversible": 2, "places": ["a.sql:2", "b.sql:7"]}},
	}
	warned(object.union(but({"environment": "staging"}), lost)) == 4
	said := practice.warn with input as object.union(sound, lost)
	"it can't be taken back: a column is dropped" in said
	"nothing undoes the statement at b.sql:7" in said
	warned(object.union(sound, {"reversible": {"answer": "yes", "reasons": []}})) == 0
}

test_images_that_are_not_pinned_are_remarked_on_in_production if {
	unpinned := {"material": {"manifests": {"unpinned_images": 2}}}
	warned(object.union(sound, unpinned)) == 1
	warned(object.union(but({"environment": "staging"}), unpinned)) == 0
	warned(object.union(sound, {"material": {"manifests": {"unpinned_images": 0}}})) == 0
}

# LC3: the lane is fast, and not blind.
test_an_emergency_needs_a_look_at_its_effect_too if {
	denied(but({"slis": 0, "course": "emergency"})) == {"no_verification"}
}
