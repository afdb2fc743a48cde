# Two commands do everything on a machine that has Rust: `make demo` and `make test`.
.PHONY: demo test check bench

demo: ## Play three changes on a small web shop. ARGS=--once ends by itself.
	cargo run --quiet --profile demo --bin clearway -- demo $(ARGS)

test: ## Install what the tests need, if that may be, and pass them all.
	./scripts/test

check: ## What a reviewer would find first.
	./scripts/check

bench: ## Each figure beside its limit.
	cargo xtask bench
