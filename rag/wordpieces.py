"""Texts to token ids with the model's own tokenizer.json, bounded in characters and in tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rag.errors import UnknownModel
from rag.model import is_encodable
from rag.weights import TOKENIZER, read_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

TOKENIZER_BYTES_MAX = 64 << 20  # multilingual vocabularies have 17 MB
# 256 tokens of real text are some 1,500 characters. Without this cut the tokenizer would first read all of a
# document of 64 MiB to keep its head.
CHARS_MAX = 64 * 1024


class Wordpieces:
    """A tokenizer that cuts at a number of tokens and never pads."""

    def __init__(self, folder: Path, *, tokens_max: int, vocabulary: int) -> None:
        """Read tokenizer.json.

        Args:
            tokens_max: with the tokens the tokenizer adds; what is beyond is left out.
            vocabulary: every id is below it.
        Raises: UnknownModel.
        """
        from tokenizers import Tokenizer

        path = folder / TOKENIZER
        encoded = read_file(path, bytes_max=TOKENIZER_BYTES_MAX)
        try:
            self._tokenizer = Tokenizer.from_buffer(encoded)
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(tokens_max)
            ids = self._tokenizer.get_vocab(with_added_tokens=True).values()
            empty = self._tokenizer.encode("")
        except Exception as error:  # tokenizers raises Exception itself
            raise UnknownModel(f"{path} cannot be understood; install the model again") from error
        if max(ids, default=0) >= vocabulary:
            raise UnknownModel(f"{path} knows tokens beyond the {vocabulary} of the model's weights")
        if not empty.ids or any(empty.type_ids):
            raise UnknownModel(f"{path} does not frame a text as BERT does, with [CLS] and [SEP] of kind 0")

    def encode(self, texts: Sequence[str], *, prompt: str = "") -> list[NDArray[np.int64]]:
        """Return each text's ids, at least one; of a text's characters the first `CHARS_MAX` are read."""
        import numpy as np

        cut = [encodable((prompt + text)[:CHARS_MAX]) for text in texts]
        # One text is not worth waking the tokenizer's threads.
        encoded = [self._tokenizer.encode(cut[0])] if len(cut) == 1 else self._tokenizer.encode_batch_fast(cut)
        return [np.array(one.ids, dtype=np.int64) for one in encoded]


def encodable(text: str) -> str:
    """Return the text with U+FFFD for each lone half of a surrogate pair, which no UTF-8 holds."""
    if is_encodable(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
