# METADATA
# title: "Checklists: what has to be true before it may start?"
# description: >-
#   `before-production` is about the change, and `production-readiness` about the services that it changes. They are asked of changes in production
#   that take the whole path or are of critical risk (75 points and more), so that no change of low risk ever waits for a tick. Evidence among the facts ticks
#   a point by itself; where there is none, a person answers for it by name. Emergencies, standard changes and what is put on record afterwards are not asked.
# custom: {level: hard, owner: clearway, review_by: 2027-11-30}
package clearway.builtin.checklists

import data.clearway.builtin.lanes
import data.clearway.builtin.risk
import data.clearway.builtin.seen

# From here on a change is critical by the factors of the pack alone.
critical if risk.total >= 75

asked if {
	seen.production
	seen.regular
	lanes.wide
}

asked if {
	seen.production
	seen.regular
	critical
}

# A point without evidence waits for a person.
point(list, code, title, found) := {"list": list, "code": code, "title": title, "evidence": min(found)} if {
	count(found) > 0
} else := {"list": list, "code": code, "title": title, "tick": "person"}

before(code, title, found) := point("before-production", code, title, found)

ready(code, title, found) := point("production-readiness", code, title, found)

linked(kind) := {link | some name, link in input.change.evidence; name == kind}

# METADATA
# title: Tests are green
# description: Ticked by results that were sent, or by a link under `evidence.test-report`.
checklist contains before("tests", "its tests are green", tests | linked("test-report")) if {
	asked
	not tests_failed
}

# METADATA
# title: Tests that failed
# description: No person can say that they are green; the change is amended with results that are.
checklist contains {"list": "before-production", "code": "tests", "title": "its tests are green", "tick": "evidence"} if {
	asked
	tests_failed
}

tests_failed if {
	input.material.tests.present
	not seen.green
}

tests contains sprintf("%d passed, none failed", [input.material.tests.passed]) if seen.green

# METADATA
# title: The way back
# description: Ticked where the rollback is automatic or has a runbook.
checklist contains before("rollback", "there is a way back, and those on call know it", way_back) if asked

way_back contains "a runbook is named" if input.change.has_runbook

way_back contains "it rolls back by itself" if input.change.automatic_rollback

# METADATA
# title: What verifies it
# description: Ticked by SLIs, commands and checks of the change file.
checklist contains before("verification", "its effect is looked at in every step", verified) if asked

verified contains sprintf("%d SLIs, %d commands, %d checks", [input.change.slis, input.change.commands, input.change.checks]) if {
	(input.change.slis + input.change.commands) + input.change.checks > 0
}

# METADATA
# title: What is deployed
# description: Ticked by a commit or an artifact.
checklist contains before("source", "what is deployed can be traced to its source", source) if asked

source contains "an artifact is named" if input.change.has_artifact

source contains "a commit is named" if input.change.has_commit

# METADATA
# title: A small first step
# description: Ticked where the first step takes a quarter of the traffic at the most.
checklist contains before("first_step", "the first step reaches few users, or all may meet a mistake", first_step) if asked

first_step contains sprintf("the first step takes %v%% of the traffic", [round(input.change.first_share * 10000) / 100]) if {
	input.change.first_share <= 0.25
}

# METADATA
# title: Those who depend on it know
# description: Ticked where nobody depends on it.
checklist contains before("dependents", "those whose services depend on it have been told", alone) if asked

alone contains "no service of the catalog depends on it" if {
	count(input.dependents) == 0
	count(input.unknown_services) == 0
}

# METADATA
# title: A copy of what can be lost
# description: Only where something can't be taken back; ticked by a link under `evidence.backup`.
checklist contains before("backup", "what it may lose has been saved, and the copy was restored once", linked("backup")) if {
	asked
	input.reversible.answer == "no"
}

# METADATA
# title: Owners
# description: Ticked where the catalog knows every changed service, and so its owner.
checklist contains ready("owner", "every service has an owner", owners) if asked

owners contains concat(", ", sort([sprintf("%s: %s", [s.name, s.owner]) | some s in input.services])) if described

described if {
	count(input.services) > 0
	count(input.unknown_services) == 0
}

# METADATA
# title: On call
# description: Ticked where the catalog names somebody on call for every changed service.
checklist contains ready("on_call", "somebody is on call for every service", on_call) if asked

on_call contains concat(", ", sort([sprintf("%s: %s", [s.name, s.on_call]) | some s in input.services])) if {
	described
	every service in input.services {
		is_string(service.on_call)
	}
}

# METADATA
# title: Objectives
# description: Ticked where the catalog names SLOs or SLIs of every changed service.
checklist contains ready("objectives", "every service has objectives, and they are measured", objectives) if asked

objectives contains concat(", ", sort([name | some s in input.services; some name in promised(s)])) if {
	described
	every service in input.services {
		count(promised(service)) > 0
	}
}

promised(service) := {name | some name in object.get(service, "slos", [])} | {name | some name in object.get(service, "slis", [])}

# METADATA
# title: Runbook
# description: Ticked where the change names a runbook, or the catalog has a link for every changed service.
checklist contains ready("runbook", "those on call find a runbook for every service", runbooks) if asked

runbooks contains "the change names a runbook" if input.change.has_runbook

runbooks contains concat(", ", sort([link | some s in input.services; some link in s.links])) if {
	described
	every service in input.services {
		count(service.links) > 0
	}
}

# METADATA
# title: Room for the load
# description: Only on the whole path; ticked by a link under `evidence.load-test`.
checklist contains ready("capacity", "the services carry their load while a part of them is changed", linked("load-test")) if {
	asked
	lanes.wide
}
