"""The keys of the samples screen."""

from rftui.tui.keys import Key

SAMPLES_KEYS = (
    Key("right_square_bracket", "sample(1)", "sample", "next sample", shown="[ ]"),
    Key("left_square_bracket", "sample(-1)", "previous sample", "previous sample", shown="[", footer=False),
    Key("right_curly_bracket", "step(1)", "step", "next step", shown="{ }"),
    Key("left_curly_bracket", "step(-1)", "previous step", "previous step", shown="{", footer=False),
    Key(
        "slash",
        "search",
        "search",
        "samples of all steps, by words and numbers; enter keeps them",
        shown="/",
        priority=True,
    ),
    Key("f", "follow", "follow", "show the newest step, and each new one as it comes"),
    Key("d", "diff", "diff", "what changed since the same prompt's last step; again: the step before"),
    Key("s", "sort", "sort", "by group, reward, advantage, length, log-prob difference"),
    Key(
        "w",
        "worst",
        "worst",
        "go to the group with the lowest mean reward; again: the next worse one",
        footer=False,
    ),
    Key("y", "copy", "copy", "copy prompt and response, or the differences", footer=False),
    Key(
        "e",
        "export",
        "export",
        "write the samples of the list, with their texts, as JSON lines",
        footer=False,
    ),
    Key(
        "m",
        "marks",
        "marks",
        "mark tokens whose log-prob differs between trainer and engine, or none",
        footer=False,
    ),
    Key("o", "unfold", "unfold", "show all of the prompt, or its first lines", footer=False),
    Key("z", "zoom", "zoom", "the texts over the whole screen; esc goes back", footer=False),
    Key("tab", "app.focus_next", "pane", "next pane: samples, texts, steps", footer=False),
    Key("shift+tab", "app.focus_previous", "previous pane", "previous pane", footer=False),
    Key(
        "escape",
        "back",
        "back",
        "out of differences, zoom and search; then to live",
        shown="esc",
        footer=False,
    ),
)
