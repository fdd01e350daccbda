"""``python -m tests.look FOLDER``: pictures of the page of ``status`` to look at.

Without a folder it takes the picture in ``docs/`` anew.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.look.pictures import DOCS_PICTURE, take_docs_picture, take_pictures


def main(arguments: list[str]) -> None:
    """Take them, and name them."""
    if arguments:
        for picture in take_pictures(Path(arguments[0]).resolve()):
            print(picture)
        return
    with tempfile.TemporaryDirectory() as folder:
        DOCS_PICTURE.write_bytes(take_docs_picture(Path(folder)))
    print(DOCS_PICTURE)


if __name__ == "__main__":
    main(sys.argv[1:])
