"""What a chart shows, as data: the curve of a metric over a stretch, and those of other runs beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from rftui.runs.series import Bucket
from rftui.tui.axis import AxisName
from rftui.tui.axis import Span as XSpan

Hue = Literal["hue-1", "hue-2", "hue-3", "hue-4", "hue-5", "hue-6"]
"""A colour of the theme that tells runs apart."""
HUE_NAMES: tuple[Hue, ...] = get_args(Hue)
Role = Literal[
    "frame",
    "title",
    "value",
    "label",
    "grid",
    "line",
    "raw",
    "behind",
    "point",
    "gap",
    "note",
    "blank",
    "cursor",
    Hue,
]


class Span(NamedTuple):
    """A piece of a row in one style."""

    text: str
    role: Role


Row = list[Span]


class Line(NamedTuple):
    """The curve of another run: in the colour of its role, with its letter on it for eyes without colours."""

    letter: str
    role: Literal["behind"] | Hue
    buckets: Sequence[Bucket]
    columns: int


@dataclass(frozen=True, slots=True)
class Plot:
    """What a chart shows: `buckets` of `columns` columns (best `dot_columns(width)`) over `x` along `axis`.

    `steps` holds the last step of each bucket, `cursor` the x of the crosshair. `log`: the value axis is
    logarithmic, and what is not above zero is not drawn, which the title says.
    `smoothing` is the weight of the moving average drawn before the raw line; 0 draws the raw line alone, and
    so does a chart of few measurements, which marks each. Of `others`, which lie behind, it is drawn alone.
    `aside` stands after the title where there is room, `note` in the middle of an empty chart, `corner` at
    the bottom left.
    """

    title: str
    value: str = ""
    buckets: Sequence[Bucket] = ()
    columns: int = 0
    x: XSpan = (0.0, 0.0)
    smoothing: float = 0.0
    axis: AxisName = "step"
    steps: Sequence[int] = ()
    cursor: float | None = None
    log: bool = False
    note: str = "no data yet"
    corner: str = ""
    aside: str = ""
    others: tuple[Line, ...] = ()
