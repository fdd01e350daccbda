"""Pictures of the page: those for whoever works on it, and the one in ``docs/``.

The picture in ``docs/`` says which page it is of: the page's hash stands in the file,
so that a test can tell an old one.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
import zlib
from pathlib import Path

from reconciler.render import html_page
from tests.look.chromium import Sight, look
from tests.support.showcase import a_fleet

ROOT = Path(__file__).parents[2]
DOCS_PICTURE = ROOT / "docs" / "status.png"
DOCS_SIZE, DOCS_WIDTH, DOCS_MOST_PX = 8, 1000, 1250

SIZES = (8, 300)
WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")
MOST_PX = 5000

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEY = b"reconciler-page\0"
_LENGTH = 4
_NAME = 4
_CHECKSUM = 4


def write_page(folder: Path, size: int) -> Path:
    """The page of a fleet of so many labels, as a file."""
    file = folder / f"status-{size}.html"
    file.write_text(html_page([a_fleet(size)]), encoding="utf-8")
    return file


def take_pictures(folder: Path) -> list[Path]:
    """Eight pictures: both sizes, both widths, light and dark."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {size: write_page(folder, size) for size in SIZES}
    sights = [
        Sight(
            file=pages[size],
            width=width,
            scheme=scheme,
            shot=folder / f"status-{size}-{width}-{scheme}.png",
            most_px=MOST_PX,
        )
        for size, width, scheme in itertools.product(SIZES, WIDTHS, SCHEMES)
    ]
    look(sights)
    return [sight.shot for sight in sights if sight.shot is not None]


def take_docs_picture(folder: Path) -> bytes:
    """The picture for ``docs/``, with the hash of its page in it."""
    shot = folder / "docs.png"
    page = write_page(folder, DOCS_SIZE)
    look([Sight(file=page, width=DOCS_WIDTH, scheme="light", shot=shot, most_px=DOCS_MOST_PX)])
    return with_hash(shot.read_bytes(), page_hash())


def page_hash() -> str:
    """The hash of the page that the picture in ``docs/`` is to be of."""
    return hashlib.sha256(html_page([a_fleet(DOCS_SIZE)]).encode()).hexdigest()


def with_hash(png: bytes, page: str) -> bytes:
    """A picture with a hash in a chunk of text, before its end."""
    body = _KEY + page.encode()
    chunk = b"tEXt" + body
    text = struct.pack(">I", len(body)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    end = png.rindex(b"IEND") - _LENGTH
    return png[:end] + text + png[end:]


def hash_in(png: bytes) -> str | None:
    """The hash that ``with_hash`` put into a picture."""
    at = len(_SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + _LENGTH])
        name = png[at + _LENGTH : at + _LENGTH + _NAME]
        begin = at + _LENGTH + _NAME
        body = png[begin : begin + length]
        if name == b"tEXt" and body.startswith(_KEY):
            return body.removeprefix(_KEY).decode()
        at = begin + length + _CHECKSUM
    return None
