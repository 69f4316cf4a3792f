"""A response as text, with marks where trainer and engine give a token another log-probability."""

from math import isfinite

from textual.content import Content

from rftui.runs.samples import Texts
from rftui.tui.blocks import flowed
from rftui.tui.text import number

MAX_SHOWN = 20_000
"""Characters of a text on the screen; all of them are copied and exported."""
LEVELS = ((0.5, "bold reverse $error"), (0.1, "bold underline $accent"), (0.02, "underline $hue-4"))
"""From which difference in nats on a token is marked, and how; 0.02 is 2 % more probable, 0.5 is 65 %."""

_CONTROL = {code: chr(0x2400 + code) for code in range(32)} | {9: "    ", 10: "\n", 127: "␡"}
_INVISIBLE = (*range(0x80, 0xA0), *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_SHOWN = _CONTROL | dict.fromkeys(_INVISIBLE, "�")


def printable(text: str) -> str:
    """What a model wrote, harmless for a terminal: control characters as signs (`␛`), line ends kept."""
    return text.translate(_SHOWN)


def shown(text: str) -> Content:
    """A text, cut where it is too long for the screen."""
    return _cut(Content(printable(text[:MAX_SHOWN])), len(text))


def marked(texts: Texts) -> Content:
    """The response with its marks."""
    response, parts, at = texts.response[:MAX_SHOWN], [], 0
    for characters, difference in texts.tokens:
        parts.append((printable(response[at : at + characters]), _style(difference)))
        at += characters
    parts.append((printable(response[at:]), ""))
    return _cut(Content.assemble(*parts), len(texts.response))


def legend(texts: Texts, width: int) -> Content:
    """What the marks mean, and how many there are."""
    if not texts.tokens:
        return Content.styled("no log-prob differences of single tokens were kept of this sample", "$quiet")
    entries = [Content.styled("|Δ log-prob| in nats:", "$quiet")]
    entries += [Content.styled(f"≥ {limit:g}", style) for limit, style in reversed(LEVELS)]
    known = [abs(each) for _, each in texts.tokens if each is not None]
    if known:
        limit = LEVELS[1][0]
        over = sum(each >= limit for each in known)
        entries.append(
            Content.styled(f"{over}/{len(known)} tokens ≥ {limit:g}, max {number(max(known))}", "$quiet")
        )
    if len(known) < len(texts.tokens):
        entries.append(Content.styled(f"✖ {len(texts.tokens) - len(known)} not finite", "$error"))
    without = len(texts.response) - sum(characters for characters, _ in texts.tokens)
    if without > 0:
        entries.append(Content.styled(f"none kept of the last {without} characters", "$quiet"))
    return Content("\n").join(flowed(entries, width))


def _style(difference: float | None) -> str:
    if difference is None or not isfinite(difference):
        return LEVELS[0][1]
    return next((style for limit, style in LEVELS if abs(difference) >= limit), "")


def _cut(content: Content, length: int) -> Content:
    if length <= MAX_SHOWN:
        return content
    rest = f"\n… {length - MAX_SHOWN} more characters: y copies, e exports all of it"
    return Content.assemble(content, (rest, "$quiet italic"))
