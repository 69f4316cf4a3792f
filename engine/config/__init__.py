"""The configuration of a run: parameters, layers, flags and rules. Imports neither torch nor transformers."""
