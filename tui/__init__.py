"""Owners' and members' terminal."""
