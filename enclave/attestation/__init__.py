"""Evidence: asking a TEE for it, verifying it, judging it."""
