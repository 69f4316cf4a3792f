"""Each group of ranks is tried out at the start: who does not come is named, instead of waited for."""

from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import distributed_c10d

from engine.findings import EXIT_RUN_FAILED, Finding, FindingsError, Fix


class GroupChecks:
    """Checks every process group of this rank once, whichever library made it, and limits its waiting."""

    def __init__(self, rank: int, device: torch.device, timeout_s: int) -> None:
        self.rank = rank
        self.devices = [torch.device("cpu")] if device.type == "cpu" else [torch.device("cpu"), device]
        self.timeout = timedelta(seconds=timeout_s)
        self._seen: set[str] = set()

    def check(self) -> None:
        """Try the groups that have been made since the last call. Collective.

        Raises FindingsError: `parallel.rank-missing` when a rank does not come within the timeout,
        `parallel.group-wrong` when a group does not connect the ranks that it should.
        """
        for group in self._new():
            self._check(group)

    def limit_waiting(self) -> None:
        """Limit the waiting in new groups without a try: a library may never use those it makes."""
        self._new()

    def _new(self) -> list[dist.ProcessGroup]:
        if not dist.is_initialized() or dist.get_world_size() == 1:
            return []
        several = [g for g in distributed_c10d._world.pg_map if len(dist.get_process_group_ranks(g)) > 1]
        groups = [group for group in several if group.group_name not in self._seen]
        for group in groups:
            self._seen.add(group.group_name)
            # Libraries take the default of 10 or 30 minutes.
            distributed_c10d._set_pg_timeout(self.timeout, group)
        return groups

    def _check(self, group: dist.ProcessGroup) -> None:
        ranks = dist.get_process_group_ranks(group)
        store = distributed_c10d._get_default_store()
        wait_for_all(store, f"group-{group.group_name}", ranks, self.rank, self.timeout)
        reached = [kind.type for kind in group._device_types]  # NCCL alone moves nothing in host memory
        for device in self.devices:
            if device.type in reached:
                try_out(group, ranks, self.rank, device)


def wait_for_all(store: dist.Store, place: str, ranks: Sequence[int], rank: int, timeout: timedelta) -> None:
    """Return when all `ranks` have come to `place`; raises FindingsError naming those who have not."""
    keys = {other: f"rftui/{place}/{other}" for other in ranks}
    store.set(keys[rank], "here")
    try:
        store.wait(list(keys.values()), timeout)
    except dist.DistStoreError as error:
        missing = [other for other, key in keys.items() if not store.check([key])]
        if missing:
            raise FindingsError([_missing(missing, ranks, timeout)], EXIT_RUN_FAILED) from error


def try_out(group: dist.ProcessGroup, ranks: Sequence[int], said: int, device: torch.device) -> None:
    """Every rank of `group` sends its number; raises FindingsError unless `ranks` come back. Collective."""
    number = torch.tensor([said], device=device)
    answers = [torch.empty_like(number) for _ in ranks]
    try:
        dist.all_gather(answers, number, group=group)
        got = [int(answer) for answer in answers]
    except RuntimeError as error:
        raise FindingsError([_wrong(ranks, f"it fails: {error}")], EXIT_RUN_FAILED) from error
    if got != list(ranks):
        raise FindingsError([_wrong(ranks, f"it brings {_list(got)}")], EXIT_RUN_FAILED)


def _missing(missing: Sequence[int], ranks: Sequence[int], timeout: timedelta) -> Finding:
    here = [rank for rank in ranks if rank not in missing]
    return Finding(
        id="parallel.rank-missing",
        severity="error",
        cause=f"Rank {_list(missing)} did not come within {timeout.total_seconds():g} s (nccl_timeout); "
        f"rank {_list(here)} waited.",
        fixes=(
            Fix(f"See what rank {missing[0]} printed last, if launched in logs/rank-{missing[0]:05d}.log."),
            Fix("Give a slow start more time with nccl_timeout (seconds)."),
        ),
        param="parallel.nccl_timeout",
    )


def _wrong(ranks: Sequence[int], what: str) -> Finding:
    return Finding(
        id="parallel.group-wrong",
        severity="error",
        cause=f"A gather of rank numbers over ranks {_list(ranks)} should bring just these, but {what}.",
        fixes=(
            Fix("Start all ranks with the same configuration and the same versions of rftui and torch."),
            Fix("Between machines: name the interface that connects them in GLOO_SOCKET_IFNAME."),
        ),
    )


def _list(ranks: Sequence[int]) -> str:
    return ", ".join(map(str, ranks))
