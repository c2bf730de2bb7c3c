# One word for each common task. `make` alone lists them.

CACHE ?= $(or $(FORESHOCK_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/foreshock)
export FORESHOCK_CACHE := $(CACHE)

.DEFAULT_GOAL := help
.PHONY: help run test test-pages test-clients check bench bench-stream bench-api suite services kafka redis triton model tools clean

help: ## List the tasks
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

run: ## Build, fetch the model, serve pages and API while data/logs stream through; ARGS=--once ends after that
	cargo run --release -- live $(ARGS)

test: services model ## Build and pass all tests, over a real Kafka, Redis, Triton and Chromium
	cargo test --release --workspace
	$(MAKE) --no-print-directory test-pages test-clients

test-pages: model ## Only the tests of the web pages, in a real browser; screenshots in frontend/tests/output
	cd frontend/tests && npm ci --ignore-scripts --no-audit --no-fund && npm test

CLIENTS := $(CACHE)/clients
test-clients: model ## Only the tests of the API with clients in Python
	python3 -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet --disable-pip-version-check -r crates/api/tests/clients/requirements.txt
	$(CLIENTS)/bin/pytest crates/api/tests/clients

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

bench-api: model ## The same of the API and the pages, uploads of a gigabyte among it
	cargo bench --package foreshock --bench api

suite: model ## Check that docker-compose.yml brings the suite up, finds the links of data/, and goes away
	services/compose_check.sh --minilm

services: ## Install what building and tests need from outside: Java, Maven, Redis, protoc, npm, Chromium …
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
	rm -rf out frontend/tests/node_modules frontend/tests/output
