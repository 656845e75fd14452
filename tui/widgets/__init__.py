"""Parts of screens: they render what they are given, and post messages."""
