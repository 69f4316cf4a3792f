"""What the plan screen shows and does, without a terminal: edits, what the planner says of them, painting."""
