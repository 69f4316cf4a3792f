"""The command palette's window."""

from textual.await_complete import AwaitComplete
from textual.command import CommandList, CommandPalette


class Palette(CommandPalette):
    """Textual's, which is left once like every dialog.

    Keys for pages do nothing while its list is closed: in Textual 8.2 they fail then.
    """

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Pages are turned where there is one."""
        if action == "command_list":
            return self.query_one(CommandList).size.height > 0
        return super().check_action(action, parameters)

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Leave, unless it has gone already; what is still being looked for has nowhere to be shown then."""
        self.workers.cancel_node(self)
        return super().dismiss(result) if self.is_active else AwaitComplete.nothing()
