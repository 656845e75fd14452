"""A place that hangs until the test lets it go."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from storage.cid import Cid
from storage.model import Blobs
from tests.faults import Faulty


class Stuck(Faulty):
    """Answers nothing until it is let go; then as the place behind it does."""

    def __init__(self, blobs: Blobs) -> None:
        super().__init__(blobs)
        self.let_go = threading.Event()
        self.asked = threading.Semaphore(0)
        self.gets = 0

    def get(self, cid: Cid) -> bytes:
        self.gets += 1
        self.asked.release()
        assert self.let_go.wait(60)
        return super().get(cid)


@contextmanager
def stuck(blobs: Blobs) -> Iterator[Stuck]:
    place = Stuck(blobs)
    try:
        yield place
    finally:
        place.let_go.set()
