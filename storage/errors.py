"""What can go wrong between us and the places that keep blocks: one class per reaction a caller can have."""


class StorageError(Exception):
    """Base of everything that `storage` raises on purpose."""


class InvalidCid(StorageError):
    """Text or bytes are not a CID that we accept: version 1 (or its version 0 text), SHA-256, a known codec."""


class BlockNotFound(StorageError):
    """The place does not have the block; another place may."""


class BlockMismatch(StorageError):
    """The bytes do not hash to their CID: the place, or whoever made the archive, is wrong or lying."""


class BlockTooLarge(StorageError):
    """A block is longer than `BLOCK_BYTES_MAX`; cut the data into smaller ones."""


class FileTooLarge(StorageError):
    """A file or an archive holds more than the caller allowed; nothing beyond the bound was read."""


class StorageUnavailable(StorageError):
    """The place did not answer, or not in a way that we can use; try again later, or another place."""


class StorageFull(StorageError):
    """The place has no room left; make some, then try again: nothing was half-written."""


class MalformedCar(StorageError):
    """Bytes are not a CARv1 archive in its one canonical form."""


class MalformedDag(StorageError):
    """Blocks have the right hashes, but do not make up a well-formed UnixFS file or directory."""


class UnsupportedDag(StorageError):
    """Blocks are well-formed, but of a shape that is not built here: the message names it."""


class RequestRefused(StorageError):
    """The place understood what was asked and will not do it; asking again changes nothing."""


class AccessRefused(RequestRefused):
    """The place does not accept the token; get a new one, and see that it belongs to this place."""


class PaymentNeeded(RequestRefused):
    """The place wants money first; top up the account, or take another place."""


class RateLimited(StorageUnavailable):
    """The place was asked too often; ask again after `retry_after_s` seconds."""

    def __init__(self, message: str, *, retry_after_s: float = 60.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PinNotFound(StorageError):
    """The pinning service has no pin of that id: it was removed, replaced, or never there."""


class PieceNotFound(StorageError):
    """The provider does not have the piece, or has not finished taking it in."""


class PieceMismatch(StorageError):
    """The bytes are not the piece that they should be: the provider is wrong or lying."""


class DataSetNotFound(StorageError):
    """The provider knows no data set of that number: it was never made, or is lost and no longer proved."""


class NothingAgreed(StorageUnavailable):
    """No back end had the right block; the message says of each what was wrong with it."""


class OverLimit(StorageError):
    """Storing it would cost more than the owner allows, so nothing was signed or sent."""
