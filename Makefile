# Everything runs in .venv, made here from the lock (versions and hashes): nothing else is needed
# than Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Where it is set, each of the hundreds of processes that the tests start would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test bench soak soak-mixed bench-revocation bench-fleet bench-grpc bench-ext-authz bench-slow bench-restarts bench-tracing bench-overload upstream-bars redis-bars accelerate test-accelerated unit e2e attack-scores fuzz chaos-long lint types imports schema docs docker-lint audit sbom licences unused lock clean

help: ## what can be made
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "$(PYTHON) has no venv module; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/demo.stamp: lock/demo.txt | $(BIN)/python
	@echo "installing the locked packages (once)"
	@$(PIP_INSTALL) --require-hashes -r lock/demo.txt
	@touch $@

# xds-protos brings an old opentelemetry-proto along, so that of tracing has to come after it.
$(VENV)/dev.stamp: lock/dev.txt lock/tracing.txt pyproject.toml | $(BIN)/python
	@echo "installing the locked packages with the test tools (once)"
	@$(PIP_INSTALL) --require-hashes -r lock/dev.txt
	@$(PIP_INSTALL) --require-hashes -r lock/tracing.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --no-index --editable .
	@touch $@ $(VENV)/demo.stamp

demo: $(VENV)/demo.stamp ## see the whole story; ONCE=1 ends after it with 0 or 1
	@$(BIN)/python -m sidecar demo $(if $(ONCE),--once)

test: lint types imports schema docker-lint unit e2e ## all that CI runs

bench: $(VENV)/dev.stamp ## what a request costs beside Envoy and others; QUICK=1 is the main table
	@PYTHONPATH=. $(BIN)/python tests/bench/proxy_cost.py $(if $(QUICK),--quick)

REQUESTS ?= 10000000
soak: $(VENV)/dev.stamp ## whether memory stays flat over REQUESTS requests (10 million)
	@PYTHONPATH=. $(BIN)/python tests/bench/soak.py --requests $(REQUESTS)

MINUTES ?= 30
soak-mixed: $(VENV)/dev.stamp ## traffic and faults of all kinds for MINUTES (30): no leak, all accounted for
	@PYTHONPATH=. $(BIN)/python tests/bench/mixed_soak.py --minutes $(MINUTES)

bench-revocation: $(VENV)/dev.stamp ## how fast revocation is, and what it costs; 6 minutes
	@PYTHONPATH=. $(BIN)/python tests/bench/revocation.py
	@PYTHONPATH=. $(BIN)/python tests/bench/cut_many.py
	@PYTHONPATH=. $(BIN)/python tests/bench/view_memory.py

bench-fleet: $(VENV)/dev.stamp ## how many sidecars one Redis carries, measured and simulated; 4 minutes
	@PYTHONPATH=. $(BIN)/python tests/bench/fleet.py $(if $(WRITE),--write $(WRITE))

bench-grpc: $(VENV)/dev.stamp ## what a gRPC call costs, and a message of a stream; 1 minute
	@PYTHONPATH=. $(BIN)/python tests/bench/grpc_proxy.py

bench-ext-authz: $(VENV)/dev.stamp ## what a check of Envoy's costs; 1 minute
	@PYTHONPATH=. $(BIN)/python tests/bench/ext_authz.py

bench-slow: $(VENV)/dev.stamp ## what thousands of slow or idle clients do to others; 4 minutes
	@PYTHONPATH=. $(BIN)/python tests/bench/slow_clients.py
	@PYTHONPATH=. $(BIN)/python tests/bench/idle_connections.py

bench-tracing: $(VENV)/dev.stamp ## what tracing costs a request, sampled or not; 1 minute
	@PYTHONPATH=. $(BIN)/python tests/bench/tracing.py

REPLACEMENTS ?= 20
bench-restarts: $(VENV)/dev.stamp ## what clients see of REPLACEMENTS (20) restarts, reloads and kills; 8 minutes
	@PYTHONPATH=. $(BIN)/python tests/bench/restarts.py --replacements $(REPLACEMENTS)

bench-overload: $(VENV)/dev.stamp ## what a flood of bad tokens does to good ones; 2 minutes
	@PYTHONPATH=. $(BIN)/python tests/bench/bad_tokens.py

upstream-bars: $(VENV)/dev.stamp ## the bars of kept connections, repetition and refusals, with figures; 5 minutes
	@PYTHONPATH=. $(BIN)/python tests/bench/upstream_bars.py
	@INTERLEAVED=10000 POSTED=100000 $(BIN)/python -m pytest -q --timeout=1200 \
	  tests/fronts/reverse_proxy/test_kept_connections.py

redis-bars: $(VENV)/dev.stamp ## the bars of revocation and Redis, with figures; 2 minutes
	@PYTHONPATH=. $(BIN)/python tests/bench/redis_bars.py

# The tools that look at the packages have an environment of their own, with what they look at.
AUDIT ?= $(VENV)/audit
SHIPPED = $$(sed -nE 's/^([A-Za-z0-9._-]+)(\[.*\])?==.*/\1/p' lock/grpc.txt lock/demo.txt | sort -u)

$(AUDIT)/audit.stamp: lock/audit.txt | $(BIN)/python
	@echo "installing the locked packages with what looks at them (once)"
	@$(BIN)/python -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

audit: $(AUDIT)/audit.stamp ## known vulnerabilities of what is locked; asks a service on the network
	@for lock in lock/*.txt; do $(AUDIT)/bin/pip-audit --strict --disable-pip --require-hashes -r $$lock || exit; done

sbom: $(AUDIT)/audit.stamp ## sbom.json: what is in the image, in CycloneDX
	@$(AUDIT)/bin/python -W ignore -m cyclonedx_py requirements lock/grpc.txt --pyproject pyproject.toml \
	  --output-reproducible --of JSON -o sbom.json

licences: $(AUDIT)/audit.stamp ## the licences of what is shipped; fails on one that is not allowed
	@$(AUDIT)/bin/pip-licenses --packages $(SHIPPED)

unused: $(VENV)/dev.stamp
	@$(BIN)/deptry .

lint: $(VENV)/dev.stamp unused ## ruff, codespell, and that no dependency is unused
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/codespell sidecar tests config deploy docs README.md CHANGELOG.md SECURITY.md Makefile

types: $(VENV)/dev.stamp ## mypy, strict
	@$(BIN)/mypy

imports: $(VENV)/dev.stamp ## the import rule
	@$(BIN)/lint-imports

# They go the same lines thousands of times: to count these would take a minute, and find none.
UNCOUNTED := tests/attacks tests/fuzz tests/adapters/test_view_model.py
unit: $(VENV)/dev.stamp ## unit tests, with the coverage gates
	@$(BIN)/python -m pytest -q -n 3 -m "not e2e" $(UNCOUNTED)
	@$(BIN)/python -m pytest -q -n 3 -m "not e2e" $(addprefix --ignore=,$(UNCOUNTED)) --cov --cov-report=
	@$(BIN)/coverage report
	@$(BIN)/coverage report --include='sidecar/core/*,sidecar/authorize.py,sidecar/verification.py,sidecar/wanted.py' --fail-under=100

ACCELERATED := build/accelerated
accelerate: $(VENV)/dev.stamp ## compile the hot modules, into a copy: build/accelerated; needs gcc
	@$(PIP_INSTALL) --require-hashes -r lock/accelerate.txt
	@rm -rf $(ACCELERATED) && mkdir -p $(ACCELERATED) && cp -R sidecar $(ACCELERATED)
	@sh deploy/accelerate.sh $(abspath $(BIN))/mypyc $(abspath $(BIN))/python $(ACCELERATED)
	@echo "run it: PYTHONPATH=$(ACCELERATED) $(BIN)/python -P -m sidecar run ..."

# Coverage and the rules for the sources' shape are the pure build's affair.
test-accelerated: accelerate ## the tests of what is compiled, on what is compiled
	@cp -R tests config deploy docs pyproject.toml README.md $(ACCELERATED)
	@cd $(ACCELERATED) && PYTHONPATH=. $(abspath $(BIN))/python -m pytest -q -n 2 -m "not e2e" \
	  tests/adapters tests/attacks tests/core tests/fronts tests/observability tests/test_authorize.py \
	  tests/test_streams.py tests/test_turns.py
	@cd $(ACCELERATED) && PYTHONPATH=. $(abspath $(BIN))/python -m pytest -q -n 2 --dist loadfile \
	  tests/e2e/test_main_job.py tests/e2e/test_workers.py

# Proxies and Prometheus are skipped, by name, where they are not installed; REQUIRE_PROXIES=1 makes
# that a failure, REQUIRE_BROWSER=1 that of Chromium.
# Debian: apt-get install nginx-light haproxy apache2 caddy prometheus chromium
e2e: $(VENV)/dev.stamp ## end-to-end tests: the real process, real servers, sockets
	@$(BIN)/python -m pytest -q -m e2e -n 2 --dist loadfile --ignore=tests/chaos
	@$(BIN)/python -m pytest -q tests/chaos

attack-scores: $(VENV)/dev.stamp ## how the fronts score in public suites of attacks on HTTP; half a minute
	@$(BIN)/python -m pytest -q tests/attacks/test_http11_probe.py tests/attacks/test_gadgets.py \
	  tests/attacks/test_header_names.py tests/attacks/test_raw_targets.py

FUZZ_SECONDS ?= 60
FUZZ := .venv-fuzz
$(FUZZ)/stamp: lock/fuzz.txt
	@$(PYTHON) -m venv $(FUZZ)
	@$(FUZZ)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r lock/fuzz.txt
	@touch $@

fuzz: $(VENV)/dev.stamp $(FUZZ)/stamp ## tokens changed at random, by libFuzzer for FUZZ_SECONDS (60) and beside an oracle
	@mkdir -p .fuzz
	@PYTHONPATH=. $(FUZZ)/bin/python tests/fuzz/token_path.py -max_total_time=$(FUZZ_SECONDS) \
	  -max_len=4096 -timeout=10 -rss_limit_mb=1024 -artifact_prefix=.fuzz/ .fuzz tests/fuzz/corpus
	@FUZZ_MUTATIONS=100000 $(BIN)/python -m pytest -q tests/fuzz --timeout=600

ROUNDS ?= 20
chaos-long: $(VENV)/dev.stamp ## the chaos tests of e2e, each fault ROUNDS times (20)
	@CHAOS_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest -q tests/chaos

schema: $(VENV)/dev.stamp ## the example settings against the JSON Schema of the settings
	@$(BIN)/python -m sidecar schema | diff config/sidecar.schema.json - || { \
	  echo "write it anew: sidecar schema > config/sidecar.schema.json" >&2; exit 1; }
	@$(BIN)/check-jsonschema --schemafile config/sidecar.schema.json config/*.yaml

docs: $(VENV)/dev.stamp ## write the pages that are made from the code: settings, metrics, errors
	@PYTHONPATH=. $(BIN)/python -m tests.docs.pages.write

docker-lint: $(VENV)/dev.stamp ## hadolint on the Dockerfile
	@$(BIN)/hadolint Dockerfile

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --no-strip-extras --upgrade

lock: $(VENV)/dev.stamp ## write the lock anew from pyproject.toml
	@$(COMPILE) pyproject.toml -o lock/run.txt
	@$(COMPILE) pyproject.toml --extra demo -o lock/demo.txt
	@$(COMPILE) pyproject.toml --extra grpc -o lock/grpc.txt
	@$(COMPILE) pyproject.toml --extra dev -o lock/dev.txt
	@$(COMPILE) pyproject.toml --extra tracing --constraint lock/dev.txt -o lock/tracing.txt
	@$(COMPILE) pyproject.toml --extra audit -o lock/audit.txt
	@$(COMPILE) pyproject.toml --extra fuzz -o lock/fuzz.txt
	@echo 'hatchling>=1.27' | $(COMPILE) - -o lock/build.txt
	@echo 'mypy[mypyc]>=2.4.1' | $(COMPILE) - -o lock/accelerate.txt

clean: ## remove the environment and the caches
	@rm -rf $(VENV) $(FUZZ) .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* build
