"""The responses being decoded: a batch whose rows come and go."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from engine.findings import EXIT_RUN_FAILED, Finding, FindingsError
from engine.rollout.base import Completion, SamplingParams
from engine.rollout.kv import SlotCache
from engine.rollout.prefill import Waiting

NEVER = 2**62


@dataclass(slots=True)
class Row:
    """Host side of one row: whose response it is, and the columns where its prompt and response begin."""

    prompt: int
    sample: int
    start: int
    first: int


class DecodeBatch:
    """Tokens, log-probs and cache of the responses being decoded.

    Everything is aligned by column: all rows have their newest token, whose keys are not yet computed, at
    `column`. Active rows are the first ones; when some end, the last active rows move into their places.
    """

    def __init__(
        self, cache: SlotCache, params: SamplingParams, end_tokens: Tensor, check_every: int
    ) -> None:
        """`end_tokens`: bool [vocabulary]. Ends are looked for every `check_every` tokens."""
        device = end_tokens.device
        max_rows, columns = cache.extent.max_rows, cache.extent.columns
        self.cache = cache
        self.params, self.end_tokens, self.check_every = params, end_tokens, check_every
        self.tokens = torch.zeros(max_rows, columns, dtype=torch.long, device=device)
        self.logprobs = torch.zeros(max_rows, columns, device=device)
        self.starts = torch.zeros(max_rows, dtype=torch.long, device=device)
        self.firsts = torch.zeros(max_rows, dtype=torch.long, device=device)
        self.columns = torch.arange(columns, device=device)
        self.rows: list[Row] = []
        self.checked = -1  # ends were looked for up to this column

    @property
    def column(self) -> int:
        """Where the newest tokens are."""
        return self.cache.extent.column

    @property
    def free(self) -> int:
        """Rows that could be added."""
        return self.cache.extent.max_rows - len(self.rows)

    def append(self, waiting: Sequence[Waiting]) -> Tensor:
        """Begin these responses; returns the logits [new rows, vocabulary] of their first tokens."""
        extent = self.cache.extent
        if not self.rows:
            extent.column = max(w.length for w in waiting)
        logits = []
        for source, group in groupby(waiting, key=lambda w: w.source):
            source_rows = torch.tensor([w.source_row for w in group], device=source.logits.device)
            self.cache.append_rows(source.cache, source_rows)
            logits.append(source.logits[source_rows])
        new = slice(len(self.rows), extent.rows)
        self.rows += [Row(w.prompt, w.sample, extent.column - w.length, extent.column) for w in waiting]
        self.starts[new] = torch.tensor([row.start for row in self.rows[new]], device=self.starts.device)
        self.firsts[new] = extent.column
        self.checked = min(self.checked, extent.column - 1)
        self._rows_changed()
        return torch.cat(logits)

    def record(self, tokens: Tensor, logprobs: Tensor) -> None:
        """Set the newest tokens of the last `len(tokens)` active rows."""
        rows = slice(len(self.rows) - len(tokens), len(self.rows))
        self.tokens[rows, self.column] = tokens
        self.logprobs[rows, self.column] = logprobs

    def advance(self) -> None:
        """Go on to the next column, after a forward pass over the newest tokens."""
        self.cache.extent.column += 1

    def make_room(self) -> None:
        """See to it that there is a next column."""
        if self.column + 1 < len(self.columns):
            return
        count, end = min(row.start for row in self.rows), len(self.columns)
        self.cache.drop_columns(count)
        for tensor in (self.tokens, self.logprobs):
            tensor[:, : end - count] = tensor[:, count:].clone()
        self.starts -= count
        self.firsts -= count
        self.checked -= count
        for row in self.rows:
            row.start -= count
            row.first -= count
        self._rows_changed()

    def inputs(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """For the next forward pass: tokens [rows], positions [rows], mask [rows, column + 1] or None."""
        active, column = len(self.rows), self.column
        starts = self.starts[:active]
        mask = self.columns[: column + 1] >= starts[:, None] if self.padded else None
        return self.tokens[:active, column], column - starts, mask

    def forbidden(self) -> Tensor | None:
        """Tokens that must not come at the present column, broadcastable to [rows, vocabulary]."""
        minimum = self.params.min_tokens
        if self.column - self.youngest >= minimum:
            return None
        if self.column - self.oldest < minimum:
            return self.end_tokens
        return (self.column - self.firsts[: len(self.rows), None] < minimum) & self.end_tokens

    def retire(self) -> list[tuple[Row, Completion]]:
        """Take finished responses out of the batch."""
        column, active = self.column, len(self.rows)
        limit = self.oldest + self.params.max_tokens - 1
        if column < min(limit, max(self.oldest + self.params.min_tokens, self.checked + self.check_every)):
            return []
        since = self.checked + 1
        window = self.columns[since : column + 1]
        ends = self.end_tokens[self.tokens[:active, since : column + 1]]
        ends &= window >= self.firsts[:active, None]
        self.checked = column
        if column < limit and not bool(ends.any()):
            return []
        end_columns = window.expand_as(ends).masked_fill(~ends, NEVER).amin(-1).tolist()
        full = column - self.params.max_tokens + 1
        finished = [i for i, row in enumerate(self.rows) if end_columns[i] != NEVER or row.first == full]
        completions = [*self._completions(finished, end_columns)]
        self._drop(finished)
        return completions

    def _completions(self, finished: list[int], end_columns: list[int]) -> Iterator[tuple[Row, Completion]]:
        tokens, logprobs = self.tokens[finished].tolist(), self.logprobs[finished].tolist()
        for k, i in enumerate(finished):
            row, truncated = self.rows[i], end_columns[i] == NEVER
            response = slice(row.first, (self.column if truncated else end_columns[i]) + 1)
            if not math.isfinite(sum(logprobs[k][response])):
                raise FindingsError([not_finite(row.prompt)], EXIT_RUN_FAILED)
            yield row, Completion(tokens[k][response], logprobs[k][response], truncated)

    def _drop(self, finished: list[int]) -> None:
        kept = len(self.rows) - len(finished)
        gone = set(finished)
        holes = [i for i in finished if i < kept]
        moved = [i for i in range(kept, len(self.rows)) if i not in gone]
        if moved:
            for hole, last in zip(holes, moved, strict=True):
                self.rows[hole] = self.rows[last]
            source, target = torch.tensor([moved, holes], device=self.starts.device)
            for tensor in (self.tokens, self.logprobs, self.starts, self.firsts):
                tensor[target] = tensor[source]
            self.cache.move_rows(source, target)
        del self.rows[kept:]
        self.cache.extent.rows = kept
        self._rows_changed()

    def _rows_changed(self) -> None:
        firsts = [row.first for row in self.rows]
        self.oldest, self.youngest = min(firsts, default=0), max(firsts, default=0)
        self.padded = any(row.start for row in self.rows)


def not_finite(prompt: int) -> Finding:
    """The finding for a response whose log-probabilities are NaN or infinite."""
    return Finding(
        "rollout.not-finite",
        "error",
        f"the policy gave log-probabilities that are not finite for prompt {prompt} of the rollout: "
        "its weights have most likely diverged",
    )
