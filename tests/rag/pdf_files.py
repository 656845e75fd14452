"""Small PDF files, written out object by object (ISO 32000-1, section 7.5)."""

from __future__ import annotations

import zlib

FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def pdf_from_streams(streams: list[tuple[bytes, bytes]], trailer: bytes = b"") -> bytes:
    """Return a PDF with one page for each (filter entries, content stream as stored)."""
    pages = [4 + 2 * number for number in range(len(streams))]
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(pages), b" ".join(b"%d 0 R" % page for page in pages)),
        FONT,
    ]
    for page, (filters, stored) in zip(pages, streams, strict=True):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (page + 1)
        )
        objects.append(b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(stored), filters, stored))
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(objects) + 1
    body += b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table) + (
        b"trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n" % (count, trailer, len(body))
    )
    return body


def pdf_with_pages(*texts: str) -> bytes:
    """Return a PDF that shows one line of text a page."""
    return pdf_from_streams([(b"", b"BT /F1 12 Tf 72 720 Td (%s) Tj ET" % text.encode("ascii")) for text in texts])


def pdf_bomb(unpacked_bytes: int) -> bytes:
    """Return a PDF of some kilobytes whose one page unpacks, through two filters, to text of this size."""
    line = b"(" + b"A" * 1000 + b") Tj\n"
    packer = zlib.compressobj(9)
    block = line * 1000
    inner = b"".join([packer.compress(b"BT /F1 12 Tf 72 720 Td\n")])
    for _ in range(unpacked_bytes // len(block)):
        inner += packer.compress(block)
    inner += packer.compress(b"ET") + packer.flush()
    return pdf_from_streams([(b"/Filter [/FlateDecode /FlateDecode]", zlib.compress(inner, 9))])


def pdf_with_password() -> bytes:
    """Return a PDF encrypted under a password that is not empty: no password matches these 32 zero bytes."""
    entry = b"<< /Filter /Standard /V 1 /R 2 /O <%s> /U <%s> /P -4 >>" % (b"11" * 32, b"00" * 32)
    return pdf_from_streams([(b"", b"BT ET")], b"/Encrypt %s /ID [<00> <00>]" % entry)
