"""What runs inside the TEE, what it proves, and how to talk to it."""
