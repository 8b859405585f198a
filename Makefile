.PHONY: crds
crds:  ## regenerate the CRDs from the models
	.venv/bin/python -m mintaka_core.resources.crds crds charts/mintaka/files/crds
