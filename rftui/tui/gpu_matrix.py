"""The devices of a run as text: a row each, or where there are many a glyph each with the worst beneath."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from textual.content import Content

from rftui.runs.compared import Compared
from rftui.tui.blocks import EIGHTHS, flowed, joined, level
from rftui.tui.devices import NEARLY_FULL, Device
from rftui.tui.snapshot import Snapshot
from rftui.tui.table import Cell, Column, table
from rftui.tui.text import percent, size

PER_ROW = 16
WORST = 8
GROUPED_ABOVE = 64
OVER_PLAN = 1.08
"""A phase that held more than this many times what was predicted is painted as a warning."""


def gpu_panel(snapshot: Snapshot, width: int, height: int) -> Content:
    """As much about each device as there is room for."""
    found = snapshot.devices
    if not found:
        return Content.styled("no device or memory seen yet", "$quiet")
    if len(found) > GROUPED_ABOVE:
        return Content("\n").join(_nodes(found, width, height))
    if len(found) <= height and width >= 30:
        lines = table(_columns(found), found, width, heading=len(found) < height)
        if snapshot.compared and len(lines) < height:
            lines.append(compared_line(snapshot.compared, width))
        return Content("\n").join(lines)
    if height == 1:
        return joined([_words(device) for device in _worst_first(found)], width, "  ")
    flow = flowed([_words(device) for device in found], width)
    if len(flow) <= height:
        return Content("\n").join(flow)
    return Content("\n").join(_heat(found, width, height))


def gpu_label(snapshot: Snapshot) -> str:
    """What stands before the text where there is no frame."""
    return "mem" if snapshot.devices and not snapshot.devices[0].is_gpu else "gpu"


def gpu_title(snapshot: Snapshot, width: int) -> str:
    """What stands in the frame: how many there are, and what they add up to."""
    found = snapshot.devices
    if not found or not found[0].is_gpu:
        return "memory per rank"
    parts = [
        ("" if snapshot.active else "last seen: ") + (f"{len(found)} GPUs" if len(found) > 1 else "1 GPU")
    ]
    used = [device.utilization for device in found if device.utilization is not None]
    if used:
        parts.append(f"util {fmean(used):.0f}%")
    if power := [device.power for device in found if device.power is not None]:
        parts.append(f"{sum(power) / 1000:.1f} kW")
    if warm := [device.temperature for device in found if device.temperature is not None]:
        low, high = f"{min(warm):.0f}", f"{max(warm):.0f}"
        parts.append(f"{low} °C" if low == high else f"{low}–{high} °C")
    if left := [device.total - max(device.used, device.peak) for device in found if device.total]:
        parts.append(f"headroom {size(max(0, min(left)))}")
    while len(parts) > 1 and len(" · ".join(parts)) > width:
        parts.pop()
    return " · ".join(parts)


def compared_line(compared: Sequence[Compared], width: int) -> Content:
    """`plan→peak  update 3.1G→3.0G  rollout 1.2G→1.3G`, the fullest first; more than planned stands out."""
    parts = [Content.styled("plan→peak", "$quiet")]
    for line in sorted(compared, key=lambda line: -line.measured):
        over = line.ratio > OVER_PLAN
        measured = Content.styled(
            f"{size(line.measured)}{'!' if over else ''}", "bold $warning" if over else ""
        )
        parts.append(Content.assemble((f"{line.phase} ", "$quiet"), f"{size(line.predicted)}→", measured))
    return joined(parts, width, "  ")


def _columns(found: Sequence[Device]) -> list[Column[Device]]:
    """A column for everything that any of the devices tells."""
    many = len({device.host for device in found}) > 1
    columns: list[Column[Device]] = [
        Column("gpu" if found[0].is_gpu else "rank", 4, lambda d, _: (d.label, "bold")),
        Column("now", 5, lambda d, _: size(d.used), rank=1, right=True),
        Column("peak", 5, lambda d, _: size(d.peak), rank=4, right=True),
    ]
    if any(device.total for device in found):
        columns.insert(1, Column("memory", 5, _memory_bar, rank=2, flexible=True))
    if many:
        columns.insert(0, Column("host", 8, lambda d, _: (d.host.partition(".")[0], "$quiet"), rank=8))
    if any(device.utilization is not None for device in found):
        columns.insert(1 + many, Column("util", 6, _utilization, rank=0))
    if any(device.predicted is not None for device in found):
        columns.append(Column("plan", 5, lambda d, _: _size(d.predicted), rank=3, right=True))
    if any(device.total for device in found):
        columns.append(Column("of", 5, lambda d, _: (_size(d.total or None), "$quiet"), rank=7, right=True))
    if any(device.power is not None for device in found):
        columns.append(Column("power", 5, lambda d, _: _unit(d.power, "W"), rank=6, right=True))
    if any(device.temperature is not None for device in found):
        columns.append(Column("temp", 4, lambda d, _: _unit(d.temperature, "°C"), rank=5, right=True))
    if any(device.trouble for device in found):
        columns.append(Column("", 10, _trouble, rank=1))
    return columns


def _memory_bar(device: Device, width: int) -> Cell:
    """Used `█`, the peak `░` behind it, and `┃` where the plan's figure lies."""
    if not device.total:
        return ""
    eighths = round(device.fullness * width * 8)
    whole, rest = divmod(min(width * 8, max(0, eighths)), 8)
    used = "█" * whole + (EIGHTHS[rest] if rest else "")
    peak = "░" * (min(width, round(device.peak / device.total * width)) - len(used))
    cells = (used + peak).ljust(width)
    colour = "$error" if max(device.used, device.peak) > NEARLY_FULL * device.total else "$hue-4"
    if device.predicted is None or not 0 <= (at := int(device.predicted / device.total * width)) < width:
        return Content.styled(cells, f"{colour} on $grid")
    return Content.assemble(
        (cells[:at], f"{colour} on $grid"),
        ("┃", "bold $accent on $grid"),
        (cells[at + 1 :], f"{colour} on $grid"),
    )


def _utilization(device: Device, width: int) -> Cell:
    if device.utilization is None:
        return "n/a"
    return f"{level(device.utilization / 100)}{device.utilization:4.0f}%"


def _trouble(device: Device, width: int) -> Cell:
    return (f"! {device.trouble}", "bold $error") if device.trouble else ""


def _size(count: int | None) -> str:
    return "" if count is None else size(count)


def _unit(value: float | None, unit: str) -> str:
    return "n/a" if value is None else f"{value:.0f}{unit}"


def _words(device: Device) -> Content:
    """`0 ▇98% 121/141G`; `r0 1.2G` where there is no more to tell. `!` where something is wrong."""
    used, total = size(device.used), size(device.total) if device.total else ""
    if total and used[-1] == total[-1]:
        used = used[:-1]
    busy = (
        "" if device.utilization is None else f"{level(device.utilization / 100)}{device.utilization:.0f}% "
    )
    return Content.assemble(
        (f"{_number(device) if device.is_gpu else device.label} ", "$quiet"),
        busy,
        f"{used}/{total}" if total else used,
        (f"! {device.trouble}" if device.trouble else "", "bold $error"),
    )


def _worst_first(found: Sequence[Device]) -> list[Device]:
    """In trouble first, of those the ones that tell nothing; then the least busy, then the fullest."""
    return sorted(
        found,
        key=lambda d: (
            not d.trouble,
            d.utilization if d.utilization is not None else (-1.0 if d.trouble else 101.0),
            -max(d.used, d.peak),
        ),
    )


def _heat(found: Sequence[Device], width: int, height: int) -> list[Content]:
    """Sixteen glyphs to a row, then the worst eight by name."""
    blocks = [found[at : at + PER_ROW] for at in range(0, len(found), PER_ROW)]
    lines = flowed([_heat_row(block) for block in blocks], width, "   ")
    if len(lines) >= height:
        lines = flowed([_glyphs(block) for block in blocks], width, " ")
    worst = _worst_first(found)[:WORST]
    room = height - len(lines)
    if room >= len(worst) + 1:
        return [*lines, *table(_columns(worst), worst, width)]
    flow = flowed([_words(device) for device in worst], width)
    return [*lines, *flow[: max(0, room)]][:height]


def _heat_row(block: Sequence[Device]) -> Content:
    """`16 ▇▇▇▇▇▆▇▇▇▇✖▇▇▇▇▇ 31`."""
    first, last = f"{_number(block[0]):>3} ", f" {_number(block[-1])}"
    return Content.assemble((first, "$quiet"), _glyphs(block), (last, "$quiet"))


def _number(device: Device) -> str:
    """Of its rank where it has one: the GPUs of several hosts have the same numbers."""
    return device.label if device.rank is None else f"{device.rank}"


def _nodes(found: Sequence[Device], width: int, height: int) -> list[Content]:
    """A row per host, those with trouble first; the last line counts what does not fit."""
    hosts: dict[str, list[Device]] = defaultdict(list)
    for device in found:
        hosts[device.host].append(device)
    order = sorted(hosts.items(), key=lambda item: (not any(d.trouble for d in item[1]), item[0]))
    columns: list[Column[tuple[str, list[Device]]]] = [
        Column("host", 8, lambda node, _: (node[0].partition(".")[0], "bold")),
        Column("gpus", PER_ROW, lambda node, _: _glyphs(node[1])),
        Column("util", 5, lambda node, _: percent(_mean([d.utilization for d in node[1]], 100)), right=True),
        Column(
            "memory", 6, lambda node, _: percent(_mean([d.fullness for d in node[1]])), rank=2, right=True
        ),
        Column(
            "power",
            7,
            lambda node, _: f"{sum(d.power or 0 for d in node[1]) / 1000:.1f}kW",
            rank=3,
            right=True,
        ),
        Column("hottest", 7, lambda node, _: _unit(max(d.temperature or 0 for d in node[1]), "°C"), 4, True),
        Column("", 14, lambda node, _: _node_trouble(node[1]), rank=1, flexible=True),
    ]
    lines = table(columns, order, width, heading=height > 2)
    if len(lines) > height:
        lines = [
            *lines[: height - 1],
            Content.styled(f"… and {len(lines) - height + 1} more hosts", "$quiet"),
        ]
    return lines


def _glyphs(found: Sequence[Device]) -> Content:
    """A level for each GPU, `✖` for one that tells nothing."""
    cells = [
        ("✖", "bold $error")
        if device.trouble and device.utilization is None
        else (level((device.utilization or 0.0) / 100), "bold $error" if device.trouble else "$hue-4")
        for device in found[:PER_ROW]
    ]
    return Content.assemble(*cells, " " * (PER_ROW - len(cells)))


def _node_trouble(found: Sequence[Device]) -> Cell:
    told = [f"{device.label} {device.trouble}" for device in found if device.trouble]
    return (f"! {', '.join(told)}", "bold $error") if told else ""


def _mean(values: Sequence[float | None], of: float = 1.0) -> float | None:
    known = [value / of for value in values if value is not None]
    return fmean(known) if known else None
