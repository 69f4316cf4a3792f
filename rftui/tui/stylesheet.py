"""The style sheet of the program."""

from textual.css.stylesheet import Stylesheet


class OnceParsed(Stylesheet):
    """Textual's, whose texts are parsed again only when the theme's variables have changed.

    Textual 8.2 parses all of them up to four times for each screen that is opened.
    """

    _given: dict[str, str] | None = None

    def set_variables(self, variables: dict[str, str]) -> None:
        """Variables that texts are parsed with; new ones make Textual forget what it has parsed."""
        if variables != self._given:
            super().set_variables(variables)
            self._given = variables

    def reparse(self) -> None:
        """Parse what is new or was forgotten."""
        self.parse()
