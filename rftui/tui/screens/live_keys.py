"""The keys of the live screen and its panes."""

from rftui.tui.keys import Key

LIVE_KEYS = (
    Key("space", "pause", "pause", "stop painting, go on reading; again to catch up"),
    Key("z", "zoom", "zoom", "the focused pane over the whole screen; esc goes back"),
    Key("comma", "page(-1)", "page", "previous page of charts", shown=","),
    Key("full_stop", "page(1)", "page", "next page of charts", shown="."),
    Key(
        "n",
        "alert(1)",
        "alerts",
        "next alert with its evidence and fixes, and charts of the steps around it",
        footer=False,
    ),
    Key("N", "alert(-1)", "previous alert", "previous alert", footer=False),
    Key("o", "logged", "its log line", "the line of the logs that the open alert is about", footer=False),
    Key("plus", "closer(0.5)", "closer", "half as many steps in the charts", shown="+", footer=False),
    Key("equals_sign", "closer(0.5)", "closer", "the same, without shift", shown="=", footer=False),
    Key("minus", "closer(2)", "further", "twice as many steps in the charts", shown="-", footer=False),
    Key("0", "whole", "whole run", "the whole run in the charts", footer=False),
    Key("f", "follow_newest", "newest", "the charts follow the newest step again", footer=False),
    Key(
        "left", "arrow(-1, 0)", "left", "crosshair, else zoomed charts, else focus to the left", footer=False
    ),
    Key("right", "arrow(1, 0)", "right", "the same to the right", footer=False),
    Key("shift+left", "arrow(-10, 0)", "far left", "crosshair ten columns to the left", footer=False),
    Key("shift+right", "arrow(10, 0)", "far right", "crosshair ten columns to the right", footer=False),
    Key("up", "arrow(0, -1)", "up", "focus to the chart above", footer=False),
    Key("down", "arrow(0, 1)", "down", "focus to the chart below", footer=False),
    Key("c", "crosshair", "crosshair", "value and step under a crosshair, in all charts", footer=False),
    Key("s", "smooth", "smooth", "next weight of the moving average; the raw curve stays", footer=False),
    Key("g", "logarithmic", "log axis", "logarithmic values: the focused chart, or all", footer=False),
    Key("x", "axis", "x axis", "charts over steps, time or tokens", footer=False),
    Key(
        "b",
        "baseline",
        "baseline",
        "another run, chosen from a list, dim behind the charts; again to take it away",
        footer=False,
    ),
    Key("p", "layout", "layout", "more room for charts, GPUs and ranks, or texts", footer=False),
    Key("l", "log_ranks", "log", "log of rank 0, or of all ranks and torchrun", footer=False),
    Key(
        "e",
        "export",
        "export",
        "write points as .csv, a chart as .svg, numbers as .md, with those of the run behind the charts",
        footer=False,
    ),
    Key(
        "y",
        "copy",
        "copy",
        "copy the alert, or what the focused chart or pane tells",
        footer=False,
    ),
    Key("tab", "app.focus_next", "next pane", "go to the next pane", footer=False),
    Key("shift+tab", "app.focus_previous", "previous pane", "go to the previous pane", footer=False),
    Key("d", "detach", "detach", "back to the shell, which is told how to come back"),
    Key(
        "C",
        "checkpoint",
        "checkpoint now",
        "save a checkpoint after this step, and go on; asks nothing, says when it is saved",
        shown="C",
        footer=False,
    ),
    Key("K", "stop", "stop", "stop the run: after this step, or at once", shown="K"),
    Key("escape", "back", "home", "out of crosshair, alert or zoom, else home", shown="esc", footer=False),
)

LOG_KEYS = (
    Key("up", "scroll(1)", "up", "log with focus: one line back", footer=False),
    Key("down", "scroll(-1)", "down", "log with focus: one line on", footer=False),
    Key("pageup", "scroll_page(1)", "page up", "log with focus: one screen back", footer=False),
    Key("pagedown", "scroll_page(-1)", "page down", "log with focus: one screen on", footer=False),
    Key("end", "follow", "follow", "log with focus: follow the end again", footer=False),
)

PANE_KEYS = (
    Key("enter", "choose", "open", "alerts with focus: open the first", footer=False),
    Key("up", "scroll_lines(-1)", "up", "pane over the whole screen: one line up", footer=False),
    Key("down", "scroll_lines(1)", "down", "pane over the whole screen: one line down", footer=False),
    Key("pageup", "scroll_page(-1)", "page up", "pane over the whole screen: one screen up", footer=False),
    Key(
        "pagedown", "scroll_page(1)", "page down", "pane over the whole screen: one screen down", footer=False
    ),
)
