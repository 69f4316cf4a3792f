"""Ready-made settings: one YAML file per preset, and their loader."""
