"""A line in full: what is JSON or a Python literal in it, set out over several lines."""

import ast
import json

_OPENINGS = "{["


def pretty(line: str) -> str:
    """The text before the first object or list in it, that laid out, and the text after; else the line."""
    for at, char in enumerate(line):
        if char in _OPENINGS:
            laid_out = _laid_out(line[at:])
            if laid_out:
                return "\n".join(part for part in (line[:at].rstrip(), laid_out) if part)
    return line


def _laid_out(text: str) -> str:
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        value, end = _literal(text)
    if not isinstance(value, dict | list) or not value or (isinstance(value, list) and len(text[:end]) < 24):
        return ""
    rest = text[end:].strip()
    return json.dumps(value, indent=2, ensure_ascii=False, default=repr) + (f"\n{rest}" if rest else "")


def _literal(text: str) -> tuple[object, int]:
    """What trainers print when they print a dictionary: `{'loss': 0.1}`."""
    end = max(text.rfind("}"), text.rfind("]")) + 1
    if not 0 < end < 1 << 16:
        return None, 0
    try:
        return ast.literal_eval(text[:end]), end
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None, 0
