"""Whether folders that a run writes to have room, can be written, and are on a disk of this machine."""

import os
from collections.abc import Iterator

import msgspec

from diagnostics.doctor import places
from diagnostics.doctor.check import Answer, CannotCheck, Check, Ok
from diagnostics.doctor.checks import run_facts
from diagnostics.doctor.checks.gpu import LOOK_S
from diagnostics.doctor.host import Host, Room
from diagnostics.preflight import MIN_FREE_BYTES
from engine.findings import Finding, Fix, Severity
from engine.footprint.devices import GIB
from engine.footprint.predict import predict

SCARCE = 0.05
"""Share of a disk that is left when it is nearly full …"""
SCARCE_BYTES = 20 * GIB
"""… unless this much is left."""
TEMPORARY_BYTES = GIB
INODES = 10_000
SOCKET_PATH = 107
"""Longest path of a Unix socket in bytes (`sun_path`, 108 with its end)."""
SOCKETS = {
    None: len("/pymp-01234567/listener-01234567"),
    "vllm": len("/01234567-0123-0123-0123-0123456789ab"),
    "ray": len("/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"),
}
"""What Python's multiprocessing, and packages that are installed, add to TMPDIR."""


class Place(msgspec.Struct, frozen=True):
    """A folder, what it is for, the bytes it must have free, and the setting that moves it.

    `unwritable`: how bad it is when it cannot be written.
    """

    what: str
    folder: str
    need: int
    move: str
    unwritable: Severity = "error"
    saves: bool = False
    """Checkpoints go there."""


def _places(host: Host) -> Iterator[Place]:
    checkpoint = host.config.checkpoint if host.config else None
    runs = "--runs-dir, or export RFTUI_RUNS_DIR="
    if checkpoint and checkpoint.save_path:
        yield Place("runs", host.runs_dir, MIN_FREE_BYTES, runs)
        yield Place("checkpoints", checkpoint.save_path, _checkpoint_bytes(host), "--save-path ", saves=True)
    else:
        yield Place(
            "runs", host.runs_dir, MIN_FREE_BYTES + _checkpoint_bytes(host), runs, saves=bool(checkpoint)
        )
    yield Place("temporary files", places.temporary(host.environ), TEMPORARY_BYTES, "export TMPDIR=")
    yield Place("models", places.hub_cache(host.environ), 0, "export HF_HOME=", "warning")


def _checkpoint_bytes(host: Host) -> int:
    """What the run's checkpoints take; 0 without a configuration or where its model is not known."""
    if host.config is None:
        return 0
    try:
        return predict(run_facts.job(host)).disk_bytes
    except CannotCheck:
        return 0


def _disk(host: Host) -> Answer:
    findings, said = [], []
    for place in _places(host):
        room = host.room(place.folder)
        if room is None:
            raise CannotCheck(f"nothing is known of the disk of {place.folder}")
        found = _unwritable(host, place, room) or _full(place, room)
        findings += [found] if found else []
        said.append(f"{place.what} {_gib(room.free)} free")
    return tuple(findings) or Ok(", ".join(said))


def _unwritable(host: Host, place: Place, room: Room) -> Finding | None:
    error = "the file system is read-only" if room.read_only else host.try_write(place.folder)
    if error is None:
        return None
    quota = "quota" in error.lower() or "space" in error.lower()
    look = f"df -h {place.folder}; quota -s" if quota else f"ls -ld {place.folder}; id"
    return Finding(
        id=f"host.disk.{_word(place)}",
        severity="error" if quota else place.unwritable,
        cause=f"{place.folder} ({place.what}) cannot be written: {error}.",
        fixes=(
            Fix("free space there, or have the quota raised" if quota else "look at its owner", command=look),
            Fix("or use another folder", command=f"{place.move}…"),
        ),
    )


def _full(place: Place, room: Room) -> Finding | None:
    fixes = (
        Fix("free space there", command=f"du -xsh {place.folder}/*"),
        Fix("or use another disk", command=f"{place.move}…"),
    )
    if room.inodes_free is not None and room.inodes_free < INODES:
        cause = (
            f"the disk of {place.folder} ({place.what}) has room for {room.inodes_free:,} more files only."
        )
        count = Fix(
            "find folders with many files", command=f"du --inodes -xs {place.folder}/* | sort -n | tail"
        )
        return Finding(f"host.disk.{_word(place)}", "warning", cause, fixes=(count, fixes[1]))
    if room.free < place.need:
        keep = [Fix("or keep fewer checkpoints", set={"checkpoint.max_ckpt_num": 1})] if place.saves else []
        cause = f"{place.folder} ({place.what}) has {_gib(room.free)} free and needs {_gib(place.need)}."
        severity: Severity = "error" if place.what != "temporary files" else "warning"
        return Finding(f"host.disk.{_word(place)}", severity, cause, fixes=(*fixes, *keep))
    if room.free < SCARCE_BYTES and room.free < SCARCE * room.total:
        left = f"{_gib(room.free)} of {_gib(room.total)} left"
        cause = f"the disk of {place.folder} ({place.what}) is nearly full: {left}."
        return Finding(f"host.disk.{_word(place)}", "warning", cause, fixes=fixes)
    return None


def _word(place: Place) -> str:
    return place.what.partition(" ")[0]


def _network(host: Host) -> Answer:
    environ, known = host.environ, places.mounts(host)
    if not known:
        raise CannotCheck(f"{places.MOUNTS} tells of no mounts")
    watched: tuple[tuple[str, str, str, Severity, str], ...] = (
        (
            "models",
            places.hub_cache(environ),
            "HF_HOME",
            "warning",
            "every rank reads all weights through the network",
        ),
        (
            "Triton's kernels",
            places.triton_cache(environ),
            "TRITON_CACHE_DIR",
            "warning",
            "ranks overwrite each other's, or wait for locks",
        ),
        (
            "vLLM's compiled graphs",
            places.vllm_cache(environ),
            "VLLM_CACHE_ROOT",
            "warning",
            "ranks wait for locks",
        ),
        (
            "records of collectives",
            places.flight_dumps(environ),
            "TORCH_FR_DUMP_TEMP_FILE",
            "warning",
            "writing them may hang just when a hang is looked into",
        ),
        (
            "runs",
            host.runs_dir,
            "RFTUI_RUNS_DIR",
            "info",
            "watching a run is slower, and SQLite there needs working locks",
        ),
    )
    findings = [
        _remote(*entry, mount)
        for entry in watched
        if (mount := places.mount_of(entry[1], known)) and mount.network
    ]
    return tuple(findings) or Ok("caches are on this machine's disks")


def _remote(
    what: str, folder: str, variable: str, severity: Severity, why: str, mount: places.Mount
) -> Finding:
    word = variable.lower().replace("_", "-")
    return Finding(
        id=f"host.netfs.{word}",
        severity=severity,
        cause=f"{folder} ({what}) is on {mount.kind} ({mount.source}): {why}.",
        fixes=(Fix("use a folder on a disk of this machine", command=f"export {variable}=/local/…"),),
    )


def _temporary(host: Host) -> Answer:
    folder = places.temporary(host.environ)
    if not host.glob(folder):
        return Finding(
            id="host.tmp",
            severity="warning",
            cause=f"TMPDIR is {folder}, which does not exist: some programs fail, others use /tmp in its "
            "place.",
            fixes=(Fix("make it", command=f"mkdir -p {folder}", safe=True),),
        )
    length = len(os.fsencode(folder))
    installed = host.distributions()
    too_long = {
        name: length + added - SOCKET_PATH
        for name, added in SOCKETS.items()
        if (name is None or name in installed) and length + added > SOCKET_PATH
    }
    if not too_long:
        return Ok(f"{folder} is short enough for sockets")
    who = " and ".join(name or "Python's multiprocessing" for name in too_long)
    return Finding(
        id="host.tmp",
        severity="error",
        cause=f"TMPDIR is {length} bytes long ({folder}): the path of a socket of {who} in it would have up "
        "to "
        f"{max(too_long.values())} more than the {SOCKET_PATH} that a Unix socket may have.",
        fixes=(Fix("use a shorter one", command="export TMPDIR=/tmp"),),
    )


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


CHECKS = (
    Check("host.disk", "folders that are written have room", "fast", _disk, limit_s=LOOK_S, essential=True),
    Check("host.netfs", "caches are on disks of this machine", "fast", _network),
    Check("host.tmp", "the temporary folder is there, its path short", "fast", _temporary),
)
