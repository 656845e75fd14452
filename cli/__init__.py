"""A person at a terminal: the `coffer` command and its wiring."""
