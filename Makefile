# One word for each common task. `make` alone lists them.

CACHE ?= $(or $(FORESHOCK_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/foreshock)
export FORESHOCK_CACHE := $(CACHE)

.DEFAULT_GOAL := help
.PHONY: help run test check bench bench-stream suite services kafka redis triton model tools clean

help: ## List the tasks
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

run: ## Build, fetch the model, and stream data/logs through: links are told as they are found
	cargo run --release

test: services model ## Build and pass all tests, over a real Kafka, Redis and Triton
	cargo test --release --workspace

# In the release profile, as all else, so that librdkafka and SQLite are compiled once.
check: tools ## Formatting, lints, documentation, licences, advisories, unused dependencies
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps
	cargo machete
	cargo deny --log-level error check bans licenses sources
	@if cargo deny --log-level error fetch db 2>/dev/null; then \
		cargo deny --log-level error check advisories; \
	else \
		echo "advisories: not checked, their database cannot be reached from here"; \
	fi

bench: ## Measure speed and memory, each beside its peer
	cargo bench --package foreshock --bench analysis

bench-stream: ## The same of the live path, with a real Kafka; ONLY=latency is one section of it
	cargo build --release --package replay
	cargo bench --package backend --bench stream -- $(ONLY)

suite: model ## Check that docker-compose.yml brings the suite up, finds the links of data/, and goes away
	services/compose_check.sh --minilm

services: ## Install what tests and the suite need from outside: Java, Maven, Redis, protoc …
	services/install.sh

kafka: ## Serve a real Kafka on this machine, without Docker
	services/kafka.sh

redis: ## Serve Redis on this machine, without Docker
	services/redis.sh

triton: model ## Serve the model with a real Triton on this CPU, without Docker
	triton/serve_cpu.sh

model: ## Fetch the laptop's model, if it is not here yet
	cargo run --release --quiet -- model --quiet

tools: ## Install what `make check` needs
	@command -v cargo-machete >/dev/null || cargo install --locked cargo-machete@0.9.2
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny@0.20.2

clean: ## Remove what was built and written
	cargo clean
	rm -rf out
