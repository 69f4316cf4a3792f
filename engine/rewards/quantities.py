"""Numbers as people and models write them: separators, currency, fractions, percent, units, light LaTeX.

Exact: values are `Fraction`s, so 2.50 = 2.5 and 1/2 = 0.5, but 0.333 ≠ 1/3.
"""

import collections
import re
import unicodedata
from fractions import Fraction
from typing import NamedTuple

_DASHES = re.compile(r"[\u2010-\u2015\u2212]")
_INVISIBLE = re.compile(r"[\u200b-\u200d\u2060\ufeff]")
_CURRENCY = re.compile(r"\b(?:US|CA|AU|NZ|HK)?[$€£¥₹₩₽]|[$€£¥₹₩₽]")
_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}")
_NUMERIC = r"-?\d[\d,]*(?:\.\d+)?"
_FRAC = re.compile(rf"\\[dtc]?frac\s*(?:\{{\s*({_NUMERIC})\s*\}}\s*\{{\s*({_NUMERIC})\s*\}}|(\d)\s*(\d))")
_LATEX_SPACE = re.compile(r"\\(?:[,;: ]|quad\b|qquad\b)|~")
_CALCULATOR = re.compile(r"<<[^<>]*>>")
_BOLD = re.compile(r"(?<!\d)\*\*|\*\*(?!\d)")
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree\b|°")
_VERBATIM = (
    ("\\$", "$"), ("\\%", "%"), ("\\!", ""), ("{,}", ","), ("\\left", ""), ("\\right", ""),
    ("\\(", " "), ("\\)", " "), ("\\[", " "), ("\\]", " "), ("²", "^2"), ("³", "^3"),
)  # fmt: skip
_VULGAR_FRACTION = re.compile(r"[¼-¾⅐-⅞]")

_INTEGER = r"(?>\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?:\ \d{3})+(?!\d)|\d+)"
_DECIMAL = rf"(?:{_INTEGER}(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{{1,2}}(?![\d.]))?"
_MAGNITUDE = r"(?:\s*(?P<percent>%|percent\b)|\s*(?P<scale>thousand|million|billion|trillion)\b)?"
_MIXED = r"(?P<whole>\d+)\s+(?P<part>\d+)\s*/\s*(?P<whole_den>\d+)"
_NUMBER = rf"(?:{_MIXED}|(?P<num>{_DECIMAL})(?:\s*/\s*(?P<den>{_DECIMAL}))?)"
_GLUED_UNITS = (
    "km/h|km|cm|mm|m|kg|mg|g|hrs|hr|h|secs|sec|s|mins|min|lbs|lb|oz|ft|in|mi|mph|ml|mL|L|l|am|pm|st|nd|rd|th"
    "|GB|MB|TB|kWh|kW|W|yds|yd|¢|C|F"
)
_WORDS = r"[A-Za-z'’./()\s-]*"
_UNIT = (
    rf"(?:(?:(?:{_GLUED_UNITS})(?![A-Za-z])|\s+(?:[A-Za-z'’(-]{{2,}}|(?:{_GLUED_UNITS})(?![A-Za-z])|a\b|/)|(?<=%))"
    rf"{_WORDS}(?:\^\{{?[23]\}}?)?{_WORDS})?"
)
_PREFIX = r"(?:(?:USD|EUR|GBP|INR|Rs\.?)\s*)?"
_QUANTITY = re.compile(rf"{_PREFIX}(?P<sign>[-+]?)\s*{_PREFIX}{_NUMBER}{_MAGNITUDE}(?P<unit>{_UNIT})")
_IN_TEXT = re.compile(
    rf"(?<![\w.^\\])(?<!\^\{{)(?<!\d,)(?:(?<![\w)\]}}%])-)?{_NUMBER}(?!\d|(?:st|nd|rd|th)\b){_MAGNITUDE}"
)
_ALGEBRA = re.compile(r"\b(?:pi|sqrt|and|or|to|plus|minus|over|mod|divided)\b", re.IGNORECASE)
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_MAX_DIGITS = 100


class Quantity(NamedTuple):
    """`values`: the readings of one quantity: "5 million" may answer a question asked in millions."""

    values: frozenset[Fraction]
    percent: bool


def plain(text: str) -> str:
    """`text` without markup that does not change a number.

    LaTeX spacing and text, currency signs, bold, typographic dashes, GSM8K's calculator notes `<<2*3=6>>`.
    """
    if not text.isascii():
        text = _VULGAR_FRACTION.sub(r" \g<0>", text.replace("²", "^2").replace("³", "^3"))
        text = unicodedata.normalize("NFKC", text).replace("⁄", "/")
        text = _INVISIBLE.sub("", _DASHES.sub("-", text))
    if "\\" in text or "°" in text:
        text = _DEGREES.sub(" degrees", text)
        for written, meant in _VERBATIM:
            text = text.replace(written, meant)
        text = _TEXT_COMMAND.sub(r" \1 ", _LATEX_SPACE.sub(" ", text))
        text = _FRAC.sub(lambda m: f" {m[1] or m[3]}/{m[2] or m[4]}", text)
    text = _CALCULATOR.sub("", text) if "<<" in text else text
    return _BOLD.sub("", _CURRENCY.sub("", text.replace("{,}", ",")))


def tidy(text: str) -> str:
    """A plain answer without wrapping and final punctuation: `(72).` and `{72}` are `72`."""
    text = text.strip(" \t\r\n*_`\"'“”,;:!?").removesuffix(".").strip()
    while (
        len(text) > 1 and (text[0] + text[-1]) in ("()", "{}", "[]") and not set(text[1:-1]) & set("()[]{},")
    ):
        text = text[1:-1].strip()
    return text


def quantity(text: str) -> Quantity | None:
    """The quantity that the whole of a tidied plain text states, `None` if it is anything else."""
    match = _QUANTITY.fullmatch(text)
    if match is None or _ALGEBRA.search(match["unit"]):
        return None
    value = _value(match)
    if value is None:
        return None
    value = -value if match["sign"] == "-" else value
    if match["percent"]:
        return Quantity(frozenset((value, value / 100)), percent=True)
    if match["scale"]:
        return Quantity(frozenset((value, value * _SCALES[match["scale"]])), percent=False)
    return Quantity(frozenset((value,)), percent=False)


def same_quantity(a: Quantity, b: Quantity) -> bool:
    """Whether a reading of one equals a reading of the other; two percentages compare as percentages."""
    if a.percent and b.percent:
        return max(a.values, key=abs) == max(b.values, key=abs)
    return not a.values.isdisjoint(b.values)


def leading_number(text: str) -> str | None:
    """The number that a plain text starts with, if it does."""
    match = _QUANTITY.match(text)
    return text[: match.start("unit")].strip() if match else None


def last_number(text: str) -> str | None:
    """The last number in a plain text, with its sign, fraction, percent and magnitude."""
    last = collections.deque(_IN_TEXT.finditer(text), maxlen=1)
    return last[0][0].strip() if last else None


def _value(match: re.Match[str]) -> Fraction | None:
    """The unsigned value of a match; `None` when it is a division by zero or absurdly long."""
    if match.end() - match.start() > _MAX_DIGITS and sum(c.isdigit() for c in match[0]) > _MAX_DIGITS:
        return None
    try:
        if match["whole"]:
            return int(match["whole"]) + Fraction(int(match["part"]), int(match["whole_den"]))
        return _decimal(match["num"]) / _decimal(match["den"] or "1")
    except ZeroDivisionError:
        return None


def _decimal(text: str) -> Fraction:
    return Fraction(text.replace(",", "").replace(" ", "").removesuffix("."))
