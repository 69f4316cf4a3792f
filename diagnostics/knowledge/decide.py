"""Chooses among the incidents of a log: what was first and real, what follows from it, what means nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from diagnostics.knowledge import builtin, exits, watchdog
from diagnostics.knowledge.diagnosis import UNKNOWN
from diagnostics.knowledge.incidents import WEAK, Incident, Log, comes_before, errors, exceptions, read
from diagnostics.knowledge.scan import Hit

CASCADE_ONLY = "worker-died-unknown"
_MOMENT = 80
"""Lines of one process within which the more specific of two causes wins over the earlier one."""
_DONE_BEFORE = 300
"""Lines before a dying worker in which the end of the training makes it part of an orderly end."""
_ALTERNATIVES = 3


@dataclass
class Verdict:
    """A cause and what shows it, the best incident first."""

    cause: str
    incidents: list[Incident]
    confidence: float
    ruled_out: list[Hit] = field(default_factory=list)
    about: str = ""
    """Of an unknown cause: `exception`, `error`, `native-crash` or `time-limit`."""


def decide(log: Log) -> list[Verdict]:
    """Causes, the best first; empty where nothing failed."""
    told = read(log)
    benign = {incident.place for incident in told if incident.role == "benign"}
    told = [incident for incident in told if incident.place not in benign]
    for incident in told:
        incident.late = incident.cause in watchdog.TIMEOUTS or incident.cause == CASCADE_ONLY
    closing = [incident.line.text for incident in told if "closing signal" in incident.line.text]
    told += watchdog.incidents(log.builtin_hits(builtin.WATCHDOG), log)
    told += exits.incidents(log.builtin_hits(builtin.EXIT), log, closing)
    told.sort(key=lambda incident: incident.order)
    known = {place for incident in told for place in _lines_of(incident)} | benign
    cascades = [incident for incident in told if incident.role == "cascade"]
    cascades = [incident for incident in cascades if not _after_the_end(incident, log)]
    unknown = exceptions(log, known, died=bool(cascades))
    roots = _roots(told, unknown, log)
    wrong = errors(log, known)
    if roots and (unknown or wrong or cascades or not all(map(_is_warning, roots))):
        return _ranked(roots, told, unknown)
    if verdict := _unknown(unknown, wrong, cascades, log):
        return [verdict]
    cascades = [incident for incident in cascades if incident.signature]
    if cascades:
        return [
            Verdict(CASCADE_ONLY, cascades[:1], 0.3, _distinct([incident.hit for incident in cascades[1:]]))
        ]
    return []


def _is_warning(incident: Incident) -> bool:
    """Whether a line is a mere warning, no exception: alone, with no error in the log, it is no failure."""
    return incident.line.level in ("D", "I", "W") and not builtin.is_exception(incident.line.text)


def _lines_of(incident: Incident) -> list[tuple[int, int]]:
    """The lines an incident explains: its own."""
    return [incident.place]


def _roots(told: Sequence[Incident], unknown: Sequence[Hit], log: Log) -> list[Incident]:
    """Incidents that name a cause, of the best kind there is.

    Timeouts are a cause where no exception came before them; then what comes after follows from them.
    """
    roots = [incident for incident in told if incident.role == "root" and incident.cause]
    prompt = [incident for incident in roots if not incident.late]
    symptoms = [incident for incident in told if incident.role == "symptom" and incident.cause]
    strong = [incident for incident in prompt if incident.rank >= WEAK] or prompt or symptoms
    timeouts = [incident for incident in roots if incident.cause in watchdog.TIMEOUTS]
    earlier = [incident.order for incident in strong] + [log.order(hit) for hit in unknown]
    if timeouts and not any(comes_before(order, timeouts[0].order) for order in earlier):
        return timeouts
    if strong:
        return strong
    return [i for i in roots if not unknown or not comes_before(log.order(unknown[0]), i.order)]


def _ranked(roots: Sequence[Incident], told: Sequence[Incident], unknown: Sequence[Hit]) -> list[Verdict]:
    first = roots[0]
    moment = [incident for incident in roots if _same_moment(first, incident)]
    best = max(moment, key=lambda incident: (incident.rank, -moment.index(incident)))
    order = [best, *(incident for incident in roots if incident is not best)]
    verdicts: list[Verdict] = []
    for incident in order:
        if any(verdict.cause == incident.cause for verdict in verdicts):
            continue
        if verdicts and incident not in moment:
            continue
        same = [other for other in roots if other.cause == incident.cause and other is not incident]
        verdicts.append(Verdict(incident.cause, [incident, *same], _confidence(incident, same)))
    for number, verdict in enumerate(verdicts[1:], start=1):
        verdict.confidence = round(min(verdict.confidence, verdicts[number - 1].confidence) * 0.5, 2)
    shown = {incident.place for incident in roots if incident.cause == best.cause}
    follow = [i.hit for i in told if i.role != "benign" and i.place not in shown]
    verdicts[0].ruled_out = _distinct(
        [*follow, *(h for h in unknown if (h.source, h.line.number) not in shown)]
    )
    return verdicts[:_ALTERNATIVES]


def _same_moment(first: Incident, other: Incident) -> bool:
    if first.hit.source != other.hit.source:
        return False
    if first.line.process != other.line.process and first.line.process and other.line.process:
        return False
    block = {line.number for line in first.hit.block}
    return other.line.number in block or other.line.number - first.line.number <= _MOMENT


def _confidence(best: Incident, same: Sequence[Incident]) -> float:
    if best.role == "symptom":
        return 0.5 if best.rank >= WEAK else 0.3
    if best.late:
        return 0.6 if best.cause in watchdog.TIMEOUTS else 0.5
    confidence = 0.6 + 0.3 * min(best.rank, 100) / 100
    return round(min(0.97, confidence + (0.08 if same else 0.0)), 2)


def _unknown(
    unknown: Sequence[Hit], errors: Sequence[Hit], cascades: Sequence[Incident], log: Log
) -> Verdict | None:
    ended = [incident for incident in cascades if exits.unexplained(incident.line.text)]
    for hits, about in ((unknown, "exception"), ([i.hit for i in ended], ""), (errors, "error")):
        if hits:
            first = hits[0]
            about = exits.unexplained(first.line.text) or about
            incident = Incident(first, "root", UNKNOWN, order=log.order(first))
            others = [*hits[1:], *(i.hit for i in cascades if i.hit is not first)]
            return Verdict(UNKNOWN, [incident], 0.2, _distinct(others), about)
    return None


def _after_the_end(incident: Incident, log: Log) -> bool:
    """Whether a worker went when the training was over."""
    return any(
        hit.source == incident.hit.source and 0 <= incident.line.number - hit.line.number <= _DONE_BEFORE
        for hit in log.builtin_hits(builtin.DONE)
    )


def _distinct(hits: Sequence[Hit]) -> list[Hit]:
    """One hit per line."""
    return list({(hit.source, hit.line.number): hit for hit in hits}.values())
