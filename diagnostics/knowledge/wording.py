"""What a diagnosis says in words: title, meaning and fixes of a cause, with the numbers of the log."""

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from diagnostics.knowledge.diagnosis import UNKNOWN
from diagnostics.knowledge.load import Knowledge
from diagnostics.knowledge.schema import Cause, Remedy, Text
from engine.findings import Fix

Lang = Literal["en", "zh"]
_NAME = re.compile(r"\{(\w+)\}")


class Words(NamedTuple):
    """Of one cause, in one language."""

    title: str
    meaning: str
    fixes: tuple[Fix, ...]


def described(
    cause: str, about: str, known: Knowledge, numbers: Mapping[str, str], ids: set[str], lang: Lang
) -> Words:
    """Words for a cause; `ids` are the signatures that told of it, `about` the kind of an unknown one."""
    told = UNKNOWNS[about] if cause == UNKNOWN else known.causes.get(cause)
    if told is None:
        return Words(cause, "", ())
    fixes = [
        Fix(text=filled, set=dict(remedy.set), command=fill(remedy.command, numbers) or "")
        for remedy in told.remedies
        if _applies(remedy, ids) and (filled := fill(said(remedy.text, lang), numbers)) is not None
    ]
    title, meaning = said(told.title, lang), said(told.meaning, lang)
    return Words(fill(title, numbers) or title, fill(meaning, numbers) or meaning, tuple(fixes))


def said(text: Text, lang: Lang) -> str:
    """A text in one language."""
    return text.zh if lang == "zh" else text.en


def fill(text: str, numbers: Mapping[str, str]) -> str | None:
    """Text with numbers in the places of their names; None where one was not found."""
    if any(name not in numbers for name in _NAME.findall(text)):
        return None
    return _NAME.sub(lambda found: numbers[found[1]], text)


def _applies(remedy: Remedy, ids: set[str]) -> bool:
    return not remedy.when or bool(ids & set(remedy.when.split()))


def _unknown(title: Text, meaning: Text, *remedies: Text) -> Cause:
    return Cause(title, meaning, tuple(Remedy(text) for text in remedies))


UNKNOWNS = {
    "exception": _unknown(
        Text("an exception that is not known", "未收录的异常"),
        Text(
            "The evidence is the first exception of the earliest process that failed; what comes after it in "
            "the log may follow from it.",
            "证据是最早失败的进程的第一个异常；日志中之后的内容可能由它引起。",
        ),
        Text(
            "Read the traceback above that line: its last frame in your own code is where to begin. Search "
            "the library's issues for the message.",
            "阅读该行上方的回溯：其中最后一个属于您自己代码的栈帧是排查起点；并用该消息搜索相应库的 issue。",
        ),
    ),
    "error": _unknown(
        Text("an error that is not known", "未收录的错误"),
        Text(
            "The log has no exception; the evidence is its first error after which nothing went on.",
            "日志中没有异常；证据是第一条之后再无进展的错误行。",
        ),
        Text(
            "Read the lines before it, and the logs of the other processes at the same time.",
            "查看该行之前的内容，以及其他进程同一时间的日志。",
        ),
    ),
    "hang": _unknown(
        Text("a hang outside of collectives", "集合通信之外的挂起"),
        Text("All recorded collectives are over.", "所有记录的集合通信都已完成。"),
        Text(
            "Look at the stacks of all ranks while it hangs: py-spy dump --pid PID.",
            "挂起时查看所有 rank 的调用栈：py-spy dump --pid PID。",
        ),
    ),
    "native-crash": _unknown(
        Text("a crash in native code", "原生代码崩溃"),
        Text(
            "A process ended by SIGSEGV or SIGILL: a library outside Python crashed.",
            "进程因 SIGSEGV 或 SIGILL 结束：Python 之外的库崩溃了。",
        ),
        Text(
            "Run again with PYTHONFAULTHANDLER=1: the crash then prints the Python stack that led to it.",
            "设置 PYTHONFAULTHANDLER=1 重新运行：崩溃时会打印导致崩溃的 Python 栈。",
        ),
    ),
    "time-limit": _unknown(
        Text("a time limit ended the run", "运行因时间限制被终止"),
        Text(
            "Exit code 124 is that of `timeout` and of schedulers whose time limit is over.",
            "退出码 124 表示 `timeout` 或调度器的时间限制已到。",
        ),
        Text(
            "Raise the time limit of the job, or save checkpoints more often and resume.",
            "提高作业的时间限制，或更频繁地保存检查点后恢复运行。",
        ),
    ),
}
