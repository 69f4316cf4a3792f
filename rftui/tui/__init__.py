"""The terminal program `rftui`. Over SSH it paints calmly; that has to be said before Textual is imported."""

import os

if os.environ.get("SSH_TTY"):
    os.environ.setdefault("TEXTUAL_FPS", "20")
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
