"""Launch scripts are followed as Bash would, without running anything."""

import shutil
import subprocess

import pytest

from diagnostics.rules.shell.script import Command, Script, parse_script


def commands(text: str) -> list[list[str]]:
    """The arguments of each command."""
    return [command.texts() for command in parse_script(text).commands]


def only(text: str) -> Command:
    found = parse_script(text).commands
    assert len(found) == 1, found
    return found[0]


def arguments(text: str) -> list[str]:
    """What `x …` is given at the end of a script."""
    return [command.texts()[1:] for command in parse_script(text).commands if command.texts()[0] == "x"][-1]


def as_bash_does(script: str) -> list[str]:
    """The arguments of the last `x` as Bash itself gives them."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no Bash to compare with")
    shown = "x() { printf '%s\\036' \"$@\"; printf '\\035'; }\n"
    done = subprocess.run([bash, "-c", f"{shown}{script}"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\035")[-2].split("\036")[:-1]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ('A=1\nx $A "${A}b" \'$A\'', ["1", "1b", "$A"]),
        ("A='a b'\nx $A \"$A\"", ["a", "b", "a b"]),
        ("x ${N:-8} ${N-9} ${N:+set}", ["8", "9"]),
        ("N=4\nx ${N:-8} ${N:+set}", ["4", "set"]),
        (': "${DIR:=/data}"\nx $DIR', ["/data"]),
        ("A=3 B=4\nx $((A * (B + 1))) $(( A**2 % 5 )) $((B > A ? 10 : 20))", ["15", "4", "10"]),
        ("A=7\nx $((A / 2)) $((-A / 2))", ["3", "-3"]),
        ("M=a/b/model.bin\nx ${M##*/} ${M%.*} ${M#*/} ${M/b/c} ${#M}", [
            "model.bin", "a/b/model", "b/model.bin", "a/c/model.bin", "13",
        ]),
        ("A=Qwen\nx ${A,,} ${A^^} ${A:1:2}", ["qwen", "QWEN", "we"]),
        ('A=(--a 1 # note\n  "b c")\nA+=(--d)\nx "${A[@]}" ${#A[@]}', ["--a", "1", "b c", "--d", "4"]),
        ("A=()\nx \"${A[@]}\" end", ["end"]),
        ("x a \\\n  b \\\n  c", ["a", "b", "c"]),
        ("x --a 1 # --b 2", ["--a", "1"]),
        ("x --a 1 2>&1 | cat", ["--a", "1"]),
        ("x 2>&1 --a --b", ["--a", "--b"]),
        ("X='--a 1'\nX=\"$X --b 2\"\nx $X", ["--a", "1", "--b", "2"]),
        ("x $'a\\nb' a\\ b", ["a\nb", "a b"]),
        ("x \"a\\\"b\" '{\"k\": \"v\"}'", ['a"b', '{"k": "v"}']),
        ("((A = 2 * 4))\nx $A", ["8"]),
        ("f() { x \"$1\" $2 \"$@\"; }\nf a b", ["a", "b", "a", "b"]),
        ("f() { shift; x \"$@\"; }\nf a b c", ["b", "c"]),
        ("f() { x end \"$@\"; }\nf", ["end"]),
    ],
)  # fmt: skip
def test_words_are_those_that_bash_makes(script: str, expected: list[str]) -> None:
    assert arguments(script) == expected
    assert as_bash_does(script) == expected


def test_what_the_file_does_not_say_stays_as_written() -> None:
    command = only("x --n $(nvidia-smi -L | wc -l) --m $MODEL/7b `nproc` $1")
    assert command.texts() == ["x", "--n", "$(nvidia-smi -L | wc -l)", "--m", "$MODEL/7b", "`nproc`", "$1"]
    assert [word.unknown for word in command.argv] == [
        (), (), ("$(nvidia-smi -L | wc -l)",), (), ("$MODEL",), ("`nproc`",), ("$1",),
    ]  # fmt: skip


def test_arithmetic_on_what_is_not_known_is_not_known() -> None:
    word = only("x $((GPUS * 2))").argv[1]
    assert word.text == "$((GPUS * 2))" and word.unknown == ("$((GPUS * 2))",)


def test_division_by_zero_and_huge_powers_are_not_known() -> None:
    assert [bool(word.unknown) for word in only("x $((1 / 0)) $((2 ** 999999999))").argv] == [
        False,
        True,
        True,
    ]


def test_lines_are_those_where_the_text_stands() -> None:
    script = 'N=8\nARGS=(\n  --lr 1e-6\n)\nx \\\n  --n $N \\\n  "${ARGS[@]}"\n'
    assert [(word.text, word.line) for word in only(script).argv] == [
        ("x", 5), ("--n", 6), ("8", 1), ("--lr", 3), ("1e-6", 3),
    ]  # fmt: skip


def test_a_heredoc_read_into_a_variable_keeps_its_lines() -> None:
    script = "N=2\nread -r -d '' args <<EOF\nmodule \\\n  --n $N \\\n  --last\nEOF\nx --module $args\n"
    assert [(word.text, word.line) for word in only(script).argv] == [
        ("x", 7), ("--module", 7), ("module", 3), ("--n", 4), ("2", 1), ("--last", 5),
    ]  # fmt: skip


def test_exports_and_variables_in_front_reach_the_command() -> None:
    found = parse_script("A=1\nexport B=2 A\nC=3\nexport -n B\nD=4 x y\nz\n").commands
    assert {name: word.text for name, word in found[0].environ.items()} == {"A": "1", "D": "4"}
    assert {name: (word.text, word.line) for name, word in found[1].environ.items()} == {"A": ("1", 1)}


def test_a_subshell_keeps_its_variables_to_itself() -> None:
    assert arguments("A=1\n(A=2; x $A)\nx $A") == ["1"]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('[ "$A" == "1" ]', "yes"),
        ("[[ $A != 1 ]]", "no"),
        ('[ -z "${B:-}" ]', "yes"),
        ('[[ -n "$A" && $A -ge 1 ]]', "yes"),
        ("(( A > 3 ))", "no"),
        ('[ ! -z "$A" ]', "yes"),
        ("[[ $A == 1* || $A == 7 ]]", "yes"),
    ],
)
def test_conditions_that_the_file_decides(condition: str, expected: str) -> None:
    word = only(f"A=1\nif {condition}; then R=yes; else R=no; fi\nx $R").argv[1]
    assert (word.text, word.depends) == (expected, ())


def test_conditions_of_the_machine_are_told() -> None:
    word = only('if [ "$CLUSTER" == "h200" ]; then M=8; else M=4; fi\nx $M').argv[1]
    assert word.text == "8" and word.depends == ('M is "8" or "4", by the condition in line 1',)
    word = only('if [ -z "$M" ]; then\n M=8\nfi\nx $M').argv[1]
    assert word.depends == ('M is "8" or what the environment gives, by the condition in line 1',)


def test_a_key_is_not_shown_where_it_depends() -> None:
    word = only("if [ -f x ]; then HF_TOKEN=hf_secret1; else HF_TOKEN=hf_secret2; fi\nx $HF_TOKEN").argv[1]
    assert word.depends and "secret" not in word.depends[0]


def test_all_branches_are_read() -> None:
    assert commands("if [ $RANK == 0 ]; then x head; else x worker; fi") == [["x", "head"], ["x", "worker"]]
    assert commands("case $1 in\n a) x a;;\n b|c) x b;;\nesac") == [["x", "a"], ["x", "b"]]
    assert commands("[ -f y ] && x one\n[ -f y ] || x two") == [["x", "one"], ["x", "two"]]


def test_a_loop_is_read_once_and_says_so() -> None:
    word = only("for n in 8 16; do x $n; done").argv[1]
    assert word.text == "8" and word.depends == ("n takes 2 values in the loop in line 1",)


def test_scripts_in_words_are_read_with_their_lines() -> None:
    script = 'N=4\nsrun -w a bash -c \\\n"cd /y \\\n && x \'{\\"a\\": 1}\' --n $N \\\n   --last"\n'
    assert [(word.text, word.line) for word in only(script).argv] == [
        ("x", 4), ('{"a": 1}', 4), ("--n", 4), ("4", 4), ("--last", 5),
    ]  # fmt: skip
    assert commands('CMD="x --a 1"\neval "$CMD --b"') == [["x", "--a", "1", "--b"]]
    assert commands("sbatch <<'EOF'\nx --n $N\nEOF") == [["x", "--n", "$N"]]


def test_a_heredoc_that_is_written_is_not_run() -> None:
    assert commands("cat > run.sh <<EOF\nx --n 1\nEOF") == [["cat"]]


def test_comments_and_spaces_that_cut_a_command_are_found_and_read_over() -> None:
    script = parse_script("x \\\n  --a 1 \\\n  # a comment\n  # another\n  --b 2 \\ \n  --c 3\n")
    assert [command.texts() for command in script.commands] == [["x", "--a", "1", "--b", "2", "--c", "3"]]
    assert [(problem.id, problem.line) for problem in script.problems] == [
        ("shell.broken-continuation", 3),
        ("shell.broken-continuation", 5),
    ]
    assert "lines 3, 4" in script.problems[0].cause


@pytest.mark.parametrize(
    "script",
    ["A=(\n --a 1 \\\n # fine in an array\n --b\n)\n", "x --a \\\n# the end\n\ny --b\n", "x a\\ b\n"],
)
def test_comments_that_cut_nothing_are_no_problem(script: str) -> None:
    assert parse_script(script).problems == ()


def test_what_is_no_shell_is_told_and_the_rest_read() -> None:
    script = parse_script("x --a 1\nif [ ; then\ny --b 2\n")
    assert [problem.id for problem in script.problems][:1] == ["shell.syntax"]
    assert ["x", "--a", "1"] in [command.texts() for command in script.commands]


def test_sourced_files_are_named() -> None:
    assert parse_script("source env.sh\n. ./b.sh\nx").sourced == ("env.sh", "./b.sh")


@pytest.mark.parametrize(
    "script",
    [
        "f() { f; }\nf",
        "A=a\n" + "A=$A$A\n" * 60 + "x $A",
        "eval \"eval 'eval x'\"",
        "x " + "$(" * 300,
        "x ${A" + "{" * 300,
        "((((((\n",
        "case in esac\nfor in do\n",
        "x <<EOF\nnever ended",
        "\x01\x02 $'\\x' ${!A} ${A[@]:1:2} ${A@Q} ${*}",
    ],
)
def test_strange_scripts_end(script: str) -> None:
    assert isinstance(parse_script(script), Script)


def test_set_a_exports_what_follows() -> None:
    command = only("A=1\nset -a\nB=2\nif true; then C=3; fi\nx")
    assert {name: word.text for name, word in command.environ.items()} == {"B": "2", "C": "3"}
