"""Where AI frameworks meet the client: a file for each, behind the extra of its name."""
