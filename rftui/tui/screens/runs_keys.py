"""The keys of the table of runs."""

from rftui.tui.keys import Key
from rftui.tui.runs_table.query import EXAMPLE, FIELDS, RULE

RUNS_KEYS = (
    Key("enter", "open", "open", "open the run under the cursor"),
    Key("space", "mark", "mark", "mark the run for a comparison, up to 8, or unmark it"),
    Key("c", "compare", "compare", "compare the marked runs: curves, settings that differ, final numbers"),
    Key(
        "slash",
        "filter",
        "filter",
        f"only runs such as {EXAMPLE} NAME; all terms must hold. A term is {RULE}. "
        f"Fields: {', '.join(FIELDS)}. Times as 90s, 30m, 2h, 1d; quote values with spaces.",
        shown="/",
        priority=True,
    ),
    Key("o", "sort", "sort", "sort by the next column; a click on a column's name sorts by it"),
    Key("O", "reverse", "reverse", "the other way round", shown="O", footer=False),
    Key("m", "note", "note", "write a note about the run"),
    Key(
        "number_sign", "tags", "tags", "set the tags of the run, separated by spaces", shown="#", footer=False
    ),
    Key("K", "stop", "stop", "stop the run: after this step, or at once", shown="K"),
    Key("R", "resume", "resume", "continue a run that has ended; says first what that will do", shown="R"),
    Key("e", "write", "write", "the table as it is filtered and sorted, as .csv or .md", footer=False),
    Key("X", "export", "export", "write a checkpoint as a Hugging Face folder", shown="X", footer=False),
    Key("D", "delete", "delete", "delete the run's folder, after its name was typed", shown="D"),
    Key("r", "refresh", "refresh", "read the folder of runs again now", footer=False),
    Key(
        "escape",
        "back",
        "back",
        "out of the filter's field; else clear filter, then marks; else home",
        shown="esc",
        footer=False,
    ),
)
