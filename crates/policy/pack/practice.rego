# Practice: what does every change need, whatever its risk?
package clearway.builtin.practice

production if input.change.environment == "production"

runs if input.change.kind != "docs"

# Without a look at the effect no step could ever be judged, so nothing would stop a bad one.
deny contains {"code": "no_verification", "reason": reason} if {
	production
	runs
	input.change.slis == 0
	input.change.commands == 0
	object.get(input.change, "checks", 0) == 0
	reason := "nothing verifies this change; list SLIs, checks or commands under `verify`"
}

# Without a commit or an artifact nobody can say later what was running.
warn contains "it names neither a commit nor an artifact: what is running can't be traced back to its source" if {
	not input.change.has_commit
	not input.change.has_artifact
}

# With one step the first users to meet a mistake are all of them.
warn contains "it has a single step: the first mistake reaches all traffic" if {
	production
	runs
	input.change.steps == 1
}

# The kind is the author's word, and that of documents takes a change through without anybody.
warn contains "it is of kind `docs`, but names an artifact to deploy: is the kind right?" if {
	not runs
	input.change.has_artifact
}
