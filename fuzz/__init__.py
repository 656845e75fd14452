"""Fuzzing of everything that reads bytes from outside: `make fuzz`, or `python -m fuzz NAME CORPUS` for one."""
