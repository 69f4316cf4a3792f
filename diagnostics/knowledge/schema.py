"""What is known about failures, as data: `diagnostics/knowledge/<group>.yaml`, read into these types.

A file has two parts. `causes`: what a cause means and how it is mended. `signatures`: what lines tell of it.
"""

from typing import Literal

import msgspec

Role = Literal["root", "symptom", "cascade", "benign"]
"""`root`: names its cause. `symptom`: names it only where no root does (a sampling error for NaN). `cascade`:
follows from a failure elsewhere. `benign`: nothing is wrong, whatever the words."""


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same in English and Chinese; `{name}` stands for what a pattern's group of that name found."""

    en: str
    zh: str


class Remedy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing to do. Left out where a name in it was not found in the log, or `when` does not hold."""

    text: Text
    command: str = ""
    set: dict[str, str] = {}
    """Settings of rftui to change, for our own runs: key and value, or `smaller` or `larger`."""
    when: str = ""
    """Only for these signatures: ids, separated by spaces."""


class Cause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A slug of the taxonomy. Remedies in the order to try them."""

    title: Text
    meaning: Text
    remedies: tuple[Remedy, ...]
    doc: str = ""


class Nearby(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the lines around decide: another cause, another role, where `pattern` is found near the match.

    `where`: `block` is the match's traceback or contiguous message (lines of the same process up to 80 before
    and 20 after), `process` all lines of the same process, `log` all lines of the log. `frames`: the frames
    of the match's traceback, each written `path/of/file.py:function`; those of one signature are tried
    together, on the innermost frame first, then outwards: the closest frame decides.
    """

    pattern: str
    where: Literal["block", "process", "log", "frames"] = "block"
    cause: str = ""
    role: Role | Literal[""] = ""


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line that tells something. `literal`, or one of `also`, must be in it, in this case; so it is fast.

    `pattern`: a regular expression searched in the line without its prefixes, then in the whole line; named
    groups extract numbers; default the literal. One that holds `\\n` sees the lines of the same process that
    follow, too. Source lines of a traceback (`    raise ValueError("…`) are no messages and never match.
    `raw`: digits of the line matter to the literal or pattern (Xid 79, exit code -9), so it is tried on every
    line, not once per kind of line.
    """

    id: str
    role: Role
    literal: str
    examples: tuple[str, ...]
    counterexamples: tuple[str, ...]
    """Lines that hold something alike and must not match."""
    also: tuple[str, ...] = ()
    """Further literals, for the alternatives of a pattern that do not hold the first."""
    cause: str = ""
    """Slug of the taxonomy; empty for `cascade`, `benign`, and where only something nearby tells it."""
    pattern: str = ""
    raw: bool = False
    needs: str = ""
    """A pattern that must be found in the match's traceback (without one, in the nearest lines), else the
    line tells nothing: a `KeyError` is one of the data only where a data loader is in the traceback."""
    nearby: tuple[Nearby, ...] = ()
    """Tried in order; the first that is found decides."""
    rank: int = 50
    """How specific it is, 0 to 100: of roots of one moment the higher wins; a bare `RuntimeError:` is 10."""
    source: str = ""
    """Where the text comes from: file of a library, or a thread."""


class KnowledgeFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One YAML file."""

    group: str
    causes: dict[str, Cause] = {}
    signatures: tuple[Signature, ...] = ()
