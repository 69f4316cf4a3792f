"""Keys and tokens written in a configuration: told of by name, never shown."""

import re

from diagnostics.redact import HIDDEN

_NAME = re.compile(
    r"secret|(^|[_.])token$|api_?key|access_?key|password|passwd|credential|wandb[._]key|use_wandb", re.I
)
_PLACEHOLDER = re.compile(
    r"your|xxx|<.*>|\{.*\}|\*\*\*|\.\.\.|^(none|null|true|false|online|offline|disabled|0|1)$", re.I
)
_SHORTEST = 8


def is_secret_name(name: str) -> bool:
    """True for a variable or option that holds a key: `WANDB_API_KEY`, `HF_TOKEN`, `use_wandb`."""
    return _NAME.search(name) is not None


def hidden(name: str, text: str) -> str:
    """`text`, or `HIDDEN` where it is a key written out; a placeholder or a variable is none."""
    literal = len(text) >= _SHORTEST and "$" not in text and not _PLACEHOLDER.search(text)
    return HIDDEN if literal and is_secret_name(name) else text
