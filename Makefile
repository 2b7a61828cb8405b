# Two commands: `make demo` exports a bundled model for a named device, `make test` passes the tests.
# Each makes its own .venv and installs all that it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo

.PHONY: demo test docs clean

demo: $(VENV)/installed
	$(BIN)/nf-edge export digits --recipe xnnpack-8da8w --device rpi-zero-2w --data digits:test \
		--overwrite -o $(DEMO)/digits-executorch
	$(BIN)/nf-edge export digits --recipe onnx-int8-dynamic --device rpi-zero-2w --data digits:test \
		--overwrite -o $(DEMO)/digits-onnx
	$(BIN)/nf-edge profile $(DEMO)/digits-executorch --device rpi-zero-2w
	$(BIN)/nf-edge profile $(DEMO)/digits-onnx --device rpi-zero-2w
	$(BIN)/nf-edge check $(DEMO)/digits-executorch --data digits:test
	$(BIN)/nf-edge check $(DEMO)/digits-onnx --data digits:test
	@echo "Reports: $(DEMO)/digits-executorch/report.html and $(DEMO)/digits-onnx/report.html"

# A thread for each of pytest's workers: more would only wait for each other.
test: export OMP_NUM_THREADS = 1
test: $(VENV)/installed $(VENV)/emulation
	$(BIN)/ruff check nf_edge tests benchmarks docs
	$(BIN)/ruff format --check nf_edge tests benchmarks docs
	$(BIN)/clang-format --dry-run --Werror $$(find nf_edge -name '*.cpp' -o -name '*.h')
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist worksteal

# The pages of docs/reference: from --help and the models.
docs: $(VENV)/installed
	$(BIN)/python docs/generate.py

# PyTorch first: asked for by itself, pip can take a CPU build where one is at hand.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

# What the tests of emulated cores need besides QEMU and a cross-compiler; without either they are skipped.
$(VENV)/emulation: $(VENV)/installed
	-$(BIN)/nf-edge doctor --fix emulation > $@

clean:
	rm -rf $(VENV) build
