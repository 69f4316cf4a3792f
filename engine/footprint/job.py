"""What is predicted: a configuration, the model's shape, and the place where it shall run."""

from dataclasses import dataclass

from engine.config.choices import EngineName, StrategyName, engine_name, strategy_name
from engine.config.sections import RunConfig
from engine.footprint.devices import Device
from engine.footprint.shape import ModelShape


@dataclass(frozen=True, slots=True)
class Place:
    """Ranks and what each of them has. Memory in bytes."""

    device: Device
    ranks: int
    ranks_per_node: int
    island: int
    """Neighbouring ranks of a node that the fast link (NVLink) joins; 1 without one."""
    free: int
    """Device memory that a rank may use, without what other processes hold. On a CPU: its share of RAM."""
    host_memory: int
    """Host memory of a node that may be used."""
    disk_free: int | None = None
    held: int = 0
    """Device memory that other processes hold, on the device where they hold most."""
    node_link: float = 50e9
    """Bytes per second that a rank sends to another node."""

    @property
    def nodes(self) -> int:
        return -(-self.ranks // self.ranks_per_node)

    @property
    def on_cpu(self) -> bool:
        return self.device.kind == "cpu"


@dataclass(frozen=True, slots=True)
class Job:
    """One run to predict. Memory is predicted for the longest sequences that the configuration allows."""

    config: RunConfig
    shape: ModelShape
    place: Place

    @property
    def strategy(self) -> StrategyName:
        return strategy_name(self.config)

    @property
    def engine(self) -> EngineName:
        return engine_name(self.config)

    @property
    def compute_bytes(self) -> int:
        """Bytes of a number in forward passes: 2 in bfloat16, 4 in float32."""
        return 2 if self.config.model.bf16 else 4

    @property
    def shard_ranks(self) -> int:
        """Ranks that share one copy of the sharded states."""
        return self.config.parallel.fsdp_shard_size or self.place.ranks
