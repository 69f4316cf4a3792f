"""The frames of the traceback that ends at an exception, and what the closest of them tells."""

import re
from collections.abc import Iterator, Sequence

from diagnostics.knowledge.lines import Line
from diagnostics.knowledge.schema import Nearby

HEADER = "Traceback (most recent call last)"
CHAIN = re.compile(r"The above exception was the direct cause|During handling of the above exception")
FRAME = re.compile(r"""\s*File ["“'](?P<file>[^"”']+)["”'], line \d+(?:, in (?P<function>\S+))?""")
_RICH = re.compile(r"[│|❱ ]*(?P<file>[/~][\w./+-]+\.py):\d+ in (?P<function>[\w<>.]+)")
"""As the package rich draws them."""
_ENVIRONMENT = re.compile(r"""[^"“'\s]*/(?=(?:site|dist)-packages/|lib/python\d)""")
"""Where an environment lies, which tells nothing: names of its folders (`envs`, `verl`) are no packages."""
_CHAIN_REACH = 3
"""Lines before a header in which it is said that an exception follows from another."""


def closest(choices: Sequence[Nearby], block: Sequence[Line], at: int) -> Nearby | None:
    """The choice that the innermost frame decides; of frames that decide nothing, the next one outwards."""
    for frame in _frames(block, at) if choices else ():
        for choice in choices:
            if re.search(choice.pattern, frame):
                return choice
    return None


def _frames(block: Sequence[Line], at: int) -> Iterator[str]:
    """`file:function` of each frame, innermost first, with those of the exceptions it followed from."""
    for number in range(at - 1, -1, -1):
        text = block[number].text
        if found := FRAME.match(text) or _RICH.match(text):
            file = without_environment(found["file"].replace("\\", "/"))
            yield f"{file}:{found['function'] or ''}"
        elif HEADER in text and not is_chained(block, number):
            return


def without_environment(text: str) -> str:
    """A path or a frame's line with what leads to `site-packages` left out."""
    return _ENVIRONMENT.sub("/", text, count=1)


def is_chained(block: Sequence[Line], header: int) -> bool:
    """Whether the traceback whose header stands there follows from another exception."""
    return any(CHAIN.search(line.text) for line in block[max(0, header - _CHAIN_REACH) : header])
