# Every command of the project. `make run` and `make test` need nothing prepared but what README.md says: they install what they need.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON_FILES := sdk operator api tests benchmarks examples tools charts
export UV_NO_PROGRESS := 1
# Empty: modules are compiled once, whatever the surroundings say; every process of every test starts faster for it.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help
help: ## this list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

.PHONY: run
run: ## the main job, seen working on this machine: a local server, a flow applied, run in a process, queried over REST
	@tools/stages server-venv local-example

.PHONY: run-cluster
run-cluster: ## the same in a real cluster: a flow applied with kubectl, run in a pod, queried over REST
	@tools/stages packages venv cluster images release example

.PHONY: test
test: ## everything but `soak`: linters, types, unit, simulation, integration and real-cluster tests
	@tools/stages packages test-packages lint environments cluster images test-all

.PHONY: soak
soak: ## what takes hours: chaos, scale, upgrades, other systems; each has a small twin in `make test`
	@tools/stages packages test-packages venv environments cluster images test-soak

.PHONY: test-all
test-all:
	@tools/test tests/cluster tests/setup tests/integration tests/compatibility tests/simulation tests/unit

.PHONY: test-soak
test-soak:
	@tools/soak

.PHONY: test-unit
test-unit: venv ## only the tests that need no cluster and no database
	@tools/test tests/unit tests/simulation

.PHONY: lint
lint: venv ## format, lint, types, borders
	.venv/bin/ruff format --check $(PYTHON_FILES)
	.venv/bin/ruff check $(PYTHON_FILES)
	.venv/bin/mypy
	.venv/bin/mypy tests/typing
	.venv/bin/pyright --warnings
	.venv/bin/lint-imports

.PHONY: format
format: venv ## put the code into shape
	.venv/bin/ruff format $(PYTHON_FILES)
	.venv/bin/ruff check --fix $(PYTHON_FILES)

.PHONY: venv
venv: ## .venv with everything in requirements.lock
	@tools/venv

.PHONY: server-venv
server-venv: # .venv-server with mintaka[server] alone
	@tools/server-venv

.PHONY: lock
lock: venv ## write requirements.lock anew from pyproject.toml
	tools/uv pip compile --quiet --universal --python-version 3.12 --generate-hashes --all-extras --group dev --upgrade \
	  --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements.lock
	tools/uv pip compile --quiet --universal --python-version 3.12 --generate-hashes --extra server --extra examples --upgrade \
	  --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements-server.lock

.PHONY: packages
packages: # first of all, so that nothing compiles for minutes before a missing program ends it
	@cluster/packages images cluster

.PHONY: test-packages
test-packages:
	@cluster/packages tests

.PHONY: environments
environments: venv # Python environments of some tests
	@tools/prefect >/dev/null
	@tools/object-store >/dev/null

.PHONY: test-compatibility
test-compatibility: venv ## flows written for Prefect, run under Prefect and Mintaka
	@tools/test tests/compatibility

.PHONY: compatibility-table
compatibility-table: venv ## write the table of docs/coming-from-prefect.md anew from those flows
	@.venv/bin/python tests/compatibility/table.py

.PHONY: cluster
cluster: ## a real one-node Kubernetes cluster of the project's own (CLUSTER=current: the one kubectl points at)
	@cluster/up

.PHONY: cluster-down
cluster-down: ## stop the project's own cluster
	@cluster/down

.PHONY: images
images: cluster ## build the project's images and load them into the cluster
	@tools/images

.PHONY: release
release: cluster ## install the chart, or what has changed of it and the images
	@tools/install

.PHONY: example
example: ## run examples/etl in the cluster and show what is known of the run
	@tools/run-cluster

.PHONY: local-example
local-example: # run examples/etl at the local server and show what is known of the run
	@tools/run

.PHONY: crds
crds: venv ## write the CRDs anew from the models
	.venv/bin/python -m mintaka_core.resources.crds crds charts/mintaka/files/crds

.PHONY: rule-tables
rule-tables: venv ## write the tables of rules in docs/concepts.md anew from the policies
	.venv/bin/python -m mintaka_core.rule_tables docs/concepts.md

.PHONY: bench
bench: bench-operator bench-ingest bench-mirror bench-pages bench-sdk bench-server bench-rules ## every benchmark; figures are printed, benchmarks/README.md keeps the last ones

.PHONY: bench-operator
bench-operator: cluster ## runs on fake nodes beside native Jobs and bare pods
	@cluster/build kwok >/dev/null
	@eval "$$(cluster/env)" && .venv/bin/python benchmarks/operator_runs.py $(or $(MODE),burst) $(if $(RUNS),--runs $(RUNS))

.PHONY: bench-ingest
bench-ingest: venv test-packages ## task runs per second into SQLite and PostgreSQL, and over HTTP
	@.venv/bin/python benchmarks/ingest.py

.PHONY: bench-mirror
bench-mirror: venv test-packages ## transitions per second into SQLite and PostgreSQL, the mirror's lag, and a start with 100,000 runs
	@.venv/bin/python benchmarks/mirror.py
	@.venv/bin/python benchmarks/mirror_restart.py

.PHONY: bench-pages
bench-pages: venv test-packages ## milliseconds per page over a million flow runs and ten million task runs
	@.venv/bin/python benchmarks/pages.py

.PHONY: bench-sdk
bench-sdk: venv test-packages ## microseconds per task and flow, start-up, task runners, to an API; beside Prefect
	@.venv/bin/python benchmarks/sdk/start_up.py
	@.venv/bin/python benchmarks/sdk/overhead.py
	@.venv/bin/python benchmarks/sdk/to_api.py
	@.venv/bin/python benchmarks/sdk/task_runners.py
	@.venv/bin/python benchmarks/sdk/beside_prefect.py

.PHONY: bench-server
bench-server: venv ## the local server: start, idle, the start of a run, many runs, many schedules; beside Prefect
	@.venv/bin/python benchmarks/server.py

.PHONY: bench-rules
bench-rules: venv test-packages ## next times of schedules, slots of concurrency keys, rules of users and their dry runs
	@.venv/bin/python benchmarks/schedules.py
	@.venv/bin/python benchmarks/concurrency.py
	@.venv/bin/python benchmarks/rules.py
