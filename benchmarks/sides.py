"""One side of `benchmarks/engine.py` or `benchmarks/gpu.py`: a trainer that steps whenever it is told to.

    python benchmarks/sides.py SIDE FOLDER

FOLDER holds `model/`, `prompts.jsonl` and `task.json`, a `Task`. Every line on standard input is one step;
every line on standard output is what it took. A side is `<strategy>-<engine>` of ours (`fsdp2-vllm`,
`deepspeed-hf`), or `trl` with `transformers.generate`, or `trl-vllm` with its colocated vLLM.
"""

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.config.sections import RunConfig

LEARNING_RATE = 1e-6
ADAM_BETAS = (0.9, 0.95)
GIB = 1024**3


@dataclass(frozen=True)
class Task:
    """The same work for every side: every response has exactly `response_tokens` tokens.

    `micro` is responses per training forward; `kv_cache_gb` what vLLM may keep on a CPU, `mem_util` its share
    of a GPU.
    """

    prompts: int
    group: int
    prompt_tokens: int
    response_tokens: int
    micro: int
    bf16: bool = False
    lora_rank: int = 0
    gradient_checkpointing: bool = False
    kv_cache_gb: float = 0.5
    mem_util: float = 0.35
    threads: int = 1

    @property
    def responses(self) -> int:
        return self.prompts * self.group

    @property
    def max_len(self) -> int:
        return self.prompt_tokens + self.response_tokens

    def write(self, folder: Path) -> None:
        (folder / "task.json").write_text(json.dumps(asdict(self)))


def work(side: str, folder: Path) -> None:
    """Train, one step for every line on standard input."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever else is printed goes to the log
    task = Task(**json.loads((folder / "task.json").read_text()))
    import torch

    torch.set_num_threads(task.threads)
    torch.manual_seed(0)
    stepper = Stepper(answers)
    if side.startswith("trl"):
        work_trl(folder, task, stepper, use_vllm=side == "trl-vllm")
    else:
        work_ours(folder, task, stepper, *side.split("-"))


class Stepper:
    """Waits for the word to step, times the step and within it the rollout, answers."""

    def __init__(self, answers: IO[str]) -> None:
        self.answers = answers
        self.rollout = 0.0
        self.started = 0.0

    def wait(self) -> None:
        """Return when the next step is to begin."""
        import torch

        if not sys.stdin.readline():
            sys.exit()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        self.rollout = 0.0
        self.started = time.perf_counter()

    def done(self, **measured: Any) -> None:
        """The step has ended; `measured` is what else is known of it."""
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
            measured["peak_gib"] = torch.cuda.max_memory_reserved() / GIB
        step = time.perf_counter() - self.started
        answer = {"rollout": self.rollout, "update": step - self.rollout, "step": step, **measured}
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


def our_config(folder: Path, task: Task, strategy_name: str, engine_name: str) -> "RunConfig":
    """The configuration of a side of ours."""
    from engine.config.sections import RunConfig

    return RunConfig.model_validate(
        {
            "model": {
                "pretrain": str(folder / "model"),
                "bf16": task.bf16,
                **({"lora_rank": task.lora_rank, "lora_alpha": 2 * task.lora_rank} if task.lora_rank else {}),
            },
            "data": {"prompt_data": str(folder / "prompts.jsonl"), "input_key": "prompt"},
            "batch": {
                "rollout_batch_size": task.prompts,
                "n_samples_per_prompt": task.group,
                "train_batch_size": task.responses,
                "micro_train_batch_size": task.micro,
                "micro_rollout_batch_size": task.responses,
            },
            "rollout": {
                "engine_type": engine_name,
                "engine_kv_cache_gb": None if _has_gpu() or engine_name == "hf" else task.kv_cache_gb,
                "engine_mem_util": task.mem_util,
                "max_len": task.max_len,
                "prompt_max_len": task.prompt_tokens,
                "generate_max_len": task.response_tokens,
                "generate_min_len": task.response_tokens,
                "temperature": 1.0,
                "top_p": 1.0,
            },
            "parallel": {"fsdp": strategy_name == "fsdp2"},
            "memory": {"gradient_checkpointing": task.gradient_checkpointing},
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


def work_ours(folder: Path, task: Task, stepper: Stepper, strategy_name: str, engine_name: str) -> None:
    """`SPMDPPOTrainer` with all it measures and writes in a run."""
    from engine.build import build_trainer
    from engine.strategy import get_strategy
    from engine.telemetry import Telemetry

    config = our_config(folder, task, strategy_name, engine_name)
    strategy = get_strategy(config)
    run_dir = folder / f"run-{strategy_name}-{engine_name}"
    telemetry = Telemetry(run_dir, strategy.rank, strategy.world_size, strategy.device)
    strategy.watch = telemetry.collectives
    trainer = build_trainer(config, run_dir, strategy, telemetry)
    stepper.time_rollout(trainer.maker, "generate")
    latest: dict[str, float] = {}
    record = trainer.recorder.metrics

    def keep(step: int, values: dict[str, float]) -> None:
        latest.update(values)
        record(step, values)

    iterate = trainer.train_iteration

    def step() -> None:
        stepper.wait()
        iterate()
        wanted = ("time/", "throughput/", "sync/")
        stepper.done(metrics={k: v for k, v in latest.items() if k.startswith(wanted)})

    trainer.recorder.metrics = keep  # type: ignore[method-assign]
    trainer.train_iteration = step  # type: ignore[method-assign]
    trainer.fit()


def work_trl(folder: Path, task: Task, stepper: Stepper, *, use_vllm: bool) -> None:
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

    lora = None
    if task.lora_rank:
        from peft import LoraConfig

        lora = LoraConfig(r=task.lora_rank, lora_alpha=2 * task.lora_rank, target_modules="all-linear")
    colocated = {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": task.mem_util,
        "vllm_max_model_length": task.max_len,
        "vllm_enable_sleep_mode": _has_gpu(),
        "generation_kwargs": {"min_tokens": task.response_tokens},
    }
    plain = {"generation_kwargs": {"min_new_tokens": task.response_tokens}}
    # As ours: float32 weights and optimizer, with bfloat16 compute where asked for.
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
        peft_config=lora,
        args=GRPOConfig(
            output_dir=str(folder / "trl"),
            use_cpu=not _has_gpu(),
            bf16=task.bf16,
            gradient_checkpointing=task.gradient_checkpointing,
            per_device_train_batch_size=task.micro,
            gradient_accumulation_steps=task.responses // task.micro,
            num_generations=task.group,
            max_completion_length=task.response_tokens,
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
            **(colocated if use_vllm else plain),
        ),
    )
    stepper.time_rollout(trainer, "_generate")
    trainer.train()


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def reward(responses: list[str]) -> list[float]:
    """Something cheap that differs between responses."""
    return [float(len(set(response))) for response in responses]


def our_reward(responses: list[str], labels: list[Any]) -> list[float]:
    return reward(responses)


if __name__ == "__main__":
    # engine.py beside this file would hide the package of that name.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    work(sys.argv[1], Path(sys.argv[2]))
