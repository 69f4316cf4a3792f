"""What tells a run that is played again from one that goes on."""

from textual.content import Content


def replay_mark(speed: float, where: str) -> Content:
    """` replay ×20 step 31 `."""
    return Content.styled(f" replay ×{speed:g}{where and f' {where}'} ", "bold $ink on $accent")
