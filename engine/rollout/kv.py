"""Preallocated key/value cache whose rows come and go; all that knows transformers' cache classes."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


@dataclass(slots=True)
class Extent:
    """How much of the cache is in use; one object shared by all layers.

    Kept apart from the cache so that cache and layers form no reference cycle, which would hold device memory
    until the garbage collector runs.
    """

    max_rows: int
    columns: int
    rows: int = 0
    """Active rows: the first ones."""
    column: int = 0
    """Columns written: where the next key and value go."""
    transposed_keys: bool = False
    """Keep the values of a key's component together in memory, not the components of a key."""


class SlotLayer(CacheLayerMixin):
    """Keys and values of one layer, [max rows, heads, columns, head size], allocated at first use."""

    def __init__(self, extent: Extent) -> None:
        super().__init__()
        self.extent = extent
        self.keys: Tensor
        self.values: Tensor
        self.views: list[tuple[Tensor, Tensor]] = []
        self.viewed_rows = -1

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate for the heads, head size, dtype and device of the given states."""
        self.keys = self._zeros_like(key_states, self.extent.transposed_keys)
        self.values = self._zeros_like(value_states)
        self.is_initialized = True

    def _zeros_like(self, states: Tensor, transposed: bool = False) -> Tensor:
        # Zeros, because masked columns are multiplied by 0 and must not hold NaN.
        _, heads, _, size = states.shape
        last = (size, self.extent.columns) if transposed else (self.extent.columns, size)
        zeros = torch.zeros((self.extent.max_rows, heads, *last), dtype=states.dtype, device=states.device)
        return zeros.transpose(2, 3) if transposed else zeros

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write the next columns of all active rows; return all their keys and values up to there."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows, begin = self.extent.rows, self.extent.column
        end = begin + key_states.shape[-2]
        keys, values = self.keys[:rows, :, :end], self.values[:rows, :, :end]
        keys[:, :, begin:] = key_states
        values[:, :, begin:] = value_states
        return keys, values

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """`update` by one column, with less overhead: [rows, heads, head size] for keys and values.

        Returns keys and values up to there, [rows × heads, columns, head size].
        """
        rows, column = self.extent.rows, self.extent.column
        if rows != self.viewed_rows:
            self.views = [(x[:rows], x[:rows].flatten(0, 1)) for x in (self.keys, self.values)]
            self.viewed_rows = rows
        (own_keys, all_keys), (own_values, all_values) = self.views
        own_keys.select(2, column).copy_(keys)
        own_values.select(2, column).copy_(values)
        return all_keys.narrow(1, 0, column + 1), all_values.narrow(1, 0, column + 1)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of what `update` will return."""
        return self.extent.column + query_length, 0

    def get_seq_length(self) -> int:
        """Columns written."""
        return self.extent.column

    def get_max_length(self) -> int:
        """Columns there are."""
        return self.extent.columns


class SlotCache(Cache):
    """Cache of up to `max_rows` sequences that all end at the same column.

    Sequence r occupies the columns from its own start up to `extent.column`; what lies before its start is
    masked by the caller. New sequences can be put in at any time, right-aligned, so that slots freed by
    finished ones are used again. The caller advances `extent.column` after each forward pass.
    """

    def __init__(self, max_rows: int, columns: int, *, rows: int = 0, transposed_keys: bool = False) -> None:
        extent = Extent(max_rows, columns, rows, transposed_keys=transposed_keys)
        super().__init__(layer_class_to_replicate=lambda: SlotLayer(extent))
        self.extent = extent

    def append_rows(self, source: "SlotCache", source_rows: Tensor) -> None:
        """Activate a new row per entry of `source_rows` [k], a right-aligned copy of that row of `source`."""
        while len(self.layers) < len(source.layers):
            self.layers.append(SlotLayer(self.extent))
        rows, end = self.extent.rows, self.extent.column
        width = min(source.extent.column, end)  # what is left of that is padding
        self.extent.rows += len(source_rows)
        for mine, other in zip(self.layers, source.layers, strict=True):
            if not other.is_initialized:  # a layer that shares another's keys and values
                continue
            if not mine.is_initialized:
                mine.lazy_initialization(other.keys, other.values)
            for to, given in ((mine.keys, other.keys), (mine.values, other.values)):
                newest = given[source_rows, :, source.extent.column - width : source.extent.column]
                to[rows : self.extent.rows, :, end - width : end] = newest

    def move_rows(self, source: Tensor, target: Tensor) -> None:
        """Copy the rows `source` [k] over the rows `target` [k]."""
        for tensor in self._tensors():
            tensor[target, :, : self.extent.column] = tensor[source, :, : self.extent.column]

    def drop_columns(self, count: int) -> None:
        """Forget the first `count` columns of all rows."""
        rows, end = self.extent.rows, self.extent.column
        for tensor in self._tensors():
            tensor[:rows, :, : end - count] = tensor[:rows, :, count:end].clone()
        self.extent.column -= count

    def _tensors(self) -> list[Tensor]:
        return [t for layer in self.layers if layer.is_initialized for t in (layer.keys, layer.values)]
