"""Padding for Filecoin's field: after every 254 bits two zero ones, so that 127 bytes become four numbers of 32.

Source: Filecoin specification, `fr32 padding`. All numbers are little-endian, so a run of bytes is a run of bits.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

RAW_BYTES: Final = 127

_WORDS = 16  # of 64 bits, in 128 bytes
_LAST_OF_NUMBER = np.uint64(2**62 - 1)


def padded(raw: NDArray[np.uint8], out: NDArray[np.uint8], scratch: NDArray[np.uint64]) -> None:
    """Pad whole groups of 127 bytes into groups of 128.

    Args:
        raw: shape (groups, 127).
        out: shape (groups, 128), contiguous.
        scratch: shape (2, 16, groups), overwritten.
    """
    out[:, :RAW_BYTES] = raw
    out[:, RAW_BYTES] = 0
    words, spread = scratch
    rows: NDArray[Any] = out.view("<u8").reshape(-1, _WORDS)
    words[:] = rows.T
    spread[:4] = words[:4]
    for number, (word, shift) in enumerate(((3, 2), (7, 4), (11, 6)), start=1):
        part = spread[4 * number : 4 * number + 4]
        np.left_shift(words[word + 1 : word + 5], np.uint64(shift), out=part)
        np.right_shift(words[word : word + 4], np.uint64(64 - shift), out=words[word : word + 4])
        part |= words[word : word + 4]
    spread[3::4] &= _LAST_OF_NUMBER
    rows[:] = spread.T
