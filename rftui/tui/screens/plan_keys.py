"""The keys of the plan screen and of its launch dialog."""

from rftui.tui.keys import Key

PLAN_KEYS = (
    Key("enter", "edit", "edit", "edit the value; enter keeps it, esc leaves it as it was", priority=True),
    Key(
        "space",
        "pin",
        "pin",
        "keep the planner's choice as it is, or let go of your value again",
        footer=False,
    ),
    Key(
        "u",
        "revert",
        "revert",
        "back to the planner's choice, the preset's value or the default",
        footer=False,
    ),
    Key("f", "fix", "fix", "apply the fix marked `f ▸`: of the finding chosen, or of this parameter"),
    Key("n", "next_error", "next error", "go to the next parameter with an error or a warning", footer=False),
    Key("L", "launch", "launch", "start the run", shown="L"),
    Key(
        "slash",
        "filter",
        "filter",
        "only parameters with these words in name, help, value, origin",
        shown="/",
        priority=True,
    ),
    Key("v", "command", "command", "the exact command, with its environment; again to go back", footer=False),
    Key(
        "G", "machine", "machine", "plan for a described machine, such as 8xA100-80", shown="G", footer=False
    ),
    Key("tab", "pane(1)", "pane", "next pane: form, memory, findings, machine, command"),
    Key("shift+tab", "pane(-1)", "previous pane", "previous pane", footer=False),
    Key("left", "cycle(-1)", "previous value", "previous of the values there are", footer=False),
    Key("right", "cycle(1)", "next value", "next of the values there are", footer=False),
    Key("left_square_bracket", "section(-1)", "section", "previous section", shown="[", footer=False),
    Key("right_square_bracket", "section(1)", "section", "next section", shown="]", footer=False),
    Key("c", "changed", "changed", "only parameters that preset, planner or you have set", footer=False),
    Key("A", "as_is", "as is", "let the planner choose nothing, or again", shown="A", footer=False),
    Key("w", "write", "write", "write exactly what would run as YAML", footer=False),
    Key("ctrl+s", "save", "save preset", "keep what was given as a preset of your own", footer=False),
    Key("y", "copy", "copy", "copy the `rft launch` command", footer=False),
    Key("Y", "copy_ranks", "copy torchrun", "copy the torchrun command with its environment", footer=False),
    Key("o", "presets", "presets", "plan another preset or file", footer=False),
    Key("r", "look", "look again", "read the preset and look at this machine again", footer=False),
    Key("escape", "back", "back", "out of filter and panes, back to the form", shown="esc", footer=False),
)

LAUNCH_KEYS = (
    Key("e", "edit", "edit", "back to the form, after a failure"),
    Key("r", "retry", "retry", "launch the same again, after a failure"),
    Key("l", "logs", "logs", "the logs of this run"),
    Key("f", "fix", "apply fix", "change the settings as the diagnosis of a failure proposes"),
    Key("escape", "leave", "leave", "leave: what has not begun is cancelled, a run goes on", shown="esc"),
)
