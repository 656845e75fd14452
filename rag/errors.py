"""What can go wrong in retrieval: one class per reaction a caller can have."""


class RagError(Exception):
    """Base of every error this package raises on purpose. Messages hold sizes, names and offsets, never text."""


class UnknownModel(RagError):
    """The embedding model is not installed, is not safetensors, or is not the one that was pinned."""


class DimensionMismatch(RagError):
    """A vector does not have the dimension of the index or of the model."""


class UnusableVector(RagError):
    """A vector holds NaN or infinity, or is far longer than a unit vector."""


class MalformedCorpus(RagError):
    """A BEIR file is missing, too large, or breaks the format; the message names the file and the line."""


class MalformedDocument(RagError):
    """A document cannot be read; the message is the sentence that `Skipped.reason` carries to the owner."""
