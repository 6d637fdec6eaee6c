# Two commands matter: `make demo` and `make test`. Both do all set-up on a fresh machine with Python 3.11 or newer.
.DEFAULT_GOAL := help
.PHONY: help setup demo test cloud-test check format bench soak lock clean

VENV := .venv
BIN := $(VENV)/bin
MINUTES ?= 3.5
SOAK ?= 20
DEMO ?= swath-demo
DATA ?=
PEER ?=
BENCH ?= swath-bench
GDF_PYTHON ?=
LIGHTLY_PYTHON ?=

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/.ready  ## make .venv from requirements.lock

$(VENV)/.ready: requirements.lock pyproject.toml tools/setup.sh
	sh tools/setup.sh $(VENV)

demo: setup  ## the whole flow on a real Sentinel-2 scene (MINUTES=3.5 of training)
	$(BIN)/swath demo --out $(DEMO) --minutes $(MINUTES)

test: setup  ## the test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto

cloud-test: setup .tools/toolkit/.ready .tools/sdk/.ready  ## jobs as AWS's own toolkit and SDK run them, and S3 that fails
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m cloud tests

# Independent clients of our entry, each in an environment of its own; pinned and hashed beside the tests that use them.
.tools/%/.ready: tests/launch/clients/%.txt | setup
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .tools/$*
	$(BIN)/uv pip sync --quiet --require-hashes --python .tools/$*/bin/python $<
	touch $@

check: setup  ## lint, types, the rules of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_imports.py tests/test_house.py

format: setup  ## write the formatting that check asks for
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## speed and accuracy on real data: make bench DATA=/folder/of/archives PEER=/checkout/of/dino
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/ranks.py
	$(BIN)/python benchmarks/checkpoint.py
	$(BIN)/python benchmarks/scores.py
	$(BIN)/python benchmarks/search.py
	$(BIN)/python benchmarks/predict.py
	$(BIN)/python benchmarks/bigearthnet_tar.py --folder $(BENCH)
	$(BIN)/python benchmarks/bigearthnet_index.py --work $(BENCH) $(if $(GDF_PYTHON),--peer-python $(GDF_PYTHON))
	$(BIN)/python benchmarks/scaling.py --work $(BENCH)
	$(BIN)/python benchmarks/explore.py
	$(BIN)/python -W ignore benchmarks/cloud.py
	$(if $(DATA),$(BIN)/python benchmarks/real_runs.py --data $(DATA),@echo "for the real runs: make bench DATA=/folder/of/archives")
	$(if $(PEER),$(BIN)/python -W ignore benchmarks/training.py --peer $(PEER),@echo "for training beside facebookresearch/dino: make bench PEER=/checkout/of/dino")
	$(if $(PEER),$(BIN)/python -W ignore benchmarks/feeding.py --peer $(PEER))
	$(if $(PEER)$(LIGHTLY_PYTHON),$(BIN)/python -W ignore benchmarks/pipeline.py $(if $(PEER),--peer $(PEER)) $(if $(LIGHTLY_PYTHON),--lightly-python $(LIGHTLY_PYTHON)))

soak: setup  ## trainings through random faults must end as without them (SOAK=20 minutes)
	OMP_NUM_THREADS=1 $(BIN)/python tools/soak.py --minutes $(SOAK)

PIN := $(BIN)/uv pip compile --universal --no-emit-index-url --generate-hashes --python-version 3.11 --quiet

lock: setup  ## pin again what pyproject.toml asks for, and the clients of cloud-test
	$(PIN) --all-extras pyproject.toml -o requirements.lock
	for name in toolkit sdk; do $(PIN) --no-annotate --no-header tests/launch/clients/$$name.in -o tests/launch/clients/$$name.txt; done

clean:  ## remove what set-up and demo made
	rm -rf $(VENV) .tools $(DEMO) $(BENCH)
