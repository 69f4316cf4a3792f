"""How fast a place moves bytes and computes, as reached in practice; nominal where it is not known."""

from dataclasses import dataclass

from engine.footprint.job import Place

LINK_SHARE = 0.75
"""Of a link's nominal speed in large collectives: NCCL's bus bandwidth on NVLink is 0.7 to 0.8 of it."""
NOMINAL = {"cuda": (1e12, 200e12), "cpu": (20e9, 100e9)}
"""Memory bandwidth and FLOP per second where they are unknown: good for comparing plans, not for seconds."""
HOST_BANDWIDTH = 100e9
"""Bytes per second of a machine's memory that all its ranks share: an estimate for one socket."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """Bytes and FLOP per second of one rank."""

    bandwidth: float
    peak: float
    link: float
    """To ranks of the same machine."""
    node_link: float
    pcie: float
    known: bool

    @classmethod
    def of(cls, place: Place) -> "Speeds":
        device = place.device
        bandwidth, peak = NOMINAL[device.kind]
        known = device.bandwidth is not None and device.peak is not None
        if known:
            assert device.bandwidth is not None and device.peak is not None
            bandwidth, peak = device.bandwidth, device.peak
        link = bandwidth if place.on_cpu else device.link or device.pcie
        if place.island == 1:
            link = min(link, device.pcie)
        return cls(bandwidth, peak, link * LINK_SHARE, place.node_link * LINK_SHARE, device.pcie, known)

    def between(self, place: Place, ranks: int) -> float:
        """Within so many neighbouring ranks: the slowest link among them decides."""
        return self.link if ranks <= place.ranks_per_node else min(self.link, self.node_link)
