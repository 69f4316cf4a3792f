"""What it costs that ranks say how they are: phases, memory marks, heartbeats and timed collectives.

Two real ranks over gloo train a tiny model; telemetry is switched on and off from step to step, so a busy
machine slows both alike. Two figures: the seconds spent inside telemetry, by a clock around every call, as a
share of the step; and how much longer a step takes with it than without. Both are of medians.

    python benchmarks/telemetry.py [--quick]

The last line is one JSON object. Target: `share_of_step` < 0.02.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# engine.py in this folder would hide the package of that name, so the folder gives way to the checkout.
sys.path[0] = str(Path(__file__).resolve().parents[1])

RANKS = 2
WARM_UP = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few steps: shows that it works, not how much")
    parser.add_argument("--steps", type=int, default=200, help="measured steps, half of them with telemetry")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    steps = 16 if args.quick else args.steps
    if args.folder:
        work(args.folder, steps)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder)
        start_ranks(folder, steps)
        report([json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(RANKS)])


def start_ranks(folder: Path, steps: int) -> None:
    """Run this program on two ranks."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={RANKS}"]
    subprocess.run(
        [*torchrun, __file__, "--folder", str(folder), "--steps", str(steps)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def report(ranks: list[dict[str, Any]]) -> None:
    """A table by rank; then the means over ranks as one line of JSON."""
    names = ("share_of_step", "slowdown", "step_s", "telemetry_ms_per_step", "events_per_step")
    print(f"{'':24}" + "".join(f"{f'rank {rank}':>12}" for rank in range(len(ranks))))
    for name in names:
        print(f"{name:24}" + "".join(f"{measured[name]:12.4g}" for measured in ranks))
    means = {name: round(statistics.fmean(measured[name] for measured in ranks), 5) for name in names}
    print(json.dumps({**means, "steps": ranks[0]["steps"], "ranks": len(ranks)}))


# --- on each rank -------------------------------------------------------------------------------------


def work(folder: Path, steps: int) -> None:
    """Train with telemetry on in half of the steps; writes what this rank measured."""
    from engine.build import build_trainer
    from engine.leaving import leave
    from engine.strategy import get_strategy

    config = configuration(folder, WARM_UP + steps)
    strategy = get_strategy(config)
    telemetry = switched_telemetry()(folder / "run", strategy.rank, strategy.world_size, strategy.device)
    strategy.watch = telemetry.collectives
    trainer = build_trainer(config, folder / "run", strategy, telemetry)
    trainer._start()
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for step in range(-WARM_UP, steps):
        # On, off, off, on: what grows or shrinks over time is shared alike.
        telemetry.on = step % 4 in (0, 3)
        strategy.watch = telemetry.collectives if telemetry.on else None
        strategy.barrier()
        begin = time.perf_counter()
        trainer.train_iteration()
        took = time.perf_counter() - begin
        if step >= 0:
            seconds[telemetry.on].append(took)
            telemetry.close_step()
        else:
            telemetry.forget_step()
    on, off = statistics.median(seconds[True]), statistics.median(seconds[False])
    inside = statistics.median(telemetry.spent_per_step)
    measured = {
        "share_of_step": inside / on,
        "slowdown": on / off - 1,
        "step_s": off,
        "telemetry_ms_per_step": inside * 1000,
        "events_per_step": telemetry.events / len(seconds[True]),
        "steps": steps,
    }
    (folder / f"rank-{strategy.rank}.json").write_text(json.dumps(measured))
    strategy.barrier()
    leave(0)


def switched_telemetry() -> Any:
    """A `Telemetry` that can be switched off, and counts the seconds spent in it while it is on."""
    from engine.telemetry import Telemetry

    class Switched(Telemetry):
        def __init__(self, *args: Any) -> None:
            self.on = True
            self.spent_per_step: list[float] = []
            self.events = 0
            self._clock = Clock()
            super().__init__(*args)
            watch = self.collectives
            watch.begin = self._clock.around(watch.begin)  # type: ignore[method-assign]
            watch.end = self._clock.around(watch.end)  # type: ignore[method-assign]
            self.heartbeat = self._clock.around(self.heartbeat)  # type: ignore[method-assign]
            self._emit = self._clock.around(super().emit)

        def emit(self, kind: Any, **fields: Any) -> None:
            if self.on:
                self.events += 1
                self._emit(kind, **fields)

        @contextmanager
        def phase(self, name: str) -> Iterator[None]:
            if self.on:
                phase = super().phase(name)
                self._clock.around(phase.__enter__)()
                yield
                self._clock.around(phase.__exit__)(None, None, None)
            else:
                begin = time.perf_counter()
                yield
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin

        def forget_step(self) -> None:
            self._clock.seconds, self.events = 0.0, 0

        def close_step(self) -> None:
            if self.on:
                self.spent_per_step.append(self._clock.seconds)
            self._clock.seconds = 0.0

    return Switched


class Clock:
    """Adds up the seconds inside some functions, those that call one another once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._inside = threading.local()

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, with its seconds counted."""

        def call(*args: Any, **kwargs: Any) -> Any:
            if getattr(self._inside, "now", False):
                return function(*args, **kwargs)
            self._inside.now, begin = True, time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - begin
                self._inside.now = False

        return call


def configuration(folder: Path, steps: int) -> Any:
    """A GRPO run of short responses: the shorter its steps, the more telemetry counts."""
    from engine.config.sections import RunConfig

    return RunConfig.model_validate(
        {
            "model": {"pretrain": str(folder / "model"), "bf16": False},
            "data": {"prompt_data": str(folder / "prompts.jsonl")},
            "batch": {
                "rollout_batch_size": 8,
                "n_samples_per_prompt": 4,
                "train_batch_size": 32,
                "micro_train_batch_size": 8,
                "micro_rollout_batch_size": 16,
            },
            "rollout": {"engine_type": "hf", "max_len": 64, "prompt_max_len": 32},
            "reward": {"reward_rule": "exact"},
            "optim": {"max_steps": steps, "num_episodes": steps},
            "checkpoint": {"save_interval": 0},
        }
    )


def write_inputs(folder: Path) -> None:
    """A model of random weights with its tokenizer, and sorting tasks."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from engine.toy.tasks import rows
    from engine.toy.tokenizer import build_tokenizer

    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True}
    ids = {
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = Qwen2Config(vocab_size=len(tokenizer), max_position_embeddings=256, **sizes, **heads, **ids)
    Qwen2ForCausalLM(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    lines = [
        json.dumps({"input": row["input"], "label": row["label"]}) for row in rows("sort", "train")[:256]
    ]
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
