"""What an accelerating library takes of a program, what it leaves, and why."""
