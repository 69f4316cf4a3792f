"""What is looked for besides the knowledge: exceptions, errors, watchdog timeouts, exit codes, progress."""

import re

from diagnostics.knowledge.matcher import Probe, fold

EXCEPTION = "exception"
ERROR = "error"
WATCHDOG = "watchdog"
EXIT = "exit"
DONE = "done"

_NAME = r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Failure|Timeout|Exit|Assert)"
"""Not KeyboardInterrupt: a run that a person ends did not fail."""
_EXCEPTION = rf"^(?:E +)?(?:{_NAME}|Exception|StopIteration)(?:: .*|:?$)"
_FATAL = (
    r"^(?:Traceback \(most recent call last\)|Fatal Python error|Segmentation fault|Bus error|Aborted|"
    r"terminate called|Killed$|Illegal instruction|.*\(core dumped\)|\*\*\* Process received signal|panic: |"
    r"thread '.*' panicked)"
)
_LEVELLED = r"(?:^|[\[\s|])(?:ERROR|FATAL|CRITICAL)(?:[\]\s:|]|$)|^\[?[EF]\d{3,4} |^\[?E [\w.]+:\d+\]"
_DONE = r"100%\|[^|]*\| (?P<n>\d+)/(?P=n) \[|Final validation metrics|train_runtime|Training completed"


def is_exception(text: str) -> bool:
    """Whether a text without prefixes is the last line of a traceback."""
    return re.match(_EXCEPTION, text) is not None


def _probe(name: str, literals: str, pattern: str) -> Probe:
    return Probe("builtin", name, tuple(literals.split("|")), pattern)


PROBES = (
    _probe(EXCEPTION, "Error|Exception|Failure|Timeout|StopIteration|SystemExit", _EXCEPTION),
    _probe(
        ERROR,
        "ERROR|FATAL|CRITICAL|Traceback (most recent|Fatal Python|Segmentation|Bus error|Aborted|"
        "terminate called|Killed|Illegal inst|core dumped|Process received|panicked|panic: ",
        f"{_FATAL}|{_LEVELLED}",
    ),
    _probe(
        WATCHDOG,
        "SeqNum=|last completed|collective operation timeout",
        r"SeqNum=\d+|last completed|collective operation timeout",
    ),
    _probe(
        EXIT,
        "return code|exitcode|exit code|Exit code|exited with|exit status|Signal |signal ",
        r"(?i)(?:return code|exit ?code|exited with|exit status|signal)\D{0,12}-?\d+",
    ),
    Probe("builtin", DONE, ("100%|", "Final validation", "train_runtime", "Training completed"), _DONE),
)

PROGRESS = tuple(
    fold(text)
    for text in (b"it/s]", b"s/it]", b"step", b"Step", b"'loss'", b"teration", b"tokens/s", b"throughput")
)
"""In folded text: a line of a run that gets on."""
NOT_PROGRESS = re.compile(rb'Error|Excption|Tracback|Fil"|[Ll]oading|Fatal|FATAL|ERROR')
