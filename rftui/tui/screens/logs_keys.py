"""The keys of the screen of logs."""

from rftui.tui.keys import Key

LOGS_KEYS = (
    Key(
        "slash",
        "ask('search')",
        "search",
        "find text or /a regular expression/ in whole files",
        shown="/",
        priority=True,
    ),
    Key("n", "find(1)", "next", "next match down; past the end on from the beginning"),
    Key("N", "find(-1)", "previous", "next match up", footer=False),
    Key("f", "follow", "follow", "go to the end and follow it"),
    Key("l", "levels", "level", "all lines; errors and warnings; errors"),
    Key("r", "writer(1)", "rank", "lines of all, or of one rank, launcher or supervisor: the next one"),
    Key("R", "writer(-1)", "rank before", "the one before", footer=False),
    Key(
        "i",
        "ask('include')",
        "only",
        "show only lines that have this text or /regular expression/",
        priority=True,
    ),
    Key(
        "x",
        "ask('exclude')",
        "without",
        "hide lines that have this text or /regular expression/",
        footer=False,
        priority=True,
    ),
    Key(
        "g", "ask('time')", "go to", "a time, a stretch of time, a share, a line", footer=False, priority=True
    ),
    Key(
        "enter",
        "open",
        "open",
        "unfold a traceback of several ranks; else the whole line, JSON set out",
        footer=False,
    ),
    Key("end", "follow", "follow", "the same", footer=False),
    Key("o", "pager", "pager", "this log in $PAGER, at this line", footer=False),
    Key("y", "copy", "copy", "copy the line", footer=False),
    Key("c", "collapse", "fold", "the same traceback of several ranks as one line, or each", footer=False),
    Key("w", "wrap", "wrap", "fold long lines, or scroll them sideways", footer=False),
    Key("space", "hold", "hold", "stop following and stand still, or follow again", footer=False),
    Key("up,k", "move(-1)", "up", "one line back; stops following", shown="↑ k", footer=False),
    Key("down,j", "move(1)", "down", "one line on", shown="↓ j", footer=False),
    Key("pageup", "move_page(-1)", "page up", "one screen back", footer=False),
    Key("pagedown", "move_page(1)", "page down", "one screen on", footer=False),
    Key("home", "begin", "begin", "the first line", footer=False),
    Key("left", "slide(-1)", "left", "eight columns to the left", footer=False),
    Key("right", "slide(1)", "right", "eight columns to the right", footer=False),
    Key("shift+left", "slide(-5)", "far left", "forty columns to the left", footer=False),
    Key("shift+right", "slide(5)", "far right", "forty columns to the right", footer=False),
    Key("0", "first_column", "first column", "back to the beginning of lines", footer=False),
    Key(
        "escape",
        "back",
        "back",
        "end the search, drop it, drop the filters, then live",
        shown="esc",
        footer=False,
    ),
)

LINE_KEYS = (
    Key("escape,enter", "dismiss", "close", "back to the lines", shown="esc"),
    Key("y", "copy", "copy", "copy the line"),
)
