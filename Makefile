# The one door. `make help` lists what there is.
.DEFAULT_GOAL := help
SHELL := bash

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

.PHONY: setup
setup: ## install what this machine lacks for all commands (Debian packages, as root)
	@scripts/setup.sh build test lint bench

.PHONY: policies
policies: ## build the policies and the test fixtures as WebAssembly components, into target/policies
	@scripts/setup.sh build
	@scripts/build-guests.sh

.PHONY: build
build: policies ## build the release binaries: target/release/portcullis, portcullis-agent and mock-service
	cargo build --release --workspace

.PHONY: run
run: build ## start mock-service (8001) and the gateway (8080, metrics 9464); Ctrl-C stops both
	@target/release/portcullis-agent run admin-web/agent/stacks/run.yaml

.PHONY: stack
stack: build ## run two gateways (8080, 8081), two mock services, Redis and Prometheus (9090); Ctrl-C stops all
	@scripts/setup.sh stack
	@mkdir -p target/stack
	@target/release/portcullis-agent run admin-web/agent/stacks/stack.yaml

.PHONY: demo
demo: build ## the same with traffic, so that charts move
	@scripts/setup.sh stack
	@mkdir -p target/stack
	@target/release/portcullis-agent run admin-web/agent/stacks/stack.yaml admin-web/agent/stacks/demo.yaml

.PHONY: test
test: policies ## run every test, with real sockets, components and redis-server
	@scripts/setup.sh test
	cargo test --workspace --no-fail-fast
	scripts/test-guests.sh
	scripts/check-reproducible.sh

.PHONY: lint
lint: policies ## rustfmt, clippy and rustdoc with warnings denied; file sizes; shell scripts
	@scripts/setup.sh lint
	@scripts/lint.sh

.PHONY: bench
bench: build ## measure CPU per request beside nginx, and the cost of a policy call
	@scripts/setup.sh bench
	@scripts/bench.sh

.PHONY: fuzz
fuzz: ## fuzz what reads foreign bytes: each target for FUZZ_SECONDS (600)
	@scripts/setup.sh fuzz
	@scripts/fuzz.sh

.PHONY: clean
clean: ## remove everything that was built
	rm -rf target fuzz/target guest-policies/target
