"""A GPU's figures: seconds per phase, tokens per second, MFU, peak memory; ours beside TRL on the same work.

    python benchmarks/gpu.py [--quick] [--shapes 0.5B,7B] [--sides fsdp2-vllm,fsdp2-hf,trl]

Runs on one GPU with torch 2.11 or later; sides whose libraries are missing, or that fail, are told about and
left out. Models have the shapes of Qwen2.5 0.5B and 7B and random weights; every response has exactly the
same length. 0.5B trains all weights, 7B trains LoRA adapters of rank 32 (its optimizer states do not fit
beside an engine on one GPU). The sides run one after another, each alone on the GPU. After each shape come
the memory that the planner predicts for each phase without its margin, and what was measured. Without a GPU a
tiny shape shows that the program runs. The last line is one JSON object.
"""

import argparse
import json
import statistics
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gpu_model import write_model, write_prompts
from sides import GIB, Task, our_config
from workers import SideEnded, worker

# engine.py beside this file would hide the package of that name.
sys.path[0] = str(Path(__file__).resolve().parents[1])

TASKS = {
    "tiny": Task(4, 4, prompt_tokens=64, response_tokens=16, micro=8),
    "0.5B": Task(32, 8, 512, 512, micro=16, bf16=True, gradient_checkpointing=True, mem_util=0.4, threads=8),
    "7B": Task(
        16,
        8,
        512,
        512,
        micro=4,
        bf16=True,
        lora_rank=32,
        gradient_checkpointing=True,
        mem_util=0.4,
        threads=8,
    ),
}
SIDES = ("fsdp2-vllm", "fsdp2-hf", "deepspeed-vllm", "deepspeed-hf", "trl", "trl-vllm")
NEEDS = {"deepspeed": "deepspeed", "trl": "trl", "vllm": "vllm"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one measured step of each side")
    parser.add_argument(
        "--steps", type=int, default=4, help="measured steps of each side, after 2 to warm up"
    )
    parser.add_argument("--shapes", default="0.5B,7B", help="which models, comma separated")
    parser.add_argument("--sides", default=",".join(SIDES), help="which sides, comma separated")
    args = parser.parse_args()
    device = describe_device()
    shapes = args.shapes.split(",") if device["cuda"] else ["tiny"]
    steps, warmup = (1, 1) if args.quick else (args.steps, 2)
    print(json.dumps(device))
    results = {}
    for shape in shapes:
        with tempfile.TemporaryDirectory() as name:
            results[shape] = measure(shape, args.sides.split(","), Path(name), steps, warmup)
    print(json.dumps({"device": device, "shapes": results}))


def describe_device() -> dict[str, Any]:
    """Device and versions, for the record."""
    from importlib.metadata import version

    import torch

    cuda = torch.cuda.is_available()
    libraries = [name for name in ("vllm", "deepspeed", "trl", "peft", "transformers") if find_spec(name)]
    versions = {name: _version(version, name) for name in libraries}
    name = torch.cuda.get_device_name() if cuda else "cpu"
    return {"cuda": cuda, "name": name, "torch": str(torch.__version__), **versions}


def _version(version: Any, name: str) -> str:
    try:
        return str(version(name))
    except Exception:  # a distribution of another name
        return "installed"


def measure(shape: str, sides: list[str], folder: Path, steps: int, warmup: int) -> dict[str, Any]:
    """All sides on one shape, one after another; prints a table and returns its figures."""
    task = TASKS[shape]
    parameters = write_model(folder / "model", shape)
    write_prompts(folder / "prompts.jsonl", shape, task.prompt_tokens, 8 * task.prompts)
    task.write(folder)
    print(f"\n{shape}: {parameters / 1e9:.2f} B parameters, {task}")
    print(
        f"{'side':16}{'rollout s':>11}{'update s':>11}{'step s':>9}{'tokens/s':>10}{'MFU':>7}{'peak GiB':>10}"
    )
    figures: dict[str, Any] = {}
    for side in sides:
        if missing := [need for part, need in NEEDS.items() if part in side and not find_spec(need)]:
            print(f"{side:16}not run: {missing[0]} is not installed")
            continue
        try:
            with worker(side, folder, {}) as one_step:
                measured = [one_step() for _ in range(warmup + steps)][warmup:]
        except SideEnded as ended:
            print(f"{side:16}did not run:\n{ended}")
            continue
        figures[side] = summary(measured, task)
        print(row(side, figures[side]))
    memory = {side: memory_by_phase(side, folder, task) for side in figures if not side.startswith("trl")}
    print_memory(memory)
    return {"parameters": parameters, "sides": figures, "ratio": ratios(figures), "memory": memory}


def memory_by_phase(side: str, folder: Path, task: Task) -> dict[str, tuple[float, float]]:
    """GiB that the planner predicts without margin, and that the rank held at most, in each phase."""
    from diagnostics.hardware import detect
    from diagnostics.places import detected_place
    from engine.footprint.catalog import find_model
    from engine.footprint.job import Job
    from engine.footprint.predict import predict
    from rftui.runs.compared import needed, predicted_phases
    from rftui.runs.rundir import RunDir
    from rftui.runs.view import RunView

    place, _ = detected_place(detect(), 1)
    job = Job(our_config(folder, task, *side.split("-")), find_model(str(folder / "model")), place)
    held = RunView(RunDir(folder / f"run-{side}")).load().state.phase_memory
    return {
        phase: (round(needed(predicted) / GIB, 3), round(held[phase] / GIB, 3))
        for phase, predicted in predicted_phases(predict(job)).items()
        if phase in held
    }


def print_memory(memory: dict[str, dict[str, tuple[float, float]]]) -> None:
    """Predicted against measured, and the median of how far off."""
    print(f"\n{'side':16}{'phase':12}{'predicted GiB':>14}{'measured GiB':>14}{'error':>8}")
    errors = []
    for side, phases in memory.items():
        for phase, (predicted, measured) in phases.items():
            errors.append(abs(predicted / measured - 1))
            print(f"{side:16}{phase:12}{predicted:14.2f}{measured:14.2f}{predicted / measured - 1:8.1%}")
    if errors:
        print(f"median error {statistics.median(errors):.1%}")


def summary(measured: list[dict[str, Any]], task: Task) -> dict[str, Any]:
    """Medians over the measured steps, and of ours every phase."""
    result: dict[str, Any] = {
        part: statistics.median(one[part] for one in measured) for part in ("rollout", "update", "step")
    }
    result["tokens_per_s"] = task.responses * task.response_tokens / result["step"]
    result["peak_gib"] = max(one.get("peak_gib", 0.0) for one in measured)
    for key in measured[0].get("metrics", {}):
        result[key] = statistics.median(one["metrics"][key] for one in measured)
    return {key: round(value, 4) for key, value in result.items()}


def row(side: str, figures: dict[str, Any]) -> str:
    mfu = figures.get("throughput/mfu")
    return (
        f"{side:16}{figures['rollout']:11.2f}{figures['update']:11.2f}{figures['step']:9.2f}"
        f"{figures['tokens_per_s']:10.0f}{f'{mfu:.1%}' if mfu else '?':>7}{figures['peak_gib']:10.1f}"
    )


def ratios(figures: dict[str, Any]) -> dict[str, float]:
    """Samples per second of every side over TRL's with `transformers.generate`."""
    if "trl" not in figures:
        return {}
    return {side: round(figures["trl"]["step"] / values["step"], 3) for side, values in figures.items()}


if __name__ == "__main__":
    main()
