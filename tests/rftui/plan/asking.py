"""Requests for plans as the tests make them."""

from engine.config.load import layer_from_flags
from presets.loader import load
from rftui.plan.ask import Subject, ask
from rftui.plan.request import Request

SEVEN = "Qwen/Qwen2.5-7B-Instruct"
HALF = "Qwen/Qwen2.5-0.5B-Instruct"


def request(model: str, gpus: str, *flags: str, nodes: int = 1, host_gb: int | None = None) -> Request:
    """The preset gsm8k for a bundled model on described GPUs, with flags as on a command line."""
    layers = [load("gsm8k").layer, layer_from_flags(["--pretrain", model, *flags])]
    host = None if host_gb is None else host_gb * 10**9
    return ask(layers, Subject(gpus, nodes, host))[0]
