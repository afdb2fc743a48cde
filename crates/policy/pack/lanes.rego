# METADATA
# title: "Lanes: which way does a change go by what it touches?"
# description: >-
#   Four ways: small texts flow, what is sensitive is reviewed, what is wide takes the whole path, an emergency goes first and owes; and the free way of
#   documents and of places without users. An everyday change is left to its risk and approvals.yaml. What
#   is required here comes on top of approvals.yaml, of which the stricter holds. In an emergency the same approvals are owed afterwards, and no window
#   counts. Groups: `security` and `sre` are asked where access.yaml has such a group with a member; otherwise `approvers` are asked in their place, and a
#   warning says so: a group that is not there never means that nobody is asked.
# custom: {level: hard, owner: clearway, review_by: 2027-11-30}
package clearway.builtin.lanes

import data.clearway.builtin.seen

# Who may do what, and what keeps secrets: by what the change declares, its files, plan and manifests.
guarded := {"access", "secret"} & seen.kinds

# A change of data where a law protects some of it; and where a catalog is in use but doesn't know the service, nobody can say that none is.
protected if {
	"data" in seen.kinds
	count(seen.data_classes) > 0
}

protected if {
	"data" in seen.kinds
	seen.unknown
}

encrypts if input.material.plan.encryption > 0

guards if input.material.plan.iam > 0

reasons contains sprintf("it touches %s", [kind]) if some kind in guarded

reasons contains "its plan touches who may do what" if guards

reasons contains "its plan touches encryption" if encrypts

reasons contains "it touches data that a law protects, or may" if protected

sensitive if {
	seen.production
	count(reasons) > 0
}

# Several services of which one is important: users notice more than one failure, and no single team has the whole in view.
wide if {
	seen.production
	count(input.change.services) > 1
	seen.important
}

# The group, or those who stand in for it.
there(group) := group if {
	group in input.groups
} else := "approvers"

# METADATA
# title: "Second lane: access, encryption and protected data are reviewed"
# description: One person of `security` looks at it within a day, in production; a shorter time in approvals.yaml holds.
require contains {"by": there("security"), "count": 1, "within": "24h"} if sensitive

# METADATA
# title: "Second lane: at a planned time"
# description: What may lock people out or leak data starts when those who can help know of it. An emergency starts at once.
require contains {"window": "required"} if {
	sensitive
	seen.regular
}

# METADATA
# title: "Second lane: why"
# description: The reasons, where approvers read them.
warn contains sprintf("it needs a review of its security: %s", [concat(", ", sort(reasons))]) if sensitive

# METADATA
# title: "Second lane: nobody to ask"
# description: Without a group `security` the approvers are asked.
warn contains "there is no group `security` with a member in access.yaml: `approvers` are asked in its place" if {
	sensitive
	not "security" in input.groups
}

# METADATA
# title: "Third lane: the owners"
# description: Several services at once, one of them of tier 1 or 2 (or unknown to the catalog), in production.
require contains {"by": "service-owners", "count": 1, "within": "24h"} if wide

# METADATA
# title: "Third lane: those who run production"
# description: A second person who sees more than one service. The same person never counts for both groups.
require contains {"by": there("sre"), "count": 1, "within": "24h"} if wide

# METADATA
# title: "Third lane: at a planned time"
# description: What several services notice starts when their people know of it.
require contains {"window": "required"} if {
	wide
	seen.regular
}

# METADATA
# title: "Third lane: nobody to ask"
# description: Without a group `sre` the approvers are asked.
warn contains "there is no group `sre` with a member in access.yaml: `approvers` are asked in its place" if {
	wide
	not "sre" in input.groups
}

# METADATA
# title: "Fourth lane: an emergency"
# description: It starts with its small quorum, and what is required otherwise is owed. It ends an incident that people can look up.
warn contains sprintf("it goes by the emergency lane for %s: approvals are owed, no window counts, hard rules do", [input.change.incident]) if {
	seen.emergency
	is_string(input.change.incident)
}

# METADATA
# title: "Fourth lane: an incident is named"
# description: Without an incident it is a change in a hurry.
deny contains {"code": "emergency_without_incident", "reason": reason} if {
	seen.emergency
	object.get(input.change, "incident", null) in {"", null}
	reason := "an emergency ends an incident, and none is named; propose it as a regular change, or name the incident"
}
