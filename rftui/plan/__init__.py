"""Sizes a run: searches the memory and speed options for a plan that fits and is fast, and explains it."""
