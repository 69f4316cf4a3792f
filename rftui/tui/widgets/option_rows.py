"""Rows of a list, by their ids: what did not change is left alone, and the cursor stays on its row."""

from collections.abc import Collection, Mapping

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option


def show_rows(options: OptionList, rows: Mapping[str, Content], headings: Collection[str] = ()) -> None:
    """Show rows; those of `headings` cannot be chosen."""
    shown = [options.get_option_at_index(at) for at in range(options.option_count)]
    if [option.id for option in shown] == list(rows):
        for option in shown:
            row = rows[option.id or ""]
            if not (isinstance(option.prompt, Content) and row.is_same(option.prompt)):
                options.replace_option_prompt(option.id or "", row)
        return
    chosen = options.highlighted_option
    options.set_options([Option(row, id=id, disabled=id in headings) for id, row in rows.items()])
    ids = list(rows)
    first = next((at for at, id in enumerate(ids) if id not in headings), None)
    options.highlighted = ids.index(chosen.id) if chosen and chosen.id in ids else first
