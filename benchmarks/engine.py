"""Our trainer and TRL's GRPOTrainer side by side: seconds per step, split into rollout and update.

Both train the same tiny model on the same prompts on one CPU thread each, in processes of their own that step
in turn, so a busy machine slows both alike. Every response has exactly the same length.

    python benchmarks/engine.py [--quick]

The last line is one JSON object; `ratio.hf` is our samples per second over TRL's, from the median steps.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

# This file's name would hide the package of the same name, so its folder gives way to the checkout.
sys.path[0] = str(Path(__file__).resolve().parents[1])

PROMPTS, GROUP, RESPONSE_TOKENS = 2, 8, 64
RESPONSES = PROMPTS * GROUP
LEARNING_RATE = 1e-6
ADAM_BETAS = (0.9, 0.95)
# The quickstart's decoder with more layers: as many as make 2.4 M parameters.
MODEL = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
SIDES = ("hf", "trl")
PARTS = ("rollout", "update", "step")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few steps: shows that it runs, not how fast")
    parser.add_argument("--steps", type=int, default=30, help="measured steps of each side")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        work(args.side, args.folder)
    else:
        compare(steps=4 if args.quick else args.steps, warmup=1 if args.quick else 3)


# --- the side that compares ----------------------------------------------------------------------------


def compare(steps: int, warmup: int) -> None:
    """Step both sides in turn, print a table and the JSON line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n_parameters = write_inputs(folder)
        print(
            f"{n_parameters / 1e6:.2f} M parameters, {PROMPTS} prompts × {GROUP} responses × "
            f"{RESPONSE_TOKENS} tokens, float32, one CPU thread each, {steps} steps after {warmup} to warm up"
        )
        with worker("hf", folder) as ours, worker("trl", folder) as theirs:
            pair = [("hf", ours), ("trl", theirs)]
            seconds: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
            for step in range(-warmup, steps):
                for side, one_step in pair if step % 2 else reversed(pair):
                    measured = one_step()
                    if step >= 0:
                        seconds[side].append(measured)
    report(n_parameters, seconds)


def report(n_parameters: int, seconds: dict[str, list[dict[str, float]]]) -> None:
    """A table of medians and minima; then all of it as one line of JSON."""
    summary = {
        side: {
            part: {"median": round(statistics.median(values), 4), "min": round(min(values), 4)}
            for part in PARTS
            for values in [[measured[part] for measured in steps]]
        }
        for side, steps in seconds.items()
    }
    print(f"\n{'seconds':8}" + "".join(f"{part + ' median':>16}{'min':>9}" for part in PARTS))
    for side, parts in summary.items():
        print(f"{side:8}" + "".join(f"{p['median']:16.3f}{p['min']:9.3f}" for p in parts.values()))
    over = {
        how: {part: round(summary["trl"][part][how] / summary["hf"][part][how], 3) for part in PARTS}
        for how in ("median", "min")
    }
    print("trl / hf" + "".join(f"{over['median'][p]:16.2f}{over['min'][p]:9.2f}" for p in PARTS), end="\n\n")
    result = {
        "ratio": {"hf": over["median"]["step"]},
        "ratio_of_minima": {"hf": over["min"]["step"]},
        "ratio_rollout": {"hf": over["median"]["rollout"]},
        "ratio_update": {"hf": over["median"]["update"]},
        "samples_per_second": {s: round(RESPONSES / p["step"]["median"], 2) for s, p in summary.items()},
        "seconds": summary,
        "steps": len(seconds["hf"]),
        "parameters": n_parameters,
    }
    print(json.dumps(result))


@contextmanager
def worker(side: str, folder: Path) -> Iterator[Callable[[], dict[str, float]]]:
    """Start a side in its own process on one thread; yields a function that has it do one step."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    with (folder / f"{side}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, __file__, "--side", side, "--folder", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | one_thread | quiet,
        )
        try:
            yield lambda: ask(process, folder / f"{side}.log")
        finally:
            process.kill()
            process.wait()


def ask(process: subprocess.Popen[str], log: Path) -> dict[str, float]:
    """One step of a worker: what it measured."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("step\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        sys.exit(f"a worker ended:\n{log.read_text()[-4000:]}")
    measured: dict[str, float] = json.loads(answer)
    return measured


# --- the sides that work -------------------------------------------------------------------------------


def work(side: str, folder: Path) -> None:
    """Train, one step for every line on standard input."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever else is printed goes to the log
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    {"hf": work_ours, "trl": work_trl}[side](folder, Stepper(answers))


class Stepper:
    """Waits for the word to step, times the step and within it the rollout, answers."""

    def __init__(self, answers: IO[str]) -> None:
        self.answers = answers
        self.rollout = 0.0
        self.started = 0.0

    def wait(self) -> None:
        """Return when the next step is to begin."""
        if not sys.stdin.readline():
            sys.exit()
        self.rollout = 0.0
        self.started = time.perf_counter()

    def done(self) -> None:
        """The step has ended."""
        step = time.perf_counter() - self.started
        answer = {"rollout": self.rollout, "update": step - self.rollout, "step": step}
        print(json.dumps(answer), file=self.answers, flush=True)

    def time_rollout(self, owner: Any, method: str) -> None:
        """Count the seconds spent in this method of `owner` as rollout."""
        original = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                self.rollout += time.perf_counter() - begin

        setattr(owner, method, timed)


def work_ours(folder: Path, stepper: Stepper) -> None:
    """`SPMDPPOTrainer` with the hf engine and all it measures and writes in a run."""
    from engine.build import build_trainer
    from engine.config.sections import RunConfig
    from engine.strategy import get_strategy
    from engine.telemetry import Telemetry

    config = RunConfig.model_validate(
        {
            "model": {"pretrain": str(folder / "model"), "bf16": False},
            "data": {"prompt_data": str(folder / "prompts.jsonl"), "input_key": "prompt"},
            "batch": {
                "rollout_batch_size": PROMPTS,
                "n_samples_per_prompt": GROUP,
                "train_batch_size": RESPONSES,
                "micro_train_batch_size": RESPONSES,
                "micro_rollout_batch_size": RESPONSES,
            },
            "rollout": {
                "max_len": 96,
                "prompt_max_len": 32,
                "generate_max_len": RESPONSE_TOKENS,
                "generate_min_len": RESPONSE_TOKENS,
                "temperature": 1.0,
                "top_p": 1.0,
            },
            "algorithm": {"init_kl_coef": 0.0},
            "reward": {"reward_fn": f"{Path(__file__).resolve()}:our_reward"},
            "optim": {
                "actor_learning_rate": LEARNING_RATE,
                "lr_scheduler": "constant",
                "lr_warmup_ratio": 0.0,
                "adam_betas": ADAM_BETAS,
                "num_episodes": 10,
            },
            "checkpoint": {"save_interval": 0},
        }
    )
    strategy = get_strategy(config)
    telemetry = Telemetry(folder / "run", strategy.rank, strategy.world_size, strategy.device)
    trainer = build_trainer(config, folder / "run", strategy, telemetry)
    stepper.time_rollout(trainer.maker, "generate")

    iterate = trainer.train_iteration

    def step() -> None:
        stepper.wait()
        iterate()
        stepper.done()

    trainer.train_iteration = step  # type: ignore[method-assign]
    trainer.fit()


def work_trl(folder: Path, stepper: Stepper) -> None:
    """TRL's `GRPOTrainer`, its loss set to the same GRPO."""
    import torch
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    class OneStepAtATime(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            stepper.wait()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            stepper.done()

    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(folder / "model"),
        reward_funcs=lambda completions, **_: reward(completions),
        train_dataset=load_dataset(
            "json",
            data_files=str(folder / "prompts.jsonl"),
            split="train",
            cache_dir=str(folder / "datasets"),
        ),
        callbacks=[OneStepAtATime()],
        args=GRPOConfig(
            output_dir=str(folder / "trl"),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=RESPONSES,
            num_generations=GROUP,
            max_completion_length=RESPONSE_TOKENS,
            generation_kwargs={"min_new_tokens": RESPONSE_TOKENS},
            temperature=1.0,
            top_p=1.0,
            beta=0.0,
            num_iterations=1,
            loss_type="grpo",
            learning_rate=LEARNING_RATE,
            adam_beta1=ADAM_BETAS[0],
            adam_beta2=ADAM_BETAS[1],
            lr_scheduler_type="constant",
            max_grad_norm=1.0,
            max_steps=100_000,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
    )
    stepper.time_rollout(trainer, "_generate")
    trainer.train()


def reward(responses: list[str]) -> list[float]:
    """Something cheap that differs between responses."""
    return [float(len(set(response))) for response in responses]


def our_reward(responses: list[str], labels: list[Any]) -> list[float]:
    return reward(responses)


def write_inputs(folder: Path) -> int:
    """A model of random weights with its tokenizer, and prompts; returns the number of parameters."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from engine.toy.tasks import rows
    from engine.toy.tokenizer import build_tokenizer

    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            **MODEL,
            vocab_size=len(tokenizer),
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    lines = [
        json.dumps({"prompt": row["input"], "label": row["label"]}) for row in rows("sort", "train")[:1024]
    ]
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    return int(model.num_parameters())


if __name__ == "__main__":
    main()
