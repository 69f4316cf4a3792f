"""What this engine needs, before it runs: memory of every phase on every rank, FLOPs and time.

It describes what `engine` allocates, so a change of an allocation there is a change of a term here. Imports
neither torch nor transformers.
"""
