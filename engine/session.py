"""Training from Python: what `python -m engine.train` does once it has a configuration."""

import os
from collections.abc import Callable
from pathlib import Path

from engine.build import build_trainer
from engine.config.sections import RunConfig
from engine.health import flight_recorder
from engine.strategy import get_strategy
from engine.telemetry import Telemetry
from engine.trainer import SPMDPPOTrainer


def fit(
    config: RunConfig,
    run_dir: Path | str,
    *,
    reward_fn: Callable[..., list[float]] | None = None,
    trainer_class: type[SPMDPPOTrainer] = SPMDPPOTrainer,
    close: bool = True,
) -> SPMDPPOTrainer:
    """Train on this rank, together with the others of torchrun, or alone; returns the trainer once done.

    `reward_fn(responses, labels)` replaces the configured rewards; `trainer_class` may override
    `compute_advantages`. `close` leaves the process group at the end. Rank 0's `run_dir` counts. Raises
    FindingsError for what is wrong with the inputs.
    """
    os.environ.update(flight_recorder.switch_on(os.environ))
    strategy = get_strategy(config)
    run_dir = Path(strategy.broadcast_object(str(run_dir)))
    os.environ.update(flight_recorder.dumps_to(run_dir, os.environ))
    flight_recorder.make_folder(run_dir)
    telemetry = Telemetry(run_dir, strategy.rank, strategy.world_size, strategy.device)
    strategy.watch = telemetry.collectives
    try:
        strategy.group_checks.check()
        trainer = build_trainer(
            config, run_dir, strategy, telemetry, reward_fn=reward_fn, trainer_class=trainer_class
        )
        strategy.group_checks.limit_waiting()  # in groups of the rollout engine's own
        strategy.print(f"{trainer.fit()} at step {trainer.state.step}")
    finally:
        telemetry.close()
    if close:
        strategy.close()
    return trainer
