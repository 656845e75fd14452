"""Where do blocks live, and are they the right ones?

Every byte that comes back from a place is checked against its CID on our side; a place is only trusted with staying
up. Importing this package loads nothing heavy: each driver is imported by the one file that needs it.
"""
