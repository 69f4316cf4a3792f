"""Our trainer and TRL's GRPOTrainer side by side: seconds per step, split into rollout and update.

Both train the same tiny model on the same prompts on one CPU thread each, in processes of their own that step
in turn, so a busy machine slows both alike. Every response has exactly the same length. Prompts have 128
tokens unless told otherwise, about a GSM8K question in its chat template: our trainer forwards a prompt once
for its whole group, so longer prompts widen the gap.

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine_sides import GROUP, PROMPTS, RESPONSE_TOKENS, RESPONSES

# This file's name would hide the package of the same name, so its folder gives way to the checkout.
sys.path[0] = str(Path(__file__).resolve().parents[1])

MODEL = {
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
}
SIDE_PROGRAM = Path(__file__).with_name("engine_sides.py")
SIDES = ("hf", "trl")
PARTS = ("rollout", "update", "step")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few steps: shows that it runs, not how fast")
    parser.add_argument("--steps", type=int, default=30, help="measured steps of each side")
    parser.add_argument("--prompt-tokens", type=int, default=128, help="length of every prompt")
    args = parser.parse_args()
    compare(4 if args.quick else args.steps, 1 if args.quick else 3, args.prompt_tokens)


def compare(steps: int, warmup: int, prompt_tokens: int) -> None:
    """Step both sides in turn, print a table and the JSON line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n_parameters = write_inputs(folder, prompt_tokens)
        print(
            f"{n_parameters / 1e6:.2f} M parameters, {PROMPTS} prompts of {prompt_tokens} tokens × {GROUP} "
            f"responses of {RESPONSE_TOKENS} tokens, float32, one CPU thread each, "
            f"{steps} steps after {warmup} to warm up"
        )
        with worker("hf", folder) as ours, worker("trl", folder) as theirs:
            pair = [("hf", ours), ("trl", theirs)]
            seconds: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
            for step in range(-warmup, steps):
                for side, one_step in pair if step % 2 else reversed(pair):
                    measured = one_step()
                    if step >= 0:
                        seconds[side].append(measured)
    report(n_parameters, prompt_tokens, seconds)


def report(n_parameters: int, prompt_tokens: int, seconds: dict[str, list[dict[str, float]]]) -> None:
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
        "prompt_tokens": prompt_tokens,
    }
    print(json.dumps(result))


@contextmanager
def worker(side: str, folder: Path) -> Iterator[Callable[[], dict[str, float]]]:
    """Start a side in its own process on one thread; yields a function that has it do one step."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    with (folder / f"{side}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(SIDE_PROGRAM), side, str(folder)],
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


def write_inputs(folder: Path, prompt_tokens: int) -> int:
    """A model of random weights with its tokenizer, and prompts; returns the number of parameters.

    A prompt is a sorting task after as many solved ones as make it `prompt_tokens` long.
    """
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
    tasks = rows("sort", "train")
    solved = "".join(f"{row['input']}{row['label']} " for row in tasks[: prompt_tokens // 12 + 1])
    lines = [
        json.dumps({"prompt": (solved + row["input"])[-prompt_tokens:], "label": row["label"]})
        for row in tasks[:1024]
    ]
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    return int(model.num_parameters())


if __name__ == "__main__":
    main()
