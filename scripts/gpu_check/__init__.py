"""The parts of `scripts/gpu-check`. Python 3.9 or newer, its standard library and nothing else."""
