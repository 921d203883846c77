# Each target sets up what it needs in .venv, and does so only once.
PYTHON_OF_VENV := .venv/bin/python
export OMP_NUM_THREADS ?= 2

.PHONY: help setup demo demo-distill test test-all lint clean

help:
	@echo "make setup         make .venv with everything this repository needs"
	@echo "make demo          replay a drive into the student's node; DRIVE=<KITTI raw drive or bag> for one of yours"
	@echo "make demo-distill  the whole loop in small: teacher, targets, training, node; DRIVE= and TEACHER=<bundle> of yours"
	@echo "make test          the fast tests;  make test-all: all of them"
	@echo "make lint          ruff and mypy"
	@echo "make clean         remove .venv, demo_output and caches"

setup:
	@scripts/setup_env.sh

demo: setup
	$(PYTHON_OF_VENV) -m mono3d_kd_ros.demo $(if $(DRIVE),--drive "$(DRIVE)")

demo-distill: setup
	$(PYTHON_OF_VENV) -m mono3d_kd_ros.demo.distill --drive "$(DRIVE)" $(if $(TEACHER),--teacher "$(TEACHER)")

test: setup
	$(PYTHON_OF_VENV) -m pytest -m "not slow"

test-all: setup
	$(PYTHON_OF_VENV) -m pytest

lint: setup
	$(PYTHON_OF_VENV) -m ruff check .
	$(PYTHON_OF_VENV) -m mypy

clean:
	rm -rf .venv demo_output build install log .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
