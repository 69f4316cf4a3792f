"""Terms from fractional bytes."""

from engine.footprint.terms import Term, Where


def term(name: str, amount: float, formula: str, source: str, where: Where = "torch") -> Term:
    """A term of `amount` bytes, rounded; `source` is a section of docs/planner.md."""
    return Term(name, round(amount), formula, source, where)
