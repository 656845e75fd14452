"""A page where members vote with the wallet in their browser, and watch the chain of decisions being checked."""
