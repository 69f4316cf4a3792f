"""Our trainer and TRL's GRPOTrainer side by side: seconds per step, split into rollout and update.

All train the same tiny model on the same prompts on one CPU thread each, in processes of their own that step
in turn, so a busy machine slows all alike. Every response has exactly the same length. Our trainer forwards a
prompt once for its whole group, so longer prompts widen the gap.

    python benchmarks/engine.py [--quick] [--prompt-tokens N]

The last line is one JSON object; `ratio.hf` and `ratio.vllm` are our samples per second, with that rollout
engine, over TRL's with `transformers.generate`; `ratio.trl_vllm` is TRL with its own colocated vLLM over the
same. A side whose library is missing, or that fails to run, is told about and left out.
"""

import argparse
import json
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from sides import Task
from workers import PARTS, Measured, in_turn, summarise

# This file's name would hide the package of the same name, so its folder gives way to the checkout.
sys.path[0] = str(Path(__file__).resolve().parents[1])

MODEL = {
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}
SIDES = {"hf": "fsdp2-hf", "vllm": "fsdp2-vllm", "trl": "trl", "trl_vllm": "trl-vllm"}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few steps: shows that it runs, not how fast")
    parser.add_argument("--steps", type=int, default=10, help="measured steps of each side")
    parser.add_argument("--prompt-tokens", type=int, default=512, help="length of every prompt")
    parser.add_argument("--prompts", type=int, default=8, help="prompts per step, 8 responses each")
    args = parser.parse_args()
    prompts = 2 if args.quick else args.prompts
    task = Task(prompts, 8, args.prompt_tokens, response_tokens=64, micro=16)
    compare(task, 2 if args.quick else args.steps, 1 if args.quick else 2)


def compare(task: Task, steps: int, warmup: int) -> None:
    """Step all sides in turn, print a table and the JSON line."""
    sides = [side for name, side in SIDES.items() if find_spec("vllm") or "vllm" not in name]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n_parameters = write_inputs(folder, task.prompt_tokens)
        task.write(folder)
        print(
            f"{n_parameters / 1e6:.2f} M parameters, {task.prompts} prompts of {task.prompt_tokens} tokens × "
            f"{task.group} responses of {task.response_tokens} tokens, float32, one CPU thread each, "
            f"{steps} steps after {warmup} to warm up"
        )
        environment = ONE_THREAD | {"CUDA_VISIBLE_DEVICES": "", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
        environment |= {"VLLM_CPU_KVCACHE_SPACE": "1"}
        measured, failed = in_turn(sides, folder, steps=steps, warmup=warmup, environment=environment)
    names = {side: name for name, side in SIDES.items()}
    for side, why in failed.items():
        print(f"\n{names[side]} did not run:\n{why}")
    report(n_parameters, task, {names[side]: steps for side, steps in measured.items()})


def report(n_parameters: int, task: Task, measured: dict[str, list[Measured]]) -> None:
    """A table of medians and minima; then all of it as one line of JSON."""
    summary = summarise(measured)
    print(f"\n{'seconds':10}" + "".join(f"{part + ' median':>16}{'min':>9}" for part in PARTS))
    for side, parts in summary.items():
        print(f"{side:10}" + "".join(f"{p['median']:16.3f}{p['min']:9.3f}" for p in parts.values()))
    over: dict[str, dict[str, float]] = {}
    for side in [side for side in summary if side != "trl" and "trl" in summary]:
        trl, other = summary["trl"], summary[side]
        over[side] = {part: round(trl[part]["median"] / other[part]["median"], 3) for part in PARTS}
        print(f"trl / {side:4}" + "".join(f"{over[side][part]:16.2f}{'':9}" for part in PARTS))
    result = {
        "ratio": {side: parts["step"] for side, parts in over.items()},
        "ratio_rollout": {side: parts["rollout"] for side, parts in over.items()},
        "ratio_update": {side: parts["update"] for side, parts in over.items()},
        "samples_per_second": {s: round(task.responses / p["step"]["median"], 2) for s, p in summary.items()},
        "seconds": summary,
        "steps": min(map(len, measured.values())),
        "parameters": n_parameters,
        "prompt_tokens": task.prompt_tokens,
    }
    print()
    print(json.dumps(result))


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
    lines = []
    for row in tasks[:1024]:
        prompt = (solved + row["input"])[-prompt_tokens:]
        lines.append(json.dumps({"prompt": prompt, "label": row["label"]}))
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    return int(model.num_parameters())


if __name__ == "__main__":
    main()
