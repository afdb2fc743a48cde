# METADATA
# title: "Material: does what was sent speak against it?"
# description: >-
#   Soft: whoever may override says why, and the reason is on record. In an emergency they are remarks: what a hotfix is made of is looked at in its review.
# custom: {level: soft, laxest: advisory, owner: clearway, review_by: 2027-11-30}
package clearway.builtin.material

import data.clearway.builtin.seen

level := "advisory" if {
	seen.emergency
} else := "soft"

# METADATA
# title: Tests are green
# description: Only where results were sent; what was never tested is a matter of risk.
deny contains {"code": "tests_failed", "level": level, "reason": reason} if {
	seen.production
	input.material.tests.present
	not seen.green
	tests := input.material.tests
	reason := sprintf(
		"its tests are not green: %d passed, %d failed, %d broke off; amend it with results that are",
		[tests.passed, tests.failed, tests.errors],
	)
}

# METADATA
# title: What can't be taken back has a way on
# description: A rollback that can't bring back what is lost needs words on what is done instead.
deny contains {"code": "irreversible_without_runbook", "level": level, "reason": reason} if {
	seen.production
	input.reversible.answer == "no"
	not input.change.has_runbook
	reason := sprintf(
		"it can't be taken back (%s), and nobody says what is done instead; describe it under `rollback.runbook`",
		[concat("; ", input.reversible.reasons)],
	)
}

# METADATA
# title: The plan is whole
# description: What a plan leaves out may be what breaks.
deny contains {"code": "plan_incomplete", "level": level, "reason": reason} if {
	seen.production
	input.material.plan.complete == false
	reason := "its plan is not whole, or has errors; make a new one without `-target` and amend the change with it"
}
