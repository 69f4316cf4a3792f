"""One side of `benchmarks/engine.py`: a trainer that does one step whenever it is told to.

    python benchmarks/engine_sides.py hf|trl FOLDER

FOLDER holds `model/` and `prompts.jsonl`. Every line on standard input is one step; every line on standard
output is what it took, in seconds.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import IO, Any

PROMPTS, GROUP, RESPONSE_TOKENS = 2, 8, 64
RESPONSES = PROMPTS * GROUP
LEARNING_RATE = 1e-6
ADAM_BETAS = (0.9, 0.95)


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
                "engine_type": "hf",
                "max_len": 1024,
                "prompt_max_len": 512,
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


if __name__ == "__main__":
    # engine.py beside this file would hide the package of that name.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    work(sys.argv[1], Path(sys.argv[2]))
