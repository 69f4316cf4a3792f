"""Seconds that the policy's weights take from an FSDP2 trainer to its rollout engine, beside a memory copy.

`push` is the engine taking whole weights that are there; `sync` gathers them from the ranks as well. `copy`
is one copy of a rank's share of the weights in memory. `peak` is how much more host memory a rank holds
during a sync than before it. Each engine runs in processes of its own; the fastest of several times counts.

    python benchmarks/weight_sync.py [--quick]

The last line is one JSON object.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# This file's folder holds an `engine.py` that would hide the package.
ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

MIB = 1024**2
SIZES = {
    "full": {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 11, "vocab_size": 16_000},
    "quick": {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4, "vocab_size": 4_000},
}
BUCKET_MIB = {"full": 64, "quick": 2}
CASES = (("hf", 1, 1), ("hf", 2, 1), ("vllm", 1, 1), ("vllm", 2, 1), ("vllm", 2, 2))
"""Engine, ranks, tensor-parallel ranks of the engine."""


@dataclass
class Row:
    """Seconds, MiB; `share_mib` is what one rank's engine holds of the weights."""

    engine: str
    ranks: int
    tensor_parallel: int
    parameters: int
    share_mib: float
    copy_s: float
    push_s: float
    sync_s: float
    peak_mib: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small model: shows that it runs")
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        measure(*args.worker)
    else:
        compare("quick" if args.quick else "full")


def compare(size: str) -> None:
    """All cases one after another, a table and the JSON line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "model", size)
        cases = [case for case in CASES if case[0] == "hf" or find_spec(case[0])]
        rows = [run(folder, BUCKET_MIB[size], *case) for case in cases]
    print(f"{rows[0].parameters / 1e6:.1f} M parameters in float32, one CPU thread per rank\n")
    print("engine  ranks  tp   share MiB   copy s   push s    ×    sync s    ×    peak MiB")
    for row in rows:
        times = f"{row.copy_s:>7.3f}"
        for seconds in (row.push_s, row.sync_s):
            times += f"  {seconds:>7.3f}  {seconds / row.copy_s:>4.1f}"
        case = f"{row.engine:<6}  {row.ranks:>5}  {row.tensor_parallel:>2}"
        print(f"{case}  {row.share_mib:>10.0f}  {times}  {row.peak_mib:>9.0f}")
    print(json.dumps([asdict(row) for row in rows]))


def write_model(folder: Path, size: str) -> None:
    from transformers import AutoModelForCausalLM, LlamaConfig

    from engine.toy.tokenizer import build_tokenizer

    heads = {"num_attention_heads": 12 if size == "full" else 4, "num_key_value_heads": 4}
    ids = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0}
    config = LlamaConfig(
        **SIZES[size], **heads, **ids, max_position_embeddings=256, tie_word_embeddings=False
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)


def run(folder: Path, bucket_mib: int, engine: str, ranks: int, tensor_parallel: int) -> Row:
    """One case, on ranks of its own."""
    result = folder / "row.json"
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    case = [engine, str(tensor_parallel), str(bucket_mib)]
    worker = [__file__, "--worker", *case, str(folder / "model"), str(result)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, *torchrun, *worker], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    return Row(**json.loads(result.read_text()))


def measure(engine_type: str, tensor_parallel: str, bucket_mib: str, model: str, result: str) -> None:
    """On every rank of a case; rank 0 writes the row."""
    import torch

    from engine.config.sections import RunConfig
    from engine.leaving import leave
    from engine.models.actor import Actor
    from engine.models.loading import load_source
    from engine.models.weight_names import engine_weights
    from engine.rollout.start import start_engine
    from engine.strategy import get_strategy

    rollout = {
        "engine_type": engine_type,
        "engine_tp_size": int(tensor_parallel),
        "engine_enforce_eager": True,
    }
    rollout |= {
        "engine_kv_cache_gb": 0.05,
        "prompt_max_len": 16,
        "max_len": 32,
        "sync_bucket_mb": int(bucket_mib),
    }
    config = RunConfig.model_validate({"model": {"pretrain": model, "bf16": False}, "rollout": rollout})
    strategy = get_strategy(config)
    source = load_source(config, strategy, print)
    strategy.setup_inference_engine(start_engine(config, source, strategy))
    actor = Actor(source.load(torch.float32), temperature=1.0, chunk_size=64)
    strategy.prepare_model(actor, trainable=True)

    on_disk = strategy.inference_engine.names_on_disk
    named = engine_weights(actor, strategy.named_full_parameters(actor), on_disk=on_disk)
    weights = [(name, p.clone()) for name, p in named]
    parameters = sum(p.numel() for _, p in weights)
    share = [p.flatten()[: p.numel() // int(tensor_parallel)] for _, p in weights]
    share_mib = sum(p.nbytes for p in share) / MIB
    copy_s = fastest(partial(copy_all, share, [torch.empty_like(p) for p in share]), strategy)
    push_s = fastest(lambda taken=weights: strategy.inference_engine.update_weights(iter(taken)), strategy)
    del weights, share
    sync_s = fastest(lambda: strategy.update_engine_weights(actor), strategy)
    held = memory_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    strategy.update_engine_weights(actor)
    peak = strategy.all_reduce_number(memory_mib("VmHWM") - held, "max")
    case = engine_type, strategy.world_size, int(tensor_parallel)
    row = Row(*case, parameters, share_mib, copy_s, push_s, sync_s, peak)
    if strategy.rank == 0:
        Path(result).write_text(json.dumps(asdict(row)))
    leave(0)


def copy_all(sources: list[Any], targets: list[Any]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)


def fastest(action: Callable[[], object], strategy: Any) -> float:
    """Seconds until the last rank is done, of the fastest of 7 times."""
    seconds = []
    for _ in range(7):
        strategy.barrier()
        began = time.perf_counter()
        action()
        strategy.barrier()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def memory_mib(field: str) -> float:
    """`VmRSS` or `VmHWM` of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    main()
