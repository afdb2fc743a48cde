# The four lanes of PR3, each from both of its sides, and the free way of PR5.
package clearway.builtin.lanes_test

import data.clearway.builtin.checklists
import data.clearway.builtin.lanes
import data.clearway.builtin.material
import data.clearway.builtin.practice
import data.clearway.builtin.risk

# One line of a text, with green tests, on the service that everybody needs, on a Saturday night.
text := {
	"change": {
		"title": "Say it better", "kind": "code", "environment": "production", "services": ["cart"], "author": "bob", "owner": "ada",
		"strategy": "canary", "steps": 3, "first_share": 0.05, "slis": 2, "commands": 0, "checks": 0, "automatic_rollback": true,
		"has_runbook": true, "has_commit": true, "has_artifact": true, "driver": "router", "cost_per_month": null, "course": "regular",
		"incident": null, "evidence": {},
	},
	"services": [{"name": "cart", "owner": "ada", "tier": 1, "data": ["personal"]}], "unknown_services": [],
	"dependents": ["web", "app"], "blast_radius": {"figure": 33.3, "direct": 2, "tier_1": 2, "tier_2": 0},
	"groups": ["security", "sre"],
	"history": {
		"ended": 9, "rolled_back": 0, "same_effect_rolled_back": false, "last_change_age_days": 3, "incidents": 0,
		"author": {"changes": 4, "failures": 0},
	},
	"error_budget_left": 0.8,
	"material": {
		"kinds": ["code"], "kind_understated": false, "only_docs": false,
		"tests": {"present": true, "green": true, "passed": 80, "failed": 0, "errors": 0},
		"files": {
			"count": 1, "lines": 2, "binary": 0, "submodules": 0, "symlinks": 0, "unlisted": 0, "examples": {"code": "src/words.rs"},
		},
		"commits": {"all_named": true, "unknown": []},
	},
	"reversible": {"answer": "yes", "reasons": []}, "cost": null,
	"now": {"weekday": "saturday", "hour": 23, "tz": "UTC"},
}

but(other) := object.union(text, other)

# Everything that the pack says of a change.
all(given) := {"asked": asked, "window": window, "points": points, "listed": listed, "denied": denied} if {
	required := lanes.require with input as given
	asked := {requirement.by: requirement.count | some requirement in required; requirement.by}
	window := count([true | some requirement in required; requirement.window]) > 0
	points := risk.total with input as given
	list := checklists.checklist with input as given
	listed := {item.list | some item in list}
	one := practice.deny with input as given
	other := material.deny with input as given
	denied := {denial.code | some denial in one | other}
}

free(given) if {
	said := all(given)
	said.asked == {}
	said.window == false
	said.listed == set()
	said.denied == set()
	said.points < 25
}

# PR3, the first lane
test_a_one_file_text_change_with_green_tests_flows_with_no_human_step if free(text)

# PR3
test_the_first_lane_ends_where_tests_files_or_kinds_say_so if {
	not free(but({"material": {"tests": {"present": false, "green": false}}}))
	not free(but({"material": {"tests": {"green": false, "failed": 1}}}))
	not free(but({"material": {"files": {"count": 2}}}))
	not free(but({"material": {"kinds": ["code", "data"], "kind_understated": true}}))
}

reviewed(given) if {
	said := all(given)
	said.asked == {"security": 1}
	said.window
}

# PR3, the second lane
test_access_encryption_and_protected_data_need_security_and_a_planned_time if {
	reviewed(but({"change": {"kind": "access"}}))
	reviewed(but({"change": {"kind": "secret"}}))
	reviewed(but({"material": {"kinds": ["code", "access"], "kind_understated": true}}))
	reviewed(but({"change": {"kind": "infrastructure"}, "material": {"plan": plan({"iam": 1})}}))
	reviewed(but({"change": {"kind": "infrastructure"}, "material": {"plan": plan({"encryption": 1})}}))
	reviewed(but({"change": {"kind": "data"}}))
}

plan(other) := object.union(
	{
		"iam": 0, "encryption": 0, "network": 0, "stateful": 0, "deletes": 0, "replaces": 0, "forgets": 0, "unknown_types": [],
		"complete": true,
	},
	other,
)

# PR3
test_the_second_lane_is_for_what_is_sensitive_alone if {
	not reviewed(text)
	not reviewed(but({"change": {"kind": "infrastructure"}, "material": {"plan": plan({"network": 1})}}))
	not reviewed(but({"change": {"kind": "data"}, "services": [{"name": "cart", "owner": "ada", "tier": 1, "data": ["weather"]}]}))
}

# PR3: with a catalog in use, data of a service that it doesn't know may be anybody's.
test_data_of_a_service_that_nobody_described_is_reviewed if {
	elsewhere := {"services": [{"name": "web", "owner": "ada", "tier": 4, "data": []}]}
	said := all(object.union(but({"change": {"kind": "data", "services": ["ghost"]}, "unknown_services": ["ghost"]}), elsewhere))
	said.asked == {"security": 1}
	nobody_knows := {"change": {"kind": "data", "services": ["ghost"]}, "unknown_services": ["ghost"], "services": []}
	alone := all(but(object.union(nobody_knows, {"catalog_in_use": true})))
	alone.asked == {"security": 1}
	alone.window == true
	without := all(but(nobody_knows))
	without.asked == {}
}

warned(given) := said if {
	said := lanes.warn with input as given
}

# PR3: a group that is not there never means that nobody is asked.
test_without_a_group_security_the_approvers_are_asked_and_a_warning_says_so if {
	small_house := but({"change": {"kind": "access"}, "groups": []})
	said := all(small_house)
	said.asked == {"approvers": 1}
	said.window
	"there is no group `security` with a member in access.yaml: `approvers` are asked in its place" in warned(small_house)
	warned(but({"change": {"kind": "access"}})) == {"it needs a review of its security: it touches access"}
}

several := {"change": {"services": ["cart", "web"]}, "material": {"files": {"count": 8, "lines": 300}}}

# PR3, the third lane
test_several_services_of_which_one_is_important_take_the_whole_path if {
	said := all(but(several))
	said.asked == {"service-owners": 1, "sre": 1}
	said.window
	said.listed == {"before-production", "production-readiness"}
}

# PR3
test_one_service_or_several_of_no_importance_do_not_take_the_whole_path if {
	quiet := [{"name": "cart", "owner": "ada", "tier": 3, "data": []}, {"name": "web", "owner": "ada", "tier": 4, "data": []}]
	all(object.union(but(several), {"services": quiet})).asked == {}
	all(object.union(but(several), {"change": {"environment": "staging"}})).asked == {}
	all(but({"material": several.material})).asked == {}
}

# PR3
test_on_the_whole_path_approvers_stand_in_for_a_group_that_is_not_there if {
	small_house := object.union(but(several), {"groups": ["security"]})
	all(small_house).asked == {"service-owners": 1, "approvers": 1}
	"there is no group `sre` with a member in access.yaml: `approvers` are asked in its place" in warned(small_house)
}

hotfix := object.union(but(several), {
	"change": {"kind": "access", "course": "emergency", "incident": "INC-7", "slis": 1},
	"material": {"tests": {"green": false, "failed": 1}, "files": {"lines": 5000}},
})

# PR3, the fourth lane; LC3
test_an_emergency_is_free_of_windows_lists_and_size_and_owes_what_is_asked_otherwise if {
	said := all(hotfix)
	said.asked == {"security": 1, "service-owners": 1, "sre": 1}
	said.window == false
	said.listed == set()
	factors := risk.score with input as hotfix
	not "size" in {factor.code | some factor in factors}
	"it goes by the emergency lane for INC-7: approvals are owed, no window counts, hard rules do" in warned(hotfix)
}

# PR3, the fourth lane
test_an_emergency_is_still_denied_by_hard_rules if {
	"no_verification" in all(object.union(hotfix, {"change": {"slis": 0}})).denied
	nameless := object.union(hotfix, {"change": {"incident": null}})
	said := lanes.deny with input as nameless
	{denial.code | some denial in said} == {"emergency_without_incident"}
	fine := lanes.deny with input as hotfix
	fine == set()
}

# PR5
test_documents_and_places_without_users_stay_out_of_the_way if {
	all(but({"change": {"kind": "docs", "slis": 0}, "material": {"kinds": ["docs"]}})) == {
		"asked": {}, "window": false, "points": 0, "listed": set(), "denied": set(),
	}
	staged := all(object.union(but(several), {"change": {"kind": "access", "environment": "staging", "slis": 0}}))
	staged.asked == {}
	staged.window == false
	staged.listed == set()
	staged.denied == set()
}

# PR5: what says that it is documents and is not goes the way of what it is.
test_documents_that_touch_access_are_reviewed if {
	reviewed(but({"change": {"kind": "docs"}, "material": {"kinds": ["docs", "access"], "kind_understated": true}}))
}

test_standard_changes_and_what_has_happened_wait_for_no_window if {
	all(but({"change": {"kind": "access", "course": "standard"}})).window == false
	all(but({"change": {"kind": "access", "course": "afterwards"}})).window == false
}
