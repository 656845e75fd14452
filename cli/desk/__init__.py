"""The desk behind `coffer tui`: what its screens ask for, done as the commands do it."""
