# How all zip functions are built. sam build runs make from the root of the checkout (WorkingDirectory
# in template.yaml); the Makefile of a function names its folder and the target.
PYTHON ?= python3
# For Architecture=arm64: export ARCHITECTURE=arm64 before sam build, which does not pass it on to make.
ARCHITECTURE ?= x86_64
MACHINE := $(if $(filter arm64,$(ARCHITECTURE)),aarch64,x86_64)

define build-zip
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --only-binary=:all: --implementation cp \
		--platform manylinux2014_$(MACHINE) --platform manylinux_2_28_$(MACHINE) --python-version 3.13 \
		--constraint constraints.txt --target "$(ARTIFACTS_DIR)" --requirement functions/requirements.txt
	cp $(1)/app.py "$(ARTIFACTS_DIR)/"
	cp -r src/castline "$(ARTIFACTS_DIR)/"
	$(PYTHON) scripts/metadata.py "$(ARTIFACTS_DIR)"
	find "$(ARTIFACTS_DIR)" -name __pycache__ -prune -exec rm -rf {} +
	rm -rf "$(ARTIFACTS_DIR)/castline/local" "$(ARTIFACTS_DIR)/castline/cli" "$(ARTIFACTS_DIR)/bin"
	test "$$(du -sm "$(ARTIFACTS_DIR)" | cut -f1)" -le 165
endef
