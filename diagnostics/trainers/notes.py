"""What the free text of a published case says about its job."""

import math
import re
from dataclasses import dataclass
from typing import Literal

from diagnostics.trainers.profile import Checkpointing

UNITS = {"gb": 10**9, "gib": 2**30, "tb": 10**12, "tib": 2**40}

MEAN_TOKENS = {"gsm8k": 334}
"""Mean tokens of prompt and response together, of data sets with a known one (§3)."""

ABLATION = (
    "not packed",
    "packed",
    "compile",
    "chunked",
    "activation checkpointing",
    "step in backward",
    "activation offload",
    "8-bit",
)
"""A note that says "cumulative: + X" has everything up to X of this ladder (torchtune's published order)."""


@dataclass(frozen=True, slots=True)
class Note:
    """The text, lowered; every property is something that was said, or None or False."""

    text: str

    def says(self, pattern: str) -> bool:
        return re.search(pattern, self.text) is not None

    def number(self, *patterns: str) -> float | None:
        """The first group of the first pattern that is found, as a number."""
        for pattern in patterns:
            if found := re.search(pattern, self.text):
                return _number(found[1])
        return None

    def count(self, *patterns: str) -> int | None:
        number = self.number(*patterns)
        return None if number is None else max(1, int(number))

    @property
    def grade(self) -> str | None:
        found = re.search(r"evidence=([\w-]+)", self.text)
        return found[1] if found else None

    @property
    def unit(self) -> int | None:
        """Bytes of the unit that peaks are given in."""
        found = re.search(r"(?:peak|memory|max_\w+)[^;.]*?\bin (gi?b)\b", self.text)
        return UNITS[found[1]] if found else None

    @property
    def tokens(self) -> int | None:
        """Of one micro-batch of one rank, where a budget or a packed length is named."""
        return self.count(
            r"([\d.,]+k?) tokens (?:per|a|/) ?(?:gpu|rank|card|device)",
            r"(?:max_?token_?len\w*|token budget|tokens? per (?:gpu|micro[- ]?batch)\w*)[ =:]+([\d.,]+k?)\b",
            r"dynamic batch(?:ing)?[ =:(]+([\d.,]+k?) tokens",
        )

    @property
    def packed_length(self) -> int | None:
        """Tokens of a packed row."""
        return self.count(r"(?<!not )packed(?: to)? ([\d.,]+k?)\b", r"\b([\d.,]+k?) tokens packed")

    @property
    def mean_length(self) -> float | None:
        """Mean tokens of a sequence: as said, or of the data set that is named."""
        said = self.number(
            r"mean (?:total |sequence )?length(?: of)?[ =:]+([\d.,]+k?)", r"([\d.,]+k?) tokens on average"
        )
        known = (tokens for name, tokens in MEAN_TOKENS.items() if name in self.text)
        return said or next(known, None)

    @property
    def unpadded(self) -> bool:
        return self.says(
            r"padding[_-]free|remove[_-]padding|unpadded|(?<!not )\bpacked|sequence packing|packing"
        )

    @property
    def padded(self) -> bool:
        return self.says(r"(?<!un)\bpadded|not packed|no packing|without packing|unpacked")

    @property
    def rung(self) -> int:
        """How far up the ablation's ladder, -1 off it."""
        found = re.search(r"cumulative: ?(.*)", self.text)
        if not found:
            return -1
        steps = [i for i, step in enumerate(ABLATION) if step in found[1]]
        return steps[0] if steps else len(ABLATION)

    def climbed(self, step: str) -> bool:
        """Whether the ladder's `step` is in."""
        return self.rung >= ABLATION.index(step)

    @property
    def sp(self) -> int:
        """Cards that share the tokens of a sequence."""
        return (
            self.count(
                r"\b(?:u?sp|cp)[ =]?(\d+)\b",
                r"(?:context|sequence|ulysses|ring)(?:[- _](?:attention|parallel\w*|size))*[ =:]+"
                r"(?:sp)?(\d+)\b",
            )
            or 1
        )

    @property
    def tp(self) -> int | None:
        """Tensor parallelism of the trainer."""
        return self.count(
            r"(?:train(?:ing|er)?|dtensor|megatron|actor|policy)[ :,-]*(?:with |at |by )?tp[ =:]*(\d+)",
            r"\btp[ =]*(\d+) (?:train|in training|for the trainer|megatron)",
            r"(?:train(?:ing|er)?) tensor[- ]parallel\w*[ =:]+(\d+)",
            r"(?<!vllm )(?<!engine )(?<!rollout )(?<!generation )(?<!inference )(?<!sglang )\btp[ =]?(\d+)\b",
        )

    @property
    def pp(self) -> int:
        """Pipeline parallelism of the trainer, or cards that layers are split over."""
        return (
            self.count(r"\bpp ?=? ?(\d+)\b", r"pipeline[- ]parallel\w*[ =]+(\d+)", r"layers split over (\d+)")
            or 1
        )

    @property
    def ep(self) -> int:
        return self.count(r"\bep ?=? ?(\d+)\b", r"expert[- ]parallel\w*[ =]+(\d+)") or 1

    @property
    def trainers(self) -> int | None:
        """Cards that share the trained states, where others do something else."""
        return self.count(
            r"sharded over (\d+) (?:cards|gpus|ranks)",
            r"(\d+) (?:actor|train(?:ing|er)?|policy) (?:cards|gpus|ranks)",
            r"(?:actor|train(?:ing|er)?|policy) on (\d+) (?:cards|gpus|ranks)",
        )

    @property
    def engine_elsewhere(self) -> bool:
        return self.says(
            r"vllm[- ]server|server mode|(?:engine|vllm|sglang)s? on (?:one|another|a|\d+) (?:gpu|card)"
            r"|engines? on (?:its|their|an) own|separate (?:engine|vllm|card|gpu)"
            r"|other models on other|ranks split by role|disaggregat|non-?colocated|not colocated"
        )

    @property
    def sleeps(self) -> bool | None:
        if self.says(r"no sleep|without sleep|sleep (?:off|0|disabled)"):
            return False
        return True if self.says(r"\bsleep|free_cache_engine") else None

    @property
    def checkpointing(self) -> Checkpointing | None:
        if self.says(r"selective"):
            return "selective"
        if self.says(r"(?:no|without) (?:gradient |activation )?(?:checkpointing|ac)\b"):
            return "none"
        return (
            "full" if self.says(r"full (?:ac|activation checkpointing)|\+ activation checkpointing") else None
        )

    @property
    def head(self) -> Literal["whole", "chunked", "fused"] | None:
        if self.says(r"no liger|without liger|liger off"):
            return "whole"
        if self.says(r"liger|fused (?:linear )?(?:cross|ce|head|loss)|cut[- ]cross"):
            return "fused"
        chunked = self.says(r"chunked (?:ce|cross|loss|log|head|entropy|nll)") or self.climbed("chunked")
        if chunked:
            return "chunked"
        return "whole" if self.rung >= 0 else None

    @property
    def quantized(self) -> bool:
        return self.says(r"qlora|nf4|4[- ]?bit|int4|bnb")

    @property
    def pure_bf16(self) -> bool:
        """Nothing is kept in float32."""
        return self.says(r"pure bf16|bf16-true|adamw_bf16|bf16 (?:optimizer|adam|states)")

    @property
    def fp32_base(self) -> bool:
        return self.says(r"fp32 (?:base|weights|param|model)|(?:model|param)\w*[ =]+fp32")

    @property
    def eight_bit_adam(self) -> bool:
        return self.says(r"8[- ]?bit (?:paged )?adam|paged 8[- ]?bit") or self.climbed("8-bit")

    @property
    def compiled(self) -> bool:
        return self.says(r"(?<!no )\bcompiled?\b") or self.climbed("compile")

    @property
    def activations_on_host(self) -> bool:
        said = self.says(r"activation (?:cpu )?offload|offload(?:ed|ing)? activation")
        return said or self.climbed("activation offload")

    @property
    def roles_apart(self) -> bool:
        """Reference, critic and reward have cards of their own."""
        return self.says(r"other models on other|ranks split by role")

    @property
    def no_reference(self) -> bool:
        return self.says(
            r"no (?:kl\b|reference)|without (?:a )?(?:kl|reference)|beta[ =]0(?:\.0*)?\b|kl[ =]0\b"
        )

    @property
    def teacher_params(self) -> float | None:
        billions = self.number(r"([\d.]+)b[- ]?(?:class )?teacher")
        return billions * 1e9 if billions else None

    @property
    def host_capacity(self) -> float | None:
        """Bytes of a machine's host memory: the largest amount that a clause about it names."""
        said = [
            float(amount) * UNITS[unit]
            for clause in re.split(r"[;.] ", self.text)
            if re.search(r"\b(?:host|ram|cpu memory|system memory|node memory|gi?b nodes?)\b", clause)
            for amount, unit in re.findall(r"(\d+(?:\.\d+)?) ?([gt]i?b)\b", clause)
        ]
        return max(said, default=None)


def _number(text: str) -> float | None:
    """`8192`, `8,192`, `8k`: a power of two before the k is counted in 1024s."""
    digits = text.replace(",", "").rstrip(".")
    thousands = digits.endswith("k")
    try:
        number = float(digits.removesuffix("k"))
    except ValueError:
        return None
    if not thousands:
        return number
    return number * (1024 if number >= 1 and math.log2(number).is_integer() else 1000)
