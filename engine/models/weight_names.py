"""The policy's weights under the names, and in the pieces, that its checkpoint on disk has them in.

transformers renames some modules when it loads a checkpoint and fuses the experts of a layer; rollout engines
and other readers of checkpoints know the published form.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from engine.models.actor import Actor
from engine.models.lora import is_adapter, merged, plain_name

Named = tuple[str, Tensor]


def engine_weights(model: nn.Module, named: Iterable[Named], *, on_disk: bool) -> Iterator[Named]:
    """Whole parameters of an actor (or of the model inside) as a rollout engine wants them.

    Adapters are merged into the weights that they belong to. `on_disk`: as a checkpoint has them, not as the
    model in memory.
    """
    if isinstance(model, Actor):
        named = ((name.removeprefix("model."), tensor) for name, tensor in named)
        model = model.model
    plain = merged(model, named)
    return checkpoint_weights(model, plain) if on_disk else plain


def checkpoint_weights(model: nn.Module, named: Iterable[Named]) -> Iterator[Named]:
    """Parameters of a transformers model, one by one, as its checkpoint has them; others stay as they are."""
    conversion = _conversion_of(model) if isinstance(model, PreTrainedModel) else _Conversion()
    waiting: dict[frozenset[str], dict[str, Tensor]] = {}
    for name, tensor in named:
        together = conversion.converted.get(name)
        if together is None:
            yield conversion.renamed.get(name, name), tensor
            continue
        parts = waiting.setdefault(together, {})
        parts[name] = tensor
        if len(parts) == len(together):
            yield from revert_weight_conversion(model, waiting.pop(together)).items()


@dataclass
class _Conversion:
    """What sets the parameters in memory apart from those on disk."""

    renamed: dict[str, str] = field(default_factory=dict)
    """The names on disk of parameters that only have another name there."""
    converted: dict[str, frozenset[str]] = field(default_factory=dict)
    """Parameters that are cut up or joined on disk, with all that are converted together with them."""


_CONVERSIONS: WeakKeyDictionary[nn.Module, _Conversion] = WeakKeyDictionary()


def _conversion_of(model: PreTrainedModel) -> _Conversion:
    """Found out once per model, by converting each parameter without its numbers."""
    if model not in _CONVERSIONS:
        conversion = _Conversion()
        sources: dict[str, set[str]] = {}
        plain = ((plain_name(n), p) for n, p in model.named_parameters() if not is_adapter(n))
        for name, parameter in plain:
            shape = torch.empty(parameter.shape, device="meta")
            on_disk = revert_weight_conversion(model, {name: shape})
            if all(tensor is shape for tensor in on_disk.values()):
                conversion.renamed[name] = next(iter(on_disk))
                continue
            for target in on_disk:
                sources.setdefault(target, set()).add(name)
        for names in sources.values():
            conversion.converted |= dict.fromkeys(names, frozenset(names))
        _CONVERSIONS[model] = conversion
    return _CONVERSIONS[model]
