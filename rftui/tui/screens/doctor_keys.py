"""The keys of the doctor's screen."""

from rftui.tui.keys import Key

DOCTOR_KEYS = (
    Key("r", "again", "again", "run the chosen check once more"),
    Key("R", "all_again", "all", "run all of them once more", shown="R", footer=False),
    Key("f", "fix", "fix", "do what is safe about it: shows the command and asks first"),
    Key("y", "copy", "copy", "copy the command that mends it"),
    Key("n", "next_wrong", "next", "go to the next check that is not well", footer=False),
    Key("i", "ignore", "ignore", "ignore what it says, with a reason; again to show it", footer=False),
    Key("a", "deep", "deep", "also import packages, in child processes: up to a minute"),
    Key("A", "active", "active", "also use GPUs and network: all-reduce; asks first", shown="A"),
    Key(
        "slash",
        "filter",
        "filter",
        "only checks with these words in id, title, word or finding",
        shown="/",
        priority=True,
    ),
    Key("e", "export", "report", "write the report as `rft doctor --report`, without secrets", footer=False),
    Key(
        "c", "subject", "for", "check for the open run, the open preset, or this machine alone", footer=False
    ),
    Key("tab", "app.focus_next", "next pane", "from the checks to the details and back", footer=False),
    Key("escape", "back", "back", "out of the filter, else home", shown="esc", footer=False),
)
