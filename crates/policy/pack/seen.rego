# METADATA
# title: What the rules of the pack see alike
# description: >-
#   Asks and denies nothing itself. What is not known for sure stands on the heavier side: an environment counts as production unless its name says that it
#   is not, and documents count as such only as long as nothing in the change says that it is more.
# custom: {level: hard, owner: clearway, review_by: 2027-11-30}
package clearway.builtin.seen

# Documents run nowhere. The kind is the author's word, and it counts as long as nothing that was sent with the change contradicts it.
runs if input.change.kind != "docs"

runs if input.material.kind_understated

# The first part of the name counts, so that `staging-eu` is staging. What is named in no list may have users, so it counts as production.
elsewhere := {
	"ci", "demo", "dev", "development", "integration", "local", "preview", "qa", "review", "sandbox", "stage", "staging", "test",
	"testing",
}

# A name that says both, such as `test-production`, has users too.
live := {"live", "prd", "prod", "production"}

production if {
	runs
	not is_elsewhere
}

is_elsewhere if {
	parts := split(input.change.environment, "-")
	parts[0] in elsewhere
	count({part | some part in parts; part in live}) == 0
	count(not_run_in) == 0
}

# The changed services that run in other environments than this one, as the catalog says.
not_run_in contains service.name if {
	some service in input.services
	count(service.environments) > 0
	not input.change.environment in service.environments
}

emergency if input.change.course == "emergency"

# A standard change was thought through as a template; what went by the product has happened; an emergency owes its approvals and a review afterwards.
regular if not input.change.course in {"standard", "emergency", "afterwards"}

# Every kind that the change declares or touches.
kinds := {input.change.kind} | {kind | some kind in input.material.kinds}

green if input.material.tests.green

# The most important of the changed services; undefined where the catalog knows none of them.
tier := min({service.tier | some service in input.services})

# With a catalog in use, a service that is not in it may be anything. Without one nobody can say anything of any service.
unknown if {
	catalog_in_use
	count(input.unknown_services) > 0
}

catalog_in_use if input.catalog_in_use

# Facts that were kept before there was a word for it.
catalog_in_use if count(input.services) > 0

important if tier <= 2

important if unknown

# Such a change can be read at a glance, and takes itself back: one text file, 50 lines at the most (what a reviewer reads without scrolling), green tests,
# one service, a first step for a quarter of the traffic at the most.
small if {
	green
	input.material.files.count == 1
	input.material.files.lines <= 50
	input.material.files.binary + input.material.files.submodules + input.material.files.symlinks + input.material.files.unlisted == 0
	kinds - {"docs", "flag", "config", "code"} == set()
	not input.material.kind_understated
	count(input.change.services) == 1
	input.change.automatic_rollback
	input.change.first_share <= 0.25
}

# Classes of data that a law protects.
protected := {"health", "payment", "personal"}

data_classes := {class | some service in input.services; some class in service.data} & protected
