"""Takes secrets, and the user's home folder, out of text that is shown or pasted into a bug report."""

import re

SECRET_NAME = re.compile(r"secret|token|api|key|access|passw|credential|auth", re.IGNORECASE)
"""Of variables, settings and options; rather one too many."""
HARMLESS = re.compile(
    r"TOKENIZERS_PARALLELISM|_PARALLELISM$|max_tokens|_tokens$|input_key|label_key|images_key|reference_key",
    re.IGNORECASE,
)
_KEY = (
    r"\b(?:hf|sk|pk|ghp|gho|ghs|github_pat|glpat|xox[abp]|wandb_v\d|nvapi|rpa|key|pat)[_-][A-Za-z0-9_-]{8,}"
    r"|\bAKIA[A-Z0-9]{12,}"
    r"|\beyJ[\w-]{10,}\.[\w-]+(?:\.[\w-]+)?"
)
"""Keys of hubs, trackers and clouds, by how they begin."""
_CERTAIN = re.compile(_KEY.replace("|key|pat)", ")") + r"|(?<=[Bb]earer )\S{8,}")
_LIKE_A_KEY = re.compile(_KEY + r"|\b(?=[A-Za-z0-9+]*\d)(?=[A-Za-z0-9+]*[A-Za-z])[A-Za-z0-9+]{32,}={0,2}")
"""Keys, and long runs of letters and digits, which may be some."""
_PASSWORD_IN_URL = re.compile(r"(\w+://)[^\s/@:]*:[^\s/@]+@")
_OPTION = re.compile(r"(--?[\w.-]+)(=|\s+(?!-))(\"[^\"]*\"|'[^']*'|\S+)")
_ASSIGNED = re.compile(r"\b([\w.]+)(=)(\"[^\"]*\"|'[^']*'|\S+)")
HIDDEN = "<hidden>"


def redacted(text: str, home: str) -> str:
    """Text with the values of secret-named options and assignments, and whatever looks like a key, hidden."""
    text = _OPTION.sub(_hide_value, _ASSIGNED.sub(_hide_value, text))
    text = _LIKE_A_KEY.sub(HIDDEN, _PASSWORD_IN_URL.sub(rf"\1{HIDDEN}@", text))
    return re.sub(rf"{re.escape(home.rstrip('/'))}(?=/|\b)", "~", text) if len(home) > 1 else text


def without_keys(text: str) -> str:
    """A line of a log without what is certainly a key or a password; names of symbols and hashes stay."""
    return _CERTAIN.sub(HIDDEN, _PASSWORD_IN_URL.sub(rf"\1{HIDDEN}@", text))


def redacted_variable(name: str, value: str, home: str) -> str:
    """The value of an environment variable, hidden where the name says that it is secret."""
    return HIDDEN if is_secret(name) else redacted(value, home)


def is_secret(name: str) -> bool:
    """Whether a name says that its value is to be kept secret."""
    return bool(SECRET_NAME.search(name)) and not HARMLESS.search(name.replace("-", "_"))


def _hide_value(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}{HIDDEN}" if is_secret(match[1]) else match[0]
