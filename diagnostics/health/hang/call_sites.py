"""What a thread is about, from the files and functions of its stack."""

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

Kind = Literal["collective", "reward", "data", "engine", "storage", "device", "other"]


class Frame(msgspec.Struct, frozen=True):
    """A Python frame."""

    file: str
    line: int
    function: str

    @property
    def is_library(self) -> bool:
        return bool(_LIBRARY.search(self.file))

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.function}"


class CallSite(msgspec.Struct, frozen=True):
    """What is being done, and the frame that tells it: the innermost one of the program itself."""

    kind: Kind
    frame: Frame | None


_LIBRARY = re.compile(r"/site-packages/|/dist-packages/|/lib/python3[.\d]*/|^<")
_COLLECTIVE = re.compile(
    r"/torch/distributed/(?!elastic/|checkpoint/|run\.py|launch)|/deepspeed/comm/|/engine/strategy/group_check\.py"
)
_WRAPPER = re.compile(r"/engine/strategy/(?:group_check|collectives)\.py$")
_DEVICE = re.compile(r"/torch/cuda/(?:__init__|streams)\.py")
_INNER = 3
"""Frames from the innermost on that may belong to a collective: decorators stand around the call itself."""
_REWARD_WORDS = "rewards?|verif(?:y|ier)|scor(?:e|er|es|ing)|grad(?:er|ing)|judge"
_TASKS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("reward", re.compile(rf"/engine/rewards/|/(?:[^/]*_)?(?:{_REWARD_WORDS})(?:_[^/]*)?\.py$")),
    (
        "storage",
        re.compile(r"/engine/checkpoint/|/torch/serialization|/distributed/checkpoint|/safetensors/"),
    ),
    ("data", re.compile(r"/engine/data/|/torch/utils/data/|/datasets/|/pyarrow/|/PIL/|/tokenizers/")),
    ("engine", re.compile(r"/engine/rollout/|/vllm/|/sglang/|/ray/")),
)


def classify(frames: Sequence[Frame]) -> CallSite:
    """The call site of a stack, innermost frame first.

    A collective is what stands in it right now; else the innermost frame of a task decides: a reward function
    that the rollout engine calls is a reward.
    """
    own = next((frame for frame in frames if not frame.is_library), None)
    if any(_COLLECTIVE.search(frame.file) for frame in frames[:_INNER]):
        own = next((f for f in frames if not f.is_library and not _WRAPPER.search(f.file)), own)
        return CallSite("collective", own)
    for frame in frames:
        for kind, pattern in _TASKS:
            if pattern.search(frame.file):
                return CallSite(kind, own or frame)
    if frames and _DEVICE.search(frames[0].file):
        return CallSite("device", own)
    return CallSite("other", own)
