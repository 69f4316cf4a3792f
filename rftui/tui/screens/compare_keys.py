"""The keys of a comparison."""

from rftui.tui.keys import Key

COMPARE_KEYS = (
    Key("comma", "metric(-1)", "metric", "previous metric", shown=","),
    Key("full_stop", "metric(1)", "metric", "next metric", shown="."),
    Key("x", "axis", "axis", "over steps, time or tokens"),
    Key("s", "smooth", "smooth", "next weight of the moving average, or none"),
    Key("g", "logarithmic", "log axis", "logarithmic values, or linear ones again", footer=False),
    Key("b", "base", "base", "the next run is what the others are held against"),
    Key("v", "table", "table", "settings that differ, or numbers at the end, where there is room for one"),
    Key("z", "zoom", "zoom", "the chart or the focused table over the whole screen; again to go back"),
    Key("tab", "app.focus_next", "next pane", "go to the other table", footer=False),
    Key("e", "export", "export", "write points as .csv, chart as .svg, tables as .md; all without an ending"),
    Key("escape", "back", "runs", "out of the zoom, else back to the table of runs", shown="esc"),
)
