"""The real training code, run for one rank of many without memory or network, and its live bytes counted.

A configuration, a model's config.json and a number of ranks, in a process of its own:

    simulate(config, model_config, world_size=64).phase("update")  # engine.simulate.run
    python -m engine.simulate --config FILE --world 64 [--model-config JSON|FOLDER|NAME] [--json]

The same training part for real, on the ranks that torchrun started: `engine.simulate.real.measure_real`.

The device is one of torch's that is not there (`accelerator`); `like` decides whether kernels and layouts are
those of CUDA or of a CPU. Workspaces inside kernels, CUDA's context, NCCL and fragmentation are not seen.

For one's own code, on real or fake tensors:

    with MemoryTracker() as tracker:
        with tracker.phase("update"):
            ...
        tracker.mark("gradients", [p.grad for p in model.parameters()])
    tracker.peaks("cpu")["update"]  # Peak: bytes, resident, categories, makers (of what nobody marked)
"""
