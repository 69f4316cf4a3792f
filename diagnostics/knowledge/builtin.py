"""What is looked for besides the knowledge: exceptions, errors, watchdog timeouts, exit codes, progress."""

import re

from diagnostics.knowledge.matcher import Probe, fold

EXCEPTION = "exception"
ERROR = "error"
WATCHDOG = "watchdog"
EXIT = "exit"
DONE = "done"

_NAME = r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Failure|Timeout|Exit|Interrupt|Assert)"
EXCEPTION_LINE = re.compile(
    rf"^(?:E +)?(?P<type>{_NAME}|Exception|AssertionError|StopIteration)(?:: (?P<message>.*)|:?$)"
)

_FATAL = re.compile(
    r"^(?:Fatal Python error|Segmentation fault|Bus error|Aborted|terminate called|Killed$|"
    r"Illegal instruction|.*\(core dumped\)|\*\*\* Process received signal|panic: |thread '.*' panicked)"
)
_LEVELLED = re.compile(
    r"(?:^|[\[\s|])(?:ERROR|FATAL|CRITICAL)(?:[\]\s:|]|$)|^\[?[EF]\d{3,4} |^\[?E [\w.]+:\d+\]"
)

PROBES = (
    Probe("builtin", EXCEPTION, ("Error", "Exception", "Failure", "Timeout"), EXCEPTION_LINE),
    Probe(
        "builtin",
        ERROR,
        (
            "ERROR",
            "FATAL",
            "CRITICAL",
            "Fatal Python",
            "Segmentation",
            "Bus error",
            "Aborted",
            "terminate called",
            "Killed",
            "Illegal inst",
            "core dumped",
            "Process received",
            "panicked",
            "panic: ",
        ),
        re.compile(f"{_FATAL.pattern}|{_LEVELLED.pattern}"),
    ),
    Probe(
        "builtin",
        WATCHDOG,
        ("WorkNCCL(", "last completed", "Watchdog caught", "OpType=", "collective operation timeout"),
        re.compile(r"SeqNum=\d+|last completed|collective operation timeout"),
    ),
    Probe(
        "builtin",
        EXIT,
        (
            "return code",
            "exitcode",
            "exit code",
            "Exit code",
            "exited with",
            "exit status",
            "Signal ",
            "signal ",
        ),
        re.compile(r"(?:return code|exit ?code|exited with|exit status|[Ss]ignal)\D{0,12}-?\d+", re.I),
    ),
    Probe(
        "builtin",
        DONE,
        ("100%|", "Final validation metrics", "train_runtime", "Training completed", "Training finished"),
        re.compile(
            r"100%\|[^|]*\| (?P<n>\d+)/(?P=n) \[|Final validation metrics|'?train_runtime|"
            r"Training (?:completed|finished)",
            re.I,
        ),
    ),
)

PROGRESS = tuple(
    fold(text)
    for text in (b"it/s]", b"s/it]", b"step", b"Step", b"'loss'", b"teration", b"tokens/s", b"throughput")
)
"""In folded text: a line of a run that gets on."""
NOT_PROGRESS = re.compile(rb'Error|Exception|Tracback|Fil"|[Ll]oading|Fatal|FATAL|ERROR')
