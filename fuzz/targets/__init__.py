"""One file per parser: `ROLES`, the files of an evidence index to start from, and `fuzz`, which takes any bytes.

Whatever the bytes are, `fuzz` returns, or raises a `VaultError`: nothing else, in no more than `SECONDS_MAX`.
"""

NAMES = (
    "certificates",
    "collateral",
    "event_log",
    "index",
    "nitro",
    "quote",
    "recognize",
    "records",
    "rim",
    "signed",
    "snp",
    "spdm",
)
SECONDS_MAX = 2
MEMORY_MIB_MAX = 2048
