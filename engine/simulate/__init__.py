"""The real training code, run for one rank of many without memory or network, and its live bytes counted.

Usage. For one's own code, on real or fake tensors:

    with MemoryTracker() as tracker:
        with tracker.phase("update"):
            ...
        tracker.mark("gradients", [p.grad for p in model.parameters()])
    tracker.peaks("cpu")["update"]  # Peak: bytes, resident, categories, makers (of what nobody marked)
"""
