# Targets are one plain line each; `make` alone lists them.
help: ## what there is
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: ## the whole path on a small data set; DATA=path for another one, ARGS='--set …' for another job
	cargo run --release --bin cllm4rec -- demo $(if $(DATA),--data $(DATA)) $(ARGS)

test: ## unit and end-to-end tests; sets up what they need
	tests/run.sh

lint: ## format and clippy, warnings are errors
	cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings

layers: ## dependencies between our crates point one way
	tests/layers.sh

e2e: ## the end-to-end tests alone
	tests/run.sh --test jobs --test leases --test queue --test deploys --test registry --test damage --test outages --test estimates --test serving --test requests --test scores --test replicas --test histories --test stored_histories --test full_disk --test versions --test overload --test faults --test access --test attacks --test http --test certificates --test backbones --test cli --test commands --test next_week --test lists --test gc --test scheduling --test terminal --test trained --test kept --test texts

chaos: ## 15 minutes of faults of every kind on real processes, and what is promised after each; ARGS='--seed N --minutes N --times N --lanes N --only KIND'; the services' log is target/chaos.log
	tests/redis.sh && cargo build --workspace --bins && cargo run -q --bin chaos -- $(ARGS) 2>target/chaos.log

chaos-short: ## each kind of fault once, two minutes; a slow machine gets as far as it comes in three
	$(MAKE) chaos ARGS='--seed 1 --minutes 3 --times 1'

bench-large: ## import ten million generated rows of a million users and start a job on them; seconds and peak memory
	cargo run --release --bin bench -- large $(ARGS)

# A data set has weights of its own for each decoder.
BENCH_DATA = $(or $(DATA),examples/games)
BENCH_WEIGHTS = target/bench/$(notdir $(BENCH_DATA))$(if $(BACKBONE),-$(notdir $(BACKBONE:/=)))

bench: ## time training and ranking; DATA=folder, BACKBONE=folder or GGUF file, REFERENCE='program that takes the same weights and batches'
	cargo run --release --bin bench $(if $(LIBTORCH),--features bench/tch) -- run --data $(BENCH_DATA) --weights $(BENCH_WEIGHTS) $(if $(BACKBONE),--backbone '$(BACKBONE)') --reference '$(REFERENCE)' $(ARGS)

bench-smoke: ## count a step's tokens, logits, rows and bytes; fails when they have grown
	cargo run --bin bench -- smoke $(ARGS)

bench-serving: ## requests a second and latencies; DATA=folder, SECONDS_A_POINT=60; an hour with both shapes
	DATA='$(BENCH_DATA)' tests/bench-serving.sh

bench-queue: ## what ten thousand queued jobs, fifty workers and two hundred watchers cost a coordinator; a minute
	cargo build --release --bin coordinator --bin scorer --bin cllm4rec && cargo run --release --bin queue-bench

console-walk: ## a headless Chromium walks the console while a model is trained; screenshots in target/screenshots
	cargo build --workspace --bins && tests/console.sh

clients: ## the Python and the TypeScript client: built, installed and tried in clean folders against real services
	cargo build --workspace --bins && tests/clients.sh

tracking: ## jobs exported to TensorBoard and a real MLflow server, read back by their own packages
	cargo build --workspace --bins && tests/tracking.sh

metrics: ## a real Prometheus scrapes real services under load; rules and metrics are checked
	cargo build --workspace --bins && tests/metrics.sh

wheel: ## the command line as a wheel in target/wheels, and the demo from it in a clean folder
	tests/wheel.sh

fuzz: ## random bytes and words for the decoder and the filter parser, FUZZ_SECONDS=600 each
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),600) cargo test --workspace --lib -- no_bytes_make no_text_makes

profile: ## where a stage's time goes, as a table and target/flamegraph.svg; needs the weights of `make bench` with the same DATA and BACKBONE
	cargo run --release --bin bench $(if $(LIBTORCH),--features bench/tch) -- profile --data $(BENCH_DATA) --weights $(BENCH_WEIGHTS) --stage $(or $(STAGE),recommend) --device $(or $(DEVICE),flex)

deny: ## licences, bans and sources of all dependencies
	cargo deny --version >/dev/null 2>&1 || cargo install --quiet --debug --locked cargo-deny@0.20.2; cargo deny --all-features check licenses bans sources

k8s: ## render the overlays and validate them against the Kubernetes schemas
	tests/k8s.sh

libtorch: ## a CPU LibTorch from PyPI's wheels in target/libtorch; prints the two lines to use it
	@shared/model/libtorch.sh

smollm2: ## SmolLM2-135M, a real language model, as a backbone named `smollm2`; FOLDER=the worker's backbone root
	cargo run --bin cllm4rec -- backbone add smollm2 $(if $(FOLDER),--root '$(FOLDER)')

test-tch: ## parity, property and training tests on LibTorch
	eval "$$(shared/model/libtorch.sh)" && cargo test --workspace --features cli/tch --test parity --test properties --test learning

quality: ## train what quality/grid.toml asks for and quality/results.jsonl lacks, then write docs/quality.md; DATA_ROOT=folder
	cargo run --release --bin quality -- run --data-root '$(DATA_ROOT)' $(ARGS)

quality-report: ## write docs/quality.md from quality/results.jsonl
	cargo run --bin quality -- report

quality-check: ## docs/quality.md is what quality/results.jsonl gives
	cargo run --bin quality -- check

images: ## container images of all services
	docker build -t cllm4rec .

ci: lint layers deny k8s quality-check bench-smoke chaos-short console-walk clients tracking wheel test ## everything that CI runs

.PHONY: help demo test lint layers e2e chaos metrics chaos-short bench-large bench bench-smoke bench-serving bench-queue fuzz profile deny k8s libtorch smollm2 test-tch quality quality-report quality-check images console-walk clients tracking wheel ci
