# One word for each common task. `make` alone lists them.

CACHE ?= $(or $(FORESHOCK_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/foreshock)
export FORESHOCK_CACHE := $(CACHE)

.DEFAULT_GOAL := help
.PHONY: help run test check bench triton tools clean

help: ## List the tasks
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

run: ## Build, fetch the model, and find the links in data/
	@mkdir -p out
	cargo run --release -- analyze data/logs/*.txt \
		-o out/links.csv -o out/links.xlsx -o out/links.json

test: ## Build and pass all tests
	cargo test --release --workspace

check: tools ## Formatting, lints, documentation, licences, advisories, unused dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	cargo machete
	cargo deny --log-level error check bans licenses sources
	@if cargo deny --log-level error fetch db 2>/dev/null; then \
		cargo deny --log-level error check advisories; \
	else \
		echo "advisories: not checked, their database cannot be reached from here"; \
	fi

bench: ## Measure speed and memory, each beside its peer
	cargo bench --package foreshock --bench analysis

triton: ## Serve the model with a real Triton on this CPU, without Docker
	triton/serve_cpu.sh

tools: ## Install what `make check` needs
	@command -v cargo-machete >/dev/null || cargo install --locked cargo-machete@0.9.2
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny@0.20.2

clean: ## Remove what was built and written
	cargo clean
	rm -rf out
