"""By what a pipeline tells apart the manifests that it looks after.

    the same fleet                            another fleet
    ----------------------------------------  ------------------------------------------
    the file was moved, or is typed another   another mount or prefix in Vault
    way (``tokens.yaml``, ``./tokens.yaml``)  another exchange, with the same file

A comment, an issue, an artifact belongs to a fleet, so what one run says never replaces
or closes what a run for another fleet has said.
"""

from __future__ import annotations

import hashlib
import re

from reconciler.values import value

_NAME_CHARS = 40
_DIGEST_CHARS = 8
_NO_NAME = re.compile(r"[^A-Za-z0-9]+")


@value
class Fleet:
    """The tokens of one exchange that are kept at one place in Vault.

    ``api_url`` is the exchange's address in its canonical form. ``place`` is
    ``mount/prefix``.
    """

    api_url: str
    place: str

    @property
    def name(self) -> str:
        """A name for files and artifacts: letters, digits and hyphens, at most 49.

        Fleets whose places look alike differ in the digits at its end.
        """
        known = hashlib.sha256(f"{self.api_url}\n{self.place}".encode()).hexdigest()
        words = _NO_NAME.sub("-", self.place)[:_NAME_CHARS].strip("-")
        return f"{words}-{known[:_DIGEST_CHARS]}"

    @property
    def title(self) -> str:
        """What people call it: the place, and the exchange's host."""
        return f"{self.place} at {self.api_url.partition('://')[2]}"
