"""A list of which one row can be chosen."""

from textual.widgets import OptionList


class Options(OptionList):
    """Textual's, whose keys for pages wait until it has a size: in Textual 8.2 they fail before."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Pages are turned where there is one."""
        if action in ("page_up", "page_down"):
            return self.scrollable_content_region.area > 0
        return super().check_action(action, parameters)
