"""A running device, through SSH: its page, its bars, and the pictures it was unsure about."""
