"""What the doctor's screen shows, as values and as pure functions from values to styled text."""
