"""The panes of the doctor's screen: the list of checks, narrowed by words, and the details of one."""

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, OptionList, Static

from rftui.tui.context import Context
from rftui.tui.doctor import looks
from rftui.tui.doctor.board import WRONG, Row
from rftui.tui.screens.doctor_examining import ExaminingScreen
from rftui.tui.screens.doctor_keys import DOCTOR_KEYS
from rftui.tui.widgets.footer import Footer
from rftui.tui.widgets.option_rows import show_rows
from rftui.tui.widgets.options import Options
from rftui.tui.widgets.text_pane import TextPane


class BoardScreen(ExaminingScreen):
    """Paints the board, and moves about in it."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._offered: list[bool] = []

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        yield Input(id="filter", placeholder="words; esc shows all again", compact=True)
        with Horizontal(id="panels"):
            with Vertical(id="left"):
                yield Options(id="checks")
            yield TextPane(id="details", title="details")
        yield Footer()

    def on_mount(self) -> None:
        """Begin with the list."""
        self.query_one("#checks").border_title = "checks"
        self.query_one("#filter").display = False
        self.paint()

    def on_resize(self) -> None:
        """Lines have another width."""
        self.call_after_refresh(self.paint)

    # --- painting --------------------------------------------------------------------------------------

    def paint(self) -> None:
        if not self.is_mounted:
            return
        options, head = self.query_one("#checks", OptionList), self.query_one("#head", Static)
        head.update(looks.head(self.board, self.subject.words, max(20, self.size.width - 2)))
        width = max(30, options.scrollable_content_region.width - 2)
        words = self.query_one("#filter", Input).value
        rows = self.board.rows(words)
        shown = {}
        for category in dict.fromkeys(row.check.category for row in rows):
            members = [row for row in rows if row.check.category == category]
            listed = [row for row in members if words or row.state != "not-applicable"]
            shown[category] = looks.heading(category, members, len(listed), width)
            shown |= {row.check.id: looks.row_line(row, width) for row in listed}
        show_rows(options, shown, {id for id in shown if "." not in id})
        self._paint_details()

    def _paint_details(self) -> None:
        row = self.chosen
        self.query_one("#details", TextPane).show(lambda width: looks.details(row, width))
        offered = [bool(self.check_action(key.action, ())) for key in DOCTOR_KEYS]
        if offered != self._offered:  # a new footer takes longer than all the rest
            self._offered = offered
            self.refresh_bindings()

    @property
    def chosen(self) -> Row | None:
        """The check under the cursor."""
        option = self.query_one("#checks", OptionList).highlighted_option if self.is_mounted else None
        return self.board.row(option.id) if option is not None and option.id else None

    @on(OptionList.OptionHighlighted, "#checks")
    def show_details(self) -> None:
        """Another check is under the cursor."""
        self._paint_details()

    # --- moving about ----------------------------------------------------------------------------------

    def action_next_wrong(self) -> None:
        """Go to the next check that is not well."""
        options = self.query_one("#checks", OptionList)
        wrong = [row.check.id for row in self.board.rows() if row.state in WRONG]
        places = [options.get_option_index(id) for id in wrong if _listed(options, id)]
        now = options.highlighted if options.highlighted is not None else -1
        if places:
            options.highlighted = next((at for at in places if at > now), places[0])

    def action_filter(self) -> None:
        """Ask for words."""
        box = self.query_one("#filter", Input)
        box.display = True
        self.set_focus(box)

    @on(Input.Changed, "#filter")
    def filter_rows(self) -> None:
        """Only rows with these words."""
        self.paint()

    @on(Input.Submitted, "#filter")
    def filtered(self) -> None:
        """Back to the list."""
        self.query_one("#checks").focus()

    async def action_back(self) -> None:
        """Out of the filter, else home."""
        words = self.query_one("#filter", Input)
        if words.display:
            words.value, words.display = "", False
            self.query_one("#checks").focus()
        else:
            await self.app.run_action("area('home')")


def _listed(options: OptionList, id: str) -> bool:
    return any(options.get_option_at_index(at).id == id for at in range(options.option_count))
