"""Of Prefect's blocks there is one: `mintaka.blocks.system.Secret`."""
