"""A plan on the terminal: machine and model, memory by phase, the choices with reasons, time, what else."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.config.registry import value_of
from engine.config.values import show
from engine.footprint.devices import GIB
from engine.footprint.terms import Term
from rftui.plan.result import Plan
from rftui.plan.simulation import Agreement
from rftui.plan.values import PARTS
from rftui.plan.words import GB, count, duration, flag, gb, percent, settings

BAR = 18
LARGEST = 3
"""Terms of a phase that are named; the others are summed up."""


def show_plan(plan: Plan, price: float | None = None) -> None:
    """Print a plan."""
    console = Console(highlight=False)
    console.print(_heading(plan))
    console.print()
    console.print(_memory(plan))
    console.print(_beside(plan))
    if plan.chosen and not plan.fits:
        _assumed(console, plan)
        return  # the leanest plan is no advice
    console.print("\nPlan" if plan.chosen else "\nSettings as they are", style="bold")
    console.print(_choices(plan))
    console.print("\nBatches", style="bold")
    console.print(_plain(plan.batch_words))
    if plan.fits:
        console.print("\nTime, roughly", style="bold")
        for line in _time(plan, price):
            console.print(_plain(line))
    if plan.runner_up:
        console.print("\nRunner-up", style="bold")
        console.print(_plain(f"{settings(plan.runner_up.values)}: {plan.runner_up.words}"))
    _assumed(console, plan)
    console.print()
    console.print(_verdict(plan))  # again, where it is seen


def _assumed(console: Console, plan: Plan) -> None:
    notes = [*plan.assumptions, *([f"memory is corrected by {plan.corrected}"] if plan.corrected else [])]
    if notes:
        console.print("\nAssumed", style="bold")
        for note in notes:
            console.print(_plain(f"- {note}"))


def _plain(text: str) -> Text:
    return Text(text)  # settings may hold [brackets]


def _heading(plan: Plan) -> Text:
    place, shape = plan.job.place, plan.job.shape
    machines = f" on {place.nodes} machines" if place.nodes > 1 else ""
    if place.on_cpu:
        where = f"{place.ranks} rank{'s' * (place.ranks > 1)} on the CPU, {gb(place.free)} of RAM each"
    else:
        link = f", NVLink joins {place.island}" if place.island > 1 else ""
        free = f"{gb(place.free)} ({place.free / GIB:.1f} GiB) free on each"
        where = f"{place.ranks} × {place.device.name}{machines}, {free}{link}"
    model = f"{shape.name}: {count(shape.params)} parameters ({shape.family})"
    return Text.assemble(where, "\n", model, "\n", _verdict(plan))


def _verdict(plan: Plan) -> Text:
    worst, place, host = plan.footprint.worst, plan.job.place, plan.footprint.host_bytes
    margin = sum(term.bytes for term in worst.terms if term.where == "margin")
    words = f"needs {gb(worst.bytes)} of {gb(place.free)} in {worst.phase}, {gb(margin)} of it margin"
    if worst.bytes <= place.free and host > place.host_memory:
        words = f"needs {gb(host)} of {gb(place.host_memory)} of host memory"
    word = ("fits", "bold green") if plan.fits else ("does not fit", "bold red")
    return Text.assemble(word, ": ", words)


def _memory(plan: Plan) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("phase")
    table.add_column("GB", justify="right")
    table.add_column(f"of {plan.job.place.free / GB:.1f}", no_wrap=True)
    table.add_column("largest terms, GB", ratio=1)
    for phase in plan.footprint.phases:
        size, free = phase.bytes, plan.job.place.free
        style = "red" if size > free else "yellow" if size > 0.95 * free else "green"
        bar = Text("█" * min(BAR, round(BAR * size / free)), style)
        bar.append("░" * (BAR - len(bar.plain)), "dim")
        table.add_row(phase.phase, f"{size / GB:.1f}", bar, _plain(_largest(phase.terms, size)))
    return table


def _largest(terms: Sequence[Term], total: int) -> str:
    shown = sorted(terms, key=lambda term: -term.bytes)[:LARGEST]
    words = [f"{term.name} {term.bytes / GB:.1f}" for term in shown]
    rest = total - sum(term.bytes for term in shown)
    return ", ".join([*words, f"rest {rest / GB:.1f}"] if rest >= GB / 20 else words)


def _beside(plan: Plan) -> Text:
    footprint, place = plan.footprint, plan.job.place
    host = f"host {gb(footprint.host_bytes)} of {gb(place.host_memory)}"
    disk = f"checkpoints {gb(footprint.disk_bytes)}"
    if place.disk_free is not None:
        disk += f" of {gb(place.disk_free)} free"
    each = "each machine: " if place.nodes > 1 else ""
    return Text(f"{each}{host}, {disk}", "dim")


def _choices(plan: Plan) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for key, reason in plan.reasons.items():
        style = "bold" if key in plan.chosen else ""
        value = str(show(value_of(plan.resolved.config, key))).strip("'")
        table.add_row(Text(flag(key), style), Text(value, style), Text(reason, "dim"))
    return table


def _time(plan: Plan, price: float | None) -> list[str]:
    times, lengths = plan.times, plan.lengths
    if not times.calibrated:
        return [f"not known: the speed of {plan.job.place.device.name} is in no table"]
    parts = sorted(((getattr(times, part), part) for part in PARTS), reverse=True)
    spent = ", ".join(f"{part} {duration(seconds)}" for seconds, part in parts if seconds > 0)
    lines = [
        f"{duration(times.iteration)} for {times.responses} responses of {lengths.response:g} tokens: "
        + spent,
        f"{times.tokens_per_s:,.0f} tokens/s, {times.samples_per_min:,.0f} samples/min"
        + (f", MFU {times.mfu:.0%} in the update" if times.mfu else "")
        + f"; limited by {times.bound}",
    ]
    if plan.seconds is None or plan.iterations is None:
        lines.append("the whole run: not known without the number of prompts (--dataset-size)")
    else:
        cost = plan.cost(price)
        paid = f", {cost:,.2f} USD at {price:g} per GPU and hour" if cost is not None else ""
        lines.append(f"the whole run: {plan.iterations:,.0f} iterations in {duration(plan.seconds)}{paid}")
    return lines


def show_simulation(ranks: int, agreements: Sequence[Agreement]) -> None:
    """Print simulated against planned memory, by phase; a difference above 5 % is marked."""
    console = Console(highlight=False)
    console.print(f"\nSimulated on {ranks} ranks, GB in torch's allocator", style="bold")
    table = Table("phase", box=None, padding=(0, 2, 0, 0), show_edge=False)
    for column in ("simulated", "planned", "difference"):
        table.add_column(column, justify="right")
    table.add_column()
    for line in agreements:
        mark = "" if line.agrees else Text("✗ more than 5 %", "bold red")
        planned, simulated = f"{line.planned / GB:.2f}", f"{line.simulated / GB:.2f}"
        table.add_row(line.phase, simulated, planned, percent(line.error), mark)
    console.print(table)
