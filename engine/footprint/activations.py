"""What decoder layers keep for the backward pass, and what one layer needs while it works.

Every figure is what the layer's operations keep, counted in elements per token: `n` bytes each in the dtype
that is computed in, 4 where an operation works in float32.
"""

from functools import lru_cache
from typing import NamedTuple

from engine.footprint import kernels
from engine.footprint.job import Job
from engine.footprint.kernels import Attention, Norms
from engine.footprint.shape import ModelShape
from engine.footprint.shards import adapted
from engine.footprint.terms import Term
from engine.footprint.workload import Batch, takes_layouts

COUNTED = "counted: engine/footprint/activations.py"
LAYOUT = "engine/models/attention_sdpa.py, attention_flash.py"
CHECKPOINTS = "engine/models/loading.py: recompute_activations"
MASK_ROWS = 8
"""Numbers by which rows of a bias on GPUs are filled up (torch's memory-efficient kernel)."""


class Layer(NamedTuple):
    """Bytes per token of one decoder layer."""

    kept: int
    """For the backward pass, but for what attention keeps that depends on the arrangement of tokens."""
    at_work: int
    """Gradients beside it at the worst moment of its backward pass."""
    forward: int
    """At the worst moment of a forward pass without gradient, in the MLP."""
    forward_norm: int
    """The same in the norm of queries and keys."""
    final_norm_kept: int
    final_norm_at_work: int


class Adapters(NamedTuple):
    """LoRA as the configuration has it; rank 0: none."""

    rank: int = 0
    targets: str = ""
    dropout: bool = False


@lru_cache(maxsize=1024)
def layer(shape: ModelShape, number: int, norms: Norms, adapters: Adapters) -> Layer:
    """A layer of a model, computing in numbers of so many bytes."""
    hidden = shape.hidden
    queries, keys = _widths(shape)
    inside = kernels.norm_inside(norms, number, trained=not adapters.rank)
    kept = 2 * hidden * (inside + number) + 2 * 4
    if shape.norms_per_layer > 2:
        kept += (shape.norms_per_layer - 2) * (hidden * inside + 4)
    if shape.qk_norm:
        kept += inside * (queries + keys) + 4 * (shape.heads + shape.kv_heads)
    if shape.experts is None:
        branches = 3 if shape.gated else 1
        kept += number * (branches + 1) * shape.mlp
        at_work = (branches - 1 or 1) * number * shape.mlp
        forward = number * (3 * shape.mlp + 4 * hidden)
    else:
        routed, width = shape.experts.per_token, shape.experts.width
        kept += routed * number * (4 * width + 2 * hidden) + 4 * number * shape.experts.shared_width
        kept += 4 * shape.experts.count + 8 * 4 * routed
        at_work = 3 * number * routed * hidden
        forward = number * 4 * (routed * hidden + hidden)
    kept += _adapter_bytes(shape, number, adapters)
    if norms == "one kernel":
        final_at_work = number * hidden
        in_norm = 0
    else:
        final_at_work = 5 * 4 * hidden
        in_norm = (12 + number) * queries + 3 * number * hidden if shape.qk_norm else 0
    return Layer(
        kept=kept,
        at_work=at_work + number * hidden,
        forward=forward,
        forward_norm=in_norm,
        final_norm_kept=hidden * inside + 4,
        final_norm_at_work=final_at_work + number * hidden,
    )


def _widths(shape: ModelShape) -> tuple[int, int]:
    """Of all queries of a token, and of all its keys (or values)."""
    return shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim


def _adapter_bytes(shape: ModelShape, number: int, adapters: Adapters) -> int:
    """What adapters of a layer keep: their inner values, and with dropout inputs and masks of their own."""
    if not adapters.rank:
        return 0
    linear = adapted(shape, adapters.targets)
    inputs = sum(count * module.weight[1] for count, module in linear) if adapters.dropout else 0
    inner = adapters.rank * sum(count for count, _ in linear)
    return -(-(number * inner + (number + 1) * inputs) // shape.layers)


# --- attention ---------------------------------------------------------------------------------------------


class Kept(NamedTuple):
    """Bytes of one layer's attention that depend on how tokens stand."""

    kept: int
    forward: int
    """At the worst moment of a pass without gradient."""
    mask: int
    """Once for all layers."""


@lru_cache(maxsize=4096)
def attended(shape: ModelShape, number: int, attention: Attention, batch: Batch, layouts: bool) -> Kept:
    """What attention of one layer keeps for a micro-batch."""
    queries, keys = _widths(shape)
    tokens, ranks = batch.all_tokens, batch.ranks
    # Between exchanges of sequence parallelism a rank has all tokens of its share of the heads.
    by_head = -(-queries // ranks)
    keys_here = -(-max(keys, shape.head_dim * ranks) // ranks) if ranks > 1 else keys
    lse = 4 * -(-shape.heads // ranks) * tokens
    plain = number * tokens * (2 * by_head + 2 * keys_here) + lse
    working = number * batch.tokens * (2 * queries + 2 * keys + 3 * shape.hidden)
    if attention == "flash":
        return _flash(shape, number, batch, by_head, keys_here, plain, working, lse, layouts)
    if batch.arrangement == "padded" and attention != "eager":
        return Kept(plain, working + plain, 0)
    if batch.arrangement != "padded" and layouts:
        return _rows(number, attention, batch, by_head, keys_here, working, lse)
    return _masked(shape, number, attention, batch)


def _flash(
    shape: ModelShape,
    number: int,
    batch: Batch,
    queries: int,
    keys: int,
    plain: int,
    working: int,
    lse: int,
    layouts: bool,
) -> Kept:
    if batch.arrangement != "shared":
        return Kept(plain, working + plain, 0)
    seen = batch.prompts * batch.prompt + batch.sequences * (batch.prompt + batch.response - 1)
    kept = number * (2 * queries * batch.all_tokens + 2 * keys * seen) + lse
    return Kept(kept, working + kept, 0)


def _rows(
    number: int, attention: Attention, batch: Batch, queries: int, keys: int, working: int, lse: int
) -> Kept:
    """`laid_out` of SDPA: queries and keys of prompts and of responses are gathered apart."""
    tokens = batch.all_tokens
    whole = number * 3 * queries * tokens + lse  # gathered, given out, put back in order
    if batch.arrangement == "packed":
        return Kept(whole + number * 2 * keys * tokens, working + whole, 0)
    length = batch.response - 1
    seen = batch.prompt + length
    of_responses = number * 2 * batch.sequences * seen * (queries if attention == "sdpa" else keys)
    of_prompts = number * 2 * batch.prompts * batch.prompt * keys
    mask = batch.sequences * length * seen
    row = -(-seen // MASK_ROWS) * MASK_ROWS if attention == "sdpa" else seen
    bias = number * batch.sequences * length * row
    kept = whole + of_prompts + of_responses + bias
    return Kept(kept, working + whole + of_prompts + of_responses, mask)


def _masked(shape: ModelShape, number: int, attention: Attention, batch: Batch) -> Kept:
    """As transformers calls it with a mask: keys are repeated; plain products keep all scores."""
    queries, _ = _widths(shape)
    tokens = batch.all_tokens
    rows, length = (
        (1, tokens) if batch.arrangement == "packed" else (batch.sequences, tokens // batch.sequences)
    )
    scores = rows * length * length
    kept = number * tokens * 4 * queries + 4 * shape.heads * tokens + number * scores
    if attention == "eager":
        kept += shape.heads * scores * (4 + 2 * number)
    return Kept(kept, kept, scores)


# --- terms -------------------------------------------------------------------------------------------------


class Activations:
    """The activations of one micro-batch."""

    def __init__(self, job: Job, batch: Batch) -> None:
        self.shape, self.batch, self.number = job.shape, batch, job.compute_bytes
        self.recomputed = job.config.memory.gradient_checkpointing
        model = job.config.model
        adapters = Adapters(model.lora_rank, model.target_modules, model.lora_dropout > 0)
        self.layer = layer(
            job.shape, self.number, kernels.norms(job), adapters if model.lora_rank else Adapters()
        )
        layouts = takes_layouts(job.shape)
        self.attention = attended(job.shape, self.number, kernels.attention(job), batch, layouts)
        self.tokens = batch.tokens

    @property
    def of_layer(self) -> int:
        """Bytes that one layer keeps, or has again when it is recomputed."""
        return self.layer.kept * self.tokens + self.attention.kept

    @property
    def inputs_of_layer(self) -> int:
        return self.number * self.shape.hidden * self.tokens

    def kept(self, layers: int) -> tuple[Term, ...]:
        """Of so many layers that wait for their backward pass."""
        if not layers:
            return ()
        if self.recomputed:
            words = f"{layers} layers × {self.number} B × {self.shape.hidden:,} × {self.tokens:,} tokens"
            return (Term("layer inputs", layers * self.inputs_of_layer, words, CHECKPOINTS),)
        return (Term("activations", layers * self.of_layer, f"{layers} layers × ({self._words})", COUNTED),)

    @property
    def _words(self) -> str:
        return f"{self.layer.kept:,} B × {self.tokens:,} tokens + attention {self.attention.kept:,} B"

    def at_work(self) -> tuple[Term, ...]:
        """One layer in its backward pass, beyond what is kept of it."""
        gradients = self.layer.at_work * self.tokens
        words = f"{self.layer.at_work:,} B × {self.tokens:,} tokens"
        terms = [Term("gradients in a layer", gradients, words, COUNTED)]
        if self.recomputed:
            terms.insert(0, Term("recomputed layer", self.of_layer, self._words, COUNTED))
        return tuple(terms)

    def once(self) -> tuple[Term, ...]:
        """What is kept besides layers: the final norm's input, angles of positions, masks."""
        rows = self.tokens if self.batch.arrangement != "padded" else -(-self.tokens // self.batch.sequences)
        angles = 2 * self.number * self.shape.head_dim * rows
        norm = self.layer.final_norm_kept * self.tokens
        words = f"norm {norm:,} B + angles {angles:,} B"
        terms = [Term("final norm, angles", norm + angles, words, COUNTED)]
        return (*terms, *self.mask())

    def mask(self) -> tuple[Term, ...]:
        if not (size := self.attention.mask):
            return ()
        return (Term("attention mask", size, f"1 B × {size:,} pairs", "engine/data/prompt_layout.py"),)

    def in_final_norm(self) -> tuple[Term, ...]:
        """Gradients in the final norm's backward pass, when all layers still wait."""
        each = self.layer.final_norm_at_work
        return (
            Term(
                "gradients in the final norm",
                each * self.tokens,
                f"{each:,} B × {self.tokens:,} tokens",
                COUNTED,
            ),
        )

    def forward(self) -> tuple[Term, ...]:
        """One layer in a pass that keeps nothing."""
        each = max(self.layer.forward, self.layer.forward_norm)
        if each * self.tokens > self.attention.forward:
            words = f"{each:,} B × {self.tokens:,} tokens"
            return (Term("layer at work", each * self.tokens, words, COUNTED), *self.mask())
        words = f"{self.attention.forward:,} B"
        return (Term("attention at work", self.attention.forward, words, COUNTED), *self.mask())
