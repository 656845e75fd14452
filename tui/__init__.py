"""Owners' and members' terminal. For now one screen: what an enclave proves and serves, read through its client."""
