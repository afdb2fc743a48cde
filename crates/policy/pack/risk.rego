# Risk: how many points does each property of a change add to its score?
#
# The weights are judgements, not measurements: they are chosen so that an everyday change with a canary stays low (below 25), and what is hard to undo
# or touches access and data is high (50 and more) in production by itself. An organisation adds factors of its own in a package below `clearway`.
package clearway.builtin.risk

# What a change of each kind can break, if all else is well. Access, secrets and governance come first: a mistake there disarms other controls.
kind_points := {
	"docs": 0,
	"flag": 8,
	"config": 12,
	"code": 15,
	"pipeline": 25,
	"platform": 30,
	"network": 35,
	"infrastructure": 35,
	"data": 40,
	"secret": 45,
	"access": 45,
	"governance": 40,
}

# Documents run nowhere, so nothing but their kind is counted.
runs if input.change.kind != "docs"

production if {
	runs
	input.change.environment == "production"
}

# A kind that is not in the table counts as the heaviest.
score contains {"code": "kind", "points": object.get(kind_points, input.change.kind, 45), "reason": reason} if {
	reason := sprintf("a change of kind `%s`", [input.change.kind])
}

# Users are there.
score contains {"code": "production", "points": 10, "reason": "it acts on production"} if production

# Each service beyond the first is one more thing that can go wrong, and one more to look at.
score contains {"code": "services", "points": min([20, 5 * (n - 1)]), "reason": reason} if {
	runs
	n := count(input.change.services)
	n > 1
	reason := sprintf("it changes %d services at once", [n])
}

# Those who notice when the changed services fail.
score contains {"code": "dependents", "points": min([20, 2 * n]), "reason": reason} if {
	runs
	n := count(input.dependents)
	n > 0
	reason := sprintf("services that depend on it: %d", [n])
}

# The most important service counts.
score contains {"code": "tier", "points": points, "reason": reason} if {
	runs
	tier := min({s.tier | some s in input.services})
	points := {1: 15, 2: 8}[tier]
	reason := sprintf("it changes a service of tier %d", [tier])
}

# How many users meet the first mistake.
score contains {"code": "first_step", "points": points, "reason": reason} if {
	production
	points := first_step_points
	reason := sprintf("the first step already takes %v%% of the traffic", [round(input.change.first_share * 10000) / 100])
}

first_step_points := 10 if {
	input.change.first_share > 0.5
} else := 5 if {
	input.change.first_share > 0.25
}

# No part of the old version is left beside the new one.
score contains {"code": "all_at_once", "points": 10, "reason": "it is rolled out all at once"} if {
	production
	input.change.strategy == "all-at-once"
}

# A person has to notice, decide and act.
score contains {"code": "manual_rollback", "points": 10, "reason": "its rollback is not automatic"} if {
	runs
	not input.change.automatic_rollback
}

# And has to find out how.
score contains {"code": "no_runbook", "points": 5, "reason": "its rollback is neither automatic nor described"} if {
	runs
	not input.change.automatic_rollback
	not input.change.has_runbook
}

# What failed often will fail again. Fewer than three changes say nothing.
score contains {"code": "failure_rate", "points": 15, "reason": reason} if {
	runs
	input.history.ended >= 3
	input.history.rolled_back / input.history.ended > 0.15
	reason := sprintf("of %d changes to these services, %d were rolled back", [input.history.ended, input.history.rolled_back])
}

# The same again, without a word on what is different now.
score contains {"code": "rolled_back_before", "points": 40, "reason": "exactly this was rolled back before"} if {
	runs
	input.history.same_effect_rolled_back
}

# What leaks can't be rolled back.
score contains {"code": "sensitive_data", "points": 15, "reason": reason} if {
	runs
	classes := {class | some s in input.services; some class in s.data} & {"personal", "payment"}
	count(classes) > 0
	reason := sprintf("a service that it changes holds %s data", [concat(" and ", sort(classes))])
}

# People are slow to come. Where the rollback is automatic nobody has to, and the hour does not matter.
score contains {"code": "off_hours", "points": 5, "reason": "it is outside of working hours (UTC), and its rollback needs a person"} if {
	production
	not input.change.automatic_rollback
	not working_hours
}

working_hours if {
	not input.now.weekday in {"saturday", "sunday"}
	input.now.hour >= 8
	input.now.hour < 18
}

# With a catalog in use, a service that is not in it has no owner, tier or dependents that could be counted.
score contains {"code": "unknown_service", "points": 10, "reason": reason} if {
	runs
	count(input.services) > 0
	count(input.unknown_services) > 0
	reason := sprintf("not in the catalog: %s", [concat(", ", sort(input.unknown_services))])
}

# A bill is an effect too.
score contains {"code": "cost", "points": 10, "reason": reason} if {
	runs
	input.change.cost_per_month > 1000
	reason := sprintf("it adds %v a month to the costs", [input.change.cost_per_month])
}
