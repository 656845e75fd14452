"""Who may seal, decide, license, release and ask, and who is owed what."""
