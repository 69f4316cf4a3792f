"""The command palette's window."""

from textual.command import CommandList, CommandPalette


class Palette(CommandPalette):
    """Textual's, whose keys for pages do nothing while its list is closed: in Textual 8.2 they fail then."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Pages are turned where there is one."""
        if action == "command_list":
            return self.query_one(CommandList).size.height > 0
        return super().check_action(action, parameters)
