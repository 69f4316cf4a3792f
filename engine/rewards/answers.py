r"""Where the final answer of a response stands.

The last of these that holds an answer: `\boxed{…}`, what follows `####`, `A:`, `Answer:` or "the answer is";
without any, the last number of the text.
"""

import re
from collections.abc import Iterator

from engine.rewards.quantities import last_number, leading_number, plain, quantity, tidy

# Bounds on the work a hostile response can cause: markers looked at, and characters behind each.
_MAX_MARKERS = 50
_MAX_CHARS = 1000

_BOXED = re.compile(r"\\f?boxed\s*")
_MARKER = re.compile(
    r"\#{4,}(?!\#)"
    r"|(?P<label>^[^\w\n]*A\s*:|\b(?i:answer)[*_\s]*:)"
    r"|\b(?i:answer)\b[^.\n:=]{0,60}?\b(?:is|be|was|equals)\b",
    re.MULTILINE,
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
_FILLER = re.compile(
    r"^(?:[\s:=≈*_>]|\\approx\b|\\displaystyle\b|(?:about|approximately|around|exactly|only|just|equal\s+to|thus)\b)+",
    re.IGNORECASE,
)
_BULLET = re.compile(r"^\s*[-*•]\s+")
_HEDGE = re.compile(r"\d.*\bor\b.*\d")
_WORD = re.compile(r"(?<!\\)\b[A-Za-z]{2,}")
_MATHS_START = re.compile(r"[-+(\[{\\]*\s*(?:[\d.]|[A-Za-z]\b|\\?(?:frac|sqrt|pi))")


def final_answer(response: str) -> str | None:
    """The final answer as plain text: a number, an expression or a boxed phrase; `None` if there is none."""
    for answer in _marked(response):
        if answer:
            return answer
    return last_number(plain(response))


def gold_answer(label: object) -> str:
    """The answer a label states: behind its last marker (GSM8K's `#### 72`), else the whole label."""
    text = str(label)
    return next((answer for answer in _marked(text) if answer), None) or tidy(plain(text))


def _marked(text: str) -> Iterator[str | None]:
    """What each marker of `text` introduces, last marker first."""
    markers = sorted([*_MARKER.finditer(text), *_BOXED.finditer(text)], key=lambda m: m.end(), reverse=True)
    for marker in markers[:_MAX_MARKERS]:
        if marker.re is _BOXED:
            yield _reduce(_braced(text, marker.end()), anywhere=True)
        else:
            yield _reduce(
                _segment(text[marker.end() : marker.end() + _MAX_CHARS]), anywhere=bool(marker["label"])
            )


def _braced(text: str, start: int) -> str:
    """The content of the braces that open at `start` (nested ones included), or the bare number there."""
    if text[start : start + 1] != "{":
        return leading_number(text[start : start + 100]) or ""
    depth = 0
    for end in range(start, min(len(text), start + _MAX_CHARS)):
        if text[end - 1] == "\\":
            continue
        depth += (text[end] == "{") - (text[end] == "}")
        if depth == 0:
            return text[start + 1 : end]
    return ""


def _segment(text: str) -> str:
    """The sentence after a marker: on its line, or on the next line that says anything."""
    lines = text.split("\n")
    for i, line in enumerate(lines):
        if any(c.isalnum() for c in line):
            line = plain(_BULLET.sub("", line) if i else line)
            end = _SENTENCE_END.search(line)
            return line[: end.start()] if end else line
    return ""


def _reduce(text: str, anywhere: bool) -> str | None:
    """`text` down to its answer: a quantity, the right side of its last `=`, a pure expression, or a number.

    A number in the middle of words counts only with `anywhere`: "the answer is correct, see step 3" is none.
    Of "72 or 73" neither counts.
    """
    text = tidy(_FILLER.sub("", plain(text)))
    before, equals, after = text.rpartition("=")
    if equals and not before.endswith(("<", ">", "!", "\\")) and tidy(after):
        text = tidy(_FILLER.sub("", after))
    if not text or quantity(text):
        return text or None
    if not _WORD.search(text):
        return text if anywhere or _MATHS_START.match(text) else None
    if _HEDGE.search(text):
        return text
    number = leading_number(text)
    if number or not anywhere:
        return number
    return last_number(text) or text
