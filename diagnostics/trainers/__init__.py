"""How other frameworks account for memory: profiles as data, one estimate, and published cases to hold it to.

A configuration of another trainer is a statement about *its* allocations, so nothing here describes this
engine; `engine.footprint` does.
"""
