# METADATA
# title: "Risk: how many points does each property of a change add to its score?"
# description: >-
#   The weights are judgements, not measurements. They are chosen so that an everyday change of code or configuration with a canary, green tests and a
#   rollback of its own stays low (below 25), a service that many notice makes it medium, and what is hard to undo or touches access, secrets or data is high
#   (50 and more) in production by itself. No factor of size or history reaches 25 alone, so that none of them alone asks for a person. Factors are added up,
#   and the sum ends at 100. An organisation adds factors of its own in a package below `clearway`.
# custom: {level: hard, owner: clearway, review_by: 2027-11-30}
package clearway.builtin.risk

import data.clearway.builtin.seen

# What a change of each kind can break, if all else is well. Access, secrets and governance come first: a mistake there disarms other controls. Code comes
# after configuration because tests reach it; without green tests `untested` makes it heavier.
kind_points := {
	"docs": 0,
	"flag": 8,
	"config": 12,
	"code": 8,
	"pipeline": 25,
	"platform": 30,
	"network": 35,
	"infrastructure": 35,
	"data": 40,
	"secret": 45,
	"access": 45,
	"governance": 40,
}

# A kind that is not in the table counts as the heaviest.
points_of(kind) := object.get(kind_points, kind, 45)

touched := seen.kinds - {input.change.kind}

# METADATA
# title: Its kind
# description: The heaviest kind that it declares, or that its files, plan, manifests or migrations touch.
score contains {"code": "kind", "points": max({points_of(kind) | some kind in seen.kinds}), "reason": reason} if {
	reason := sprintf("a change of kind `%s`%s", [input.change.kind, beside])
}

beside := "" if {
	count(touched) == 0
} else := sprintf(" that touches %s", [concat(", ", sort(touched))])

# METADATA
# title: It says less than it does
# description: >-
#   Somebody who reads only the title would expect less. It is seldom meant badly; it counts as much as a kind that is not rolled out with care, so that an
#   everyday change is looked at by a person once.
score contains {"code": "kind_understated", "points": 15, "reason": reason} if {
	input.material.kind_understated
	examples := [sprintf("`%s` is %s", [path, kind]) | some kind, path in input.material.files.examples; kind in touched]
	reason := sprintf("it is declared as `%s` and may be more%s", [input.change.kind, such_as(examples)])
}

such_as(examples) := "" if {
	count(examples) == 0
} else := sprintf(": %s", [concat(", ", examples)])

# METADATA
# title: Production
# description: Users are there. Whatever is not named as a place without them counts.
score contains {"code": "production", "points": 10, "reason": sprintf("it acts on %s", [input.change.environment])} if seen.production

# METADATA
# title: Code without green tests
# description: As many points as take an everyday change of code in production out of low risk.
score contains {"code": "untested", "points": 7, "reason": "no test results came with it"} if {
	seen.runs
	"code" in seen.kinds
	not input.material.tests.present
}

# METADATA
# title: Tests that are not green
# description: What fails before the rollout will hardly pass after it. Medium in production by itself.
score contains {"code": "tests_failed", "points": 20, "reason": reason} if {
	seen.runs
	input.material.tests.present
	not seen.green
	tests := input.material.tests
	reason := sprintf("tests are not green: %d passed, %d failed, %d broke off", [tests.passed, tests.failed, tests.errors])
}

# METADATA
# title: Several services at once
# description: Each service beyond the first is one more thing that can go wrong, and one more to look at.
score contains {"code": "services", "points": min([20, 5 * (n - 1)]), "reason": reason} if {
	seen.runs
	n := count(input.change.services)
	n > 1
	reason := sprintf("it changes %d services at once", [n])
}

# How many would notice says nothing about a change that is read at a glance and takes itself back.
exposed if {
	seen.runs
	not seen.small
}

# METADATA
# title: Services that depend on it
# description: Those who notice when the changed services fail. A change of one small text file with green tests is left to its verification.
score contains {"code": "dependents", "points": min([20, 2 * n]), "reason": reason} if {
	exposed
	n := count(input.dependents)
	n > 0
	reason := sprintf("services that depend on it: %d", [n])
}

# METADATA
# title: Important services that depend on it
# description: The failure of a service of tier 1 is noticed by everybody, whoever caused it.
score contains {"code": "critical_dependents", "points": min([15, 5 * n]), "reason": reason} if {
	exposed
	n := input.blast_radius.tier_1
	n > 0
	reason := sprintf("services of tier 1 that depend on it: %d (blast radius %v of 100)", [n, input.blast_radius.figure])
}

# METADATA
# title: The tier of what it changes
# description: >-
#   The most important service counts. The points of tier 2 leave an everyday change with green tests low, and those of tier 1 don't.
score contains {"code": "tier", "points": points, "reason": reason} if {
	exposed
	points := {1: 12, 2: 6}[seen.tier]
	reason := sprintf("it changes a service of tier %d", [seen.tier])
}

# METADATA
# title: A large first step
# description: How many users meet the first mistake.
score contains {"code": "first_step", "points": points, "reason": reason} if {
	seen.production
	points := first_step_points
	reason := sprintf("the first step already takes %v%% of the traffic", [round(input.change.first_share * 10000) / 100])
}

first_step_points := 10 if {
	input.change.first_share > 0.5
} else := 5 if {
	input.change.first_share > 0.25
}

# METADATA
# title: All at once
# description: No part of the old version is left beside the new one.
score contains {"code": "all_at_once", "points": 10, "reason": "it is rolled out all at once"} if {
	seen.production
	input.change.strategy == "all-at-once"
}

# METADATA
# title: A rollback by hand
# description: A person has to notice, decide and act.
score contains {"code": "manual_rollback", "points": 10, "reason": "its rollback is not automatic"} if {
	seen.runs
	not input.change.automatic_rollback
}

# METADATA
# title: A rollback that nobody described
# description: And that person has to find out how.
score contains {"code": "no_runbook", "points": 5, "reason": "its rollback is neither automatic nor described"} if {
	seen.runs
	not input.change.automatic_rollback
	not input.change.has_runbook
}

# METADATA
# title: No way back
# description: What is deleted stays deleted, whatever the rollback does, so a canary protects from nothing. It makes any change in production high.
score contains {"code": "irreversible", "points": 35, "reason": reason} if {
	seen.runs
	input.reversible.answer == "no"
	reason := sprintf("it can't be taken back: %s", [concat("; ", input.reversible.reasons)])
}

# METADATA
# title: Nobody knows whether there is a way back
# description: Counted only where something was sent that could say so; what was never looked at is in the points of its kind.
score contains {"code": "reversible_unknown", "points": 5, "reason": reason} if {
	seen.runs
	is_object(input.material)
	input.reversible.answer == "unknown"
	reason := sprintf("nobody can say whether it can be taken back: %s", [concat("; ", input.reversible.reasons)])
}

# METADATA
# title: Its size
# description: >-
#   Reviews find fewer mistakes in a line from about 400 lines on, and hardly any where there are thousands. An emergency is as large as it has to be.
score contains {"code": "size", "points": max({lines_points, files_points}), "reason": reason} if {
	seen.runs
	not seen.emergency
	max({lines_points, files_points}) > 0
	reason := sprintf("it changes %d lines in %d files", [input.material.files.lines, input.material.files.count])
}

lines_points := 10 if {
	input.material.files.lines >= 2000
} else := 5 if {
	input.material.files.lines >= 400
} else := 0

files_points := 10 if {
	input.material.files.count >= 100
} else := 5 if {
	input.material.files.count >= 20
} else := 0

# METADATA
# title: What a plan destroys
# description: Deleted, replaced or forgotten resources. One is seldom alone, and after ten nobody reads on.
score contains {"code": "destroys", "points": min([15, 4 + n]), "reason": reason} if {
	plan := input.material.plan
	n := (plan.deletes + plan.replaces) + plan.forgets
	n > 0
	reason := sprintf("the plan deletes %d, replaces %d and forgets %d resources", [plan.deletes, plan.replaces, plan.forgets])
}

# What a plan or manifests change, on top of the points of the kind: the classes whose mistakes spread farthest come first.
classes := [
	{"code": "iam", "points": 5, "count": input.material.plan.iam, "what": "resources of the plan that say who may do what"},
	{"code": "encryption", "points": 5, "count": input.material.plan.encryption, "what": "resources of the plan that encrypt"},
	{"code": "stateful", "points": 5, "count": input.material.plan.stateful, "what": "resources of the plan that hold data"},
	{"code": "network", "points": 3, "count": input.material.plan.network, "what": "resources of the plan that route or filter traffic"},
]

objects := [
	{"code": "rbac", "points": 5, "count": input.material.manifests.rbac, "what": "objects that say who may do what"},
	{"code": "secret_objects", "points": 5, "count": input.material.manifests.secrets, "what": "objects that hold secrets"},
	{"code": "definitions", "points": 8, "count": input.material.manifests.crds, "what": "definitions that other objects rest on"},
	{"code": "network_objects", "points": 3, "count": input.material.manifests.network, "what": "objects that route or filter traffic"},
	{"code": "unknown_objects", "points": 5, "count": input.material.manifests.unknown_kinds, "what": "objects of kinds that are not known"},
	{"code": "unpinned_images", "points": 5, "count": input.material.manifests.unpinned_images, "what": "images named by a tag that can be moved"},
]

statements := [
	{"code": "locking", "points": 10, "count": input.material.migrations.locking, "what": "statements that lock a table others wait for"},
	{"code": "data_loss", "points": 10, "count": input.material.migrations.data_loss, "what": "statements that lose data"},
	{"code": "slow_migration", "points": 5, "count": input.material.migrations.slow, "what": "statements that take longer the more rows there are"},
	{"code": "unparsable", "points": 10, "count": input.material.migrations.unparsable, "what": "statements that can't be read"},
]

# METADATA
# title: What a plan touches
# description: >-
#   Access, encryption, data and network, each counted once. A type that is not known counts in every class.
score contains counted(class) if {
	some class in classes
	class.count > 0
}

# METADATA
# title: What manifests touch
# description: Access, secrets, network, definitions, kinds that are not known, and images that are not pinned.
score contains counted(class) if {
	some class in objects
	class.count > 0
}

# METADATA
# title: What migrations do
# description: >-
#   A lock that everybody waits for is an outage of its own, and what can't be read may do anything.
score contains counted(class) if {
	some class in statements
	class.count > 0
}

counted(class) := {"code": class.code, "points": class.points, "reason": sprintf("%s: %d", [class.what, class.count])}

# METADATA
# title: Types that nobody knows
# description: The rules can't say what they are, and a reviewer may not either.
score contains {"code": "unknown_types", "points": 5, "reason": reason} if {
	count(input.material.plan.unknown_types) > 0
	reason := sprintf("types that are not known: %s", [concat(", ", sort(input.material.plan.unknown_types))])
}

# METADATA
# title: Committers that nobody knows
# description: Whoever wrote a part of it can't be kept from approving it.
score contains {"code": "unknown_committers", "points": 5, "reason": reason} if {
	seen.runs
	input.material.commits.all_named == false
	reason := sprintf("commits by people who are no users here, or too many to name: %s", [concat(", ", sort(input.material.commits.unknown))])
}

# METADATA
# title: Changes of these services often fail
# description: What failed often will fail again. Fewer than three changes say nothing.
score contains {"code": "failure_rate", "points": 15, "reason": reason} if {
	seen.runs
	input.history.ended >= 3
	input.history.rolled_back / input.history.ended > 0.15
	reason := sprintf("of %d changes to these services, %d were rolled back", [input.history.ended, input.history.rolled_back])
}

# METADATA
# title: The same was rolled back before
# description: The same again, without a word on what is different now.
score contains {"code": "rolled_back_before", "points": 40, "reason": "exactly this was rolled back before"} if {
	seen.runs
	input.history.same_effect_rolled_back
}

# METADATA
# title: Not changed for long
# description: What nobody has touched for a quarter of a year is remembered by nobody, and everything around it has moved.
score contains {"code": "stale", "points": 5, "reason": reason} if {
	seen.runs
	age := input.history.last_change_age_days
	is_number(age)
	age > 90
	reason := sprintf("the last change of these services ended %d days ago", [floor(age)])
}

# METADATA
# title: Incidents
# description: A service that has just been ill.
score contains {"code": "incidents", "points": min([15, 5 * input.history.incidents]), "reason": reason} if {
	seen.runs
	not seen.emergency
	input.history.incidents > 0
	reason := sprintf("incidents of these services on record: %d", [input.history.incidents])
}

# METADATA
# title: The author's first change of these services
# description: Few points, so that a second person reads it only where other points come to it.
score contains {"code": "first_by_author", "points": 3, "reason": reason} if {
	seen.runs
	not seen.emergency
	input.history.ended >= 3
	input.history.author.changes == 0
	reason := sprintf("the author's first change of these services, after %d by others", [input.history.ended])
}

# METADATA
# title: The author's failures with these services
# description: Two in less than seven changes are a reason to ask somebody.
score contains {"code": "author_record", "points": 10, "reason": reason} if {
	seen.runs
	input.history.author.failures >= 2
	input.history.author.failures / input.history.author.changes > 0.3
	reason := sprintf(
		"of %d changes of these services by the author, %d were rolled back",
		[input.history.author.changes, input.history.author.failures],
	)
}

# METADATA
# title: The error budget
# description: >-
#   What is left of what users were promised. With nothing left, each more mistake breaks the promise; an emergency is there to end that.
score contains {"code": "error_budget", "points": budget_points, "reason": reason} if {
	seen.production
	not seen.emergency
	is_number(input.error_budget_left)
	reason := sprintf("of the error budget, %v%% is left", [round(input.error_budget_left * 1000) / 10])
}

budget_points := 20 if {
	input.error_budget_left <= 0
} else := 10 if {
	input.error_budget_left < 0.25
}

# METADATA
# title: Protected data
# description: What leaks can't be rolled back.
score contains {"code": "sensitive_data", "points": 15, "reason": reason} if {
	exposed
	count(seen.data_classes) > 0
	reason := sprintf("a service that it changes holds %s data", [concat(" and ", sort(seen.data_classes))])
}

# METADATA
# title: Outside of working hours
# description: >-
#   People are slow to come. Where the rollback is automatic nobody has to, and the hour does not matter; in an emergency they are there. The hours are those
#   of the organisation's time zone.
score contains {"code": "off_hours", "points": 5, "reason": reason} if {
	seen.production
	not seen.emergency
	not input.change.automatic_rollback
	not working_hours
	reason := sprintf(
		"it is outside of working hours (%s, %d o'clock %s), and its rollback needs a person",
		[input.now.weekday, input.now.hour, object.get(input.now, "tz", "UTC")],
	)
}

working_hours if {
	not input.now.weekday in {"saturday", "sunday"}
	input.now.hour >= 8
	input.now.hour < 18
}

# METADATA
# title: A service that nobody described
# description: With a catalog in use, a service that is not in it has no owner, tier or dependents that could be counted.
score contains {"code": "unknown_service", "points": 10, "reason": reason} if {
	seen.runs
	seen.unknown
	reason := sprintf("not in the catalog: %s", [concat(", ", sort(input.unknown_services))])
}

# METADATA
# title: Its cost
# description: A bill is an effect too. The larger of what the change file expects and what a report says, of its own currency.
score contains {"code": "cost", "points": 10, "reason": reason} if {
	seen.runs
	cost := max(costs)
	cost > 1000
	reason := sprintf("it adds %v a month to the costs", [cost])
}

costs contains input.change.cost_per_month if is_number(input.change.cost_per_month)

costs contains input.cost.per_month if is_number(input.cost.per_month)

# What the rules of the pack make together, without those of the organisation.
total := sum([factor.points | some factor in score])
