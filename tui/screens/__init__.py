"""The numbered screens, one a file."""
