"""Launch scripts read as data: assignments are followed, commands listed, nothing is executed."""
