"""Logs of any size: what stands in files stays there, and what is on the screen is read when it is shown."""
