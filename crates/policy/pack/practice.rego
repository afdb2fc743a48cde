# METADATA
# title: "Practice: what does every change need, whatever its risk?"
# description: >-
#   The hard rule holds for emergencies too: without a look at the effect a hotfix is a hope. Two people may break the glass.
# custom: {level: hard, owner: clearway, review_by: 2027-11-30}
package clearway.builtin.practice

import data.clearway.builtin.seen

# METADATA
# title: Something verifies it
# description: Without a look at the effect no step could ever be judged, so nothing would stop a bad one.
deny contains {"code": "no_verification", "reason": reason} if {
	seen.production
	input.change.slis == 0
	input.change.commands == 0
	object.get(input.change, "checks", 0) == 0
	reason := "nothing verifies this change; list SLIs, checks or commands under `verify`"
}

# METADATA
# title: It can be traced
# description: Without a commit or an artifact nobody can say later what was running.
warn contains "it names neither a commit nor an artifact: what is running can't be traced back to its source" if {
	not input.change.has_commit
	not input.change.has_artifact
}

# METADATA
# title: More than one step
# description: With one step the first users to meet a mistake are all of them.
warn contains "it has a single step: the first mistake reaches all traffic" if {
	seen.production
	input.change.steps == 1
}

# METADATA
# title: Documents are not deployed
# description: The kind is the author's word, and that of documents takes a change through without anybody.
warn contains "it is of kind `docs`, but names an artifact to deploy: is the kind right?" if {
	not seen.runs
	input.change.has_artifact
}

# METADATA
# title: Documents that are more
# description: Files, plans or migrations say that it is no change of documents, so it is treated as what it touches.
warn contains "it is declared as `docs` and touches more, so it is not treated as a change of documents" if {
	input.change.kind == "docs"
	input.material.kind_understated
}

# METADATA
# title: What can't be taken back is named
# description: Non-reversible migrations, and other losses, are named when the change is proposed, in every environment.
warn contains sprintf("it can't be taken back: %s", [reason]) if {
	input.reversible.answer == "no"
	some reason in input.reversible.reasons
}

# METADATA
# title: Where nothing is undone
# description: The first places of statements that nothing undoes.
warn contains sprintf("nothing undoes the statement at %s", [place]) if {
	input.material.migrations.irreversible > 0
	some place in input.material.migrations.places
}

# METADATA
# title: Images are pinned
# description: A tag can be moved, so what was approved may not be what runs.
warn contains sprintf("images named by a tag that can be moved: %d; name them by digest", [n]) if {
	seen.production
	n := input.material.manifests.unpinned_images
	n > 0
}
