# Each part of the rule alone: without it the same change may go ahead.
package clearway.payments_test

import data.clearway.payments

late_friday := {
	"change": {"services": ["checkout", "payments"], "environment": "production", "kind": "code"},
	"now": {"weekday": "friday", "hour": 14},
}

# Objects are merged, field by field.
but(other) := object.union(late_friday, other)

denied(given) if {
	said := payments.deny with input as given
	count(said) == 1
}

allowed(given) if {
	said := payments.deny with input as given
	count(said) == 0
}

test_payments_are_not_changed_when_the_weekend_is_near if {
	denied(late_friday)
	denied(but({"now": {"hour": 23}}))
}

test_friday_morning_is_early_enough if {
	allowed(but({"now": {"hour": 13}}))
}

test_other_days_are_free if {
	allowed(but({"now": {"weekday": "thursday"}}))
	allowed(but({"now": {"weekday": "saturday"}}))
}

test_other_services_are_free if {
	allowed(but({"change": {"services": ["checkout"]}}))
}

test_other_environments_are_free if {
	allowed(but({"change": {"environment": "staging"}}))
}

test_documents_are_free if {
	allowed(but({"change": {"kind": "docs"}}))
}
