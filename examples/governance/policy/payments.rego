# A rule of this organisation: nobody starts on payments in production when the weekend is near. Documents run nowhere, so they may.
package clearway.payments

deny contains {"code": "payments_before_the_weekend", "reason": reason} if {
	"payments" in input.change.services
	input.change.environment == "production"
	input.change.kind != "docs"
	before_the_weekend
	reason := "payments are not changed in production on Fridays after 14:00 UTC; withdraw the change and propose it on Monday"
}

before_the_weekend if {
	input.now.weekday == "friday"
	input.now.hour >= 14
}
