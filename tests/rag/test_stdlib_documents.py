"""The standard library's documentation: the modules asked for, the same every time, nothing of this machine."""

import os
import sys

import pytest

from rag.errors import MalformedDocument
from rag.model import Document, Skipped
from rag.stdlib_documents import stdlib_documents
from rag.stdlib_worker import names

SOME = ["xml.etree.ElementTree", "json", "os", "this", "platform", "xmlrpc.server", "winreg", "secrets"]


def test_some_modules_are_documents_in_alphabetical_order_the_same_every_time() -> None:
    items = list(stdlib_documents(SOME))
    assert [item.name for item in items] == [
        "json",
        "os",
        "platform",
        "secrets",
        "winreg",
        "xml.etree.ElementTree",
        "xmlrpc.server",
    ]
    texts = {item.name: item.text for item in items if isinstance(item, Document)}
    assert "winreg" in [item.name for item in items if isinstance(item, Skipped)]
    assert "JavaScript Object Notation" in texts["json"]
    assert "SubElement" in texts["xml.etree.ElementTree"]
    assert items == list(stdlib_documents(SOME))


def test_documents_hold_neither_paths_nor_environment_nor_addresses() -> None:
    text = "".join(item.text for item in stdlib_documents(SOME) if isinstance(item, Document))
    assert sys.executable not in text
    assert os.path.dirname(os.__file__) not in text
    assert "environ = environ(" not in text
    assert " at 0x" not in text


def test_nothing_that_opens_windows_or_browsers_is_listed_and_hundreds_are() -> None:
    found = names(frozenset())
    unwanted = {"antigravity", "distutils", "this", "tkinter", "idlelib", "test", "turtle"}
    assert not unwanted & {name.split(".")[0] for name in found}
    assert {"asyncio.tasks", "email.mime.text", "collections.abc"} <= set(found)
    assert found == sorted(set(found))
    assert len(found) > 300


def test_reading_that_takes_too_long_is_ended() -> None:
    with pytest.raises(MalformedDocument, match="took over"):
        list(stdlib_documents(timeout_s=0.05))
