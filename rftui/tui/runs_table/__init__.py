"""The table of runs: what it reads, which rows it shows, how runs are compared."""
