"""A training command with its launchers taken off: torchrun, deepspeed, accelerate, `ray job submit`, …"""

import json
from collections.abc import Sequence
from pathlib import PurePosixPath

import msgspec

from diagnostics.rules.foreign import Setting
from diagnostics.rules.secrets import hidden
from diagnostics.rules.shell.script import Command
from diagnostics.rules.shell.values import Word


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What is run and how.

    `program`: a module (`verl.trainer.main_ppo`), a script (`examples/gsm8k/train_colocate.py`), or a tool
    with its verb (`trl grpo`). `arguments`: the program's own. `options`: the launchers', without dashes and
    with `_`. `ranks`: processes on all machines; None where no launcher says it, or where what it says is
    not in the file. Values that are not in the file stay as they are written, `$N`.
    """

    program: str
    arguments: tuple[Word, ...]
    environ: dict[str, Word]
    line: int
    launcher: str = ""
    options: dict[str, Word] = {}
    ranks: int | None = None
    nodes: int | None = None


_WRAPPERS = {
    "nohup": (),
    "exec": (),
    "time": (),
    "sudo": ("-u", "-g"),
    "env": ("-u", "-C"),
    "nice": ("-n",),
    "stdbuf": (),
    "numactl": (),
    "timeout": ("-s", "-k"),
    "srun": ("-N", "-n", "-p", "-w", "-c", "-t", "-J", "-A"),
    "uv": (),
    "run": (),
    "conda": (),
    "command": (),
}
"""Programs that run another one, and those of their short options that take a value."""
_LAUNCHERS = (
    "torchrun",
    "deepspeed",
    "accelerate",
    "mpirun",
    "torch.distributed.run",
    "torch.distributed.launch",
)
_FLAGS = {
    "torchrun": {"standalone", "no_python", "m", "module"},
    "deepspeed": {"module", "no_python", "no_local_rank", "force_multi", "no_ssh"},
    "accelerate": {
        "multi_gpu", "cpu", "use_deepspeed", "use_fsdp", "use_megatron_lm", "tpu", "quiet", "m", "module",
        "no_python", "debug", "same_network", "main_process",
    },
}  # fmt: skip
"""Options of the launchers that take no value."""
_TOOLS = ("trl", "trinity", "swift", "llamafactory-cli", "rft", "rftui")
_MOST_RANKS = 1_000_000


def launch_of(command: Command) -> Launch | None:
    """The program that a command runs in the end, None where it runs none that is understood as one."""
    words = list(command.argv)
    environ = dict(command.environ)
    launcher = ""
    options: dict[str, Word] = {}
    while words:
        name = PurePosixPath(words[0].text).name
        if name == "env":
            words = _after_env(words[1:], environ)
        elif name == "ray":
            words = _after_ray(words, environ)
        elif name in _WRAPPERS:
            words = _after_wrapper(words, _WRAPPERS[name])
        elif name in _LAUNCHERS:
            launcher = name
            words, options = _after_launcher(words, name)
        elif name.startswith("python"):
            words, module = _after_python(words)
            if module in _LAUNCHERS or module.startswith("accelerate"):
                launcher = "torchrun" if module.startswith("torch") else module.partition(".")[0]
                words, options = _after_launcher(words, launcher)
        else:
            break
    if not words:
        return None
    program, rest = words[0].text, words[1:]
    if PurePosixPath(program).name in _TOOLS and rest:
        program, rest = f"{PurePosixPath(program).name} {rest[0].text}", rest[1:]
    nodes, ranks = _sizes(launcher, options)
    return Launch(
        program=program,
        arguments=tuple(rest),
        environ=environ,
        line=command.line,
        launcher=launcher,
        options=options,
        ranks=ranks,
        nodes=nodes,
    )


def whole(word: Word | None) -> int | None:
    """A word as a whole number, None where it is none or not known."""
    if word is None or word.unknown or not word.text.isdigit():
        return None
    number = int(word.text)
    return number if number <= _MOST_RANKS else None


def _after_env(words: list[Word], environ: dict[str, Word]) -> list[Word]:
    while words and ("=" in words[0].text or words[0].text.startswith("-")):
        name, equals, value = words[0].text.partition("=")
        if equals:
            environ[name] = Word(value, words[0].line, words[0].unknown, words[0].depends)
        words = words[1:]
    return words


def _after_wrapper(words: list[Word], valued: Sequence[str]) -> list[Word]:
    name = words[0].text
    words = words[1:]
    while words and words[0].text.startswith("-"):
        words = words[2:] if words[0].text in valued else words[1:]
    return words[1:] if name == "timeout" else words


def _after_ray(words: list[Word], environ: dict[str, Word]) -> list[Word]:
    """What `ray job submit … -- COMMAND` runs; its `--runtime-env-json` sets variables too."""
    texts = [word.text for word in words]
    if texts[1:3] != ["job", "submit"]:
        return []
    for index, text in enumerate(texts):
        name, equals, value = text.partition("=")
        if name == "--runtime-env-json":
            word = words[index] if equals else words[min(index + 1, len(words) - 1)]
            _add_runtime_env(value if equals else word.text, word, environ)
    return words[texts.index("--") + 1 :] if "--" in texts else []


def _add_runtime_env(text: str, word: Word, environ: dict[str, Word]) -> None:
    try:
        variables = json.loads(text).get("env_vars", {})
        pairs = [(str(name), str(value)) for name, value in variables.items()]
    except (ValueError, AttributeError):
        return
    for name, value in pairs:
        environ[name] = Word(value, word.line, tuple(part for part in word.unknown if part in value))


def _after_python(words: list[Word]) -> tuple[list[Word], str]:
    """What follows the interpreter's own options, and the module if `-m` names one."""
    words = words[1:]
    while words and words[0].text.startswith("-") and words[0].text != "-m":
        if words[0].text in ("-c", "-"):
            return [], ""
        words = words[2:] if words[0].text in ("-X", "-W") else words[1:]
    if words and words[0].text == "-m":
        return words[1:], words[1].text if len(words) > 1 else ""
    return words, ""


def _after_launcher(words: list[Word], launcher: str) -> tuple[list[Word], dict[str, Word]]:
    """What a launcher runs, and the launcher's options."""
    options: dict[str, Word] = {}
    flags = _FLAGS.get(launcher, _FLAGS["torchrun"])
    words = words[1:]
    if launcher == "accelerate":
        words = words[1:]
    while words and words[0].text.startswith("-"):
        first = words[0]
        name, equals, value = first.text.lstrip("-").partition("=")
        name = name.replace("-", "_")
        words = words[1:]
        if equals:
            options[name] = Word(value, first.line, first.unknown, first.depends)
        elif name in flags or not words:
            options[name] = Word("true", first.line)
        else:
            options[name], words = words[0], words[1:]
    return words, options


def _sizes(launcher: str, options: dict[str, Word]) -> tuple[int | None, int | None]:
    """Nodes, and processes on all of them."""
    if launcher == "accelerate":
        ranks = whole(options.get("num_processes"))
        nodes = whole(options.get("num_machines")) if "num_machines" in options else 1
        return (nodes, ranks) if ranks is not None or "num_machines" in options else (None, None)
    if not launcher or launcher == "mpirun":
        return None, None
    nodes_word = options.get("nnodes", options.get("num_nodes"))
    nodes = whole(nodes_word) if nodes_word is not None else 1
    each_word = options.get("nproc_per_node", options.get("num_gpus"))
    each = whole(each_word)
    if launcher == "deepspeed" and each_word is None:
        each = _included(options.get("include"))
    elif launcher != "deepspeed" and each_word is None:
        each = 1
    return nodes, None if nodes is None or each is None else nodes * each


def _included(word: Word | None) -> int | None:
    """Cards that `--include localhost:0,1` names."""
    if word is None or word.unknown or ":" not in word.text or "@" in word.text:
        return None
    return len(word.text.partition(":")[2].split(","))


def environ_of(launch: Launch) -> dict[str, Setting]:
    """The variables that the program starts with, as far as the file sets them; keys are hidden."""
    return {name: Setting(hidden(name, word.text), word.line) for name, word in launch.environ.items()}
