"""The names and shapes that a checkpoint on disk has, for engines that do not tell what they cannot place."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from huggingface_hub import snapshot_download
from safetensors import safe_open
from torch import Tensor

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


class Expected:
    """Compares pushes of weights with the checkpoint that an engine was loaded from.

    A checkpoint may hold more than the trainer's model: what the first push leaves out is not missed later.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], *, tied: bool) -> None:
        """`tied`: output head and input embedding are one tensor, under either name or both."""
        self.shapes = dict(shapes)
        self.twins = {HEAD: EMBEDDING, EMBEDDING: HEAD} if tied else {}
        self._problems: list[str] = []
        self._came: set[str] = set()
        self._first: set[str] | None = None

    @classmethod
    def of(cls, model: str, *, tied: bool) -> "Expected":
        """The safetensors files of a folder, or of a model in the hub's cache; their headers are read."""
        folder = Path(model)
        if not folder.is_dir():
            folder = Path(snapshot_download(model, local_files_only=True, allow_patterns="*.safetensors"))
        shapes: dict[str, tuple[int, ...]] = {}
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        return cls(shapes, tied=tied)

    def fitting(self, named: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
        """One push: what is unknown or misshapen is left out, and noted."""
        self._problems, self._came = [], set()
        for name, tensor in named:
            shape = self.shapes.get(name) or self.shapes.get(self.twins.get(name, ""))
            if shape is None:
                self._problems.append(f"unknown parameter {name}")
                continue
            self._came.add(name)
            if shape == tuple(tensor.shape):
                yield name, tensor
            else:
                self._problems.append(f"{name} is {tuple(tensor.shape)}, expected {shape}")

    def problems(self) -> list[str]:
        """Of the latest push, once it has been walked to its end."""
        if self._first is None and not self._problems:
            self._first = self._came
        missing = {
            n for n in self._first or () if n not in self._came and self.twins.get(n) not in self._came
        }
        return [*self._problems, *(f"missing parameter {name}" for name in sorted(missing))]
