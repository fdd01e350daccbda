"""What does not last in Vault: versions that end by themselves, and too few of them.

seen in                    what it says
-------------------------  -------------------------------------------------------
the path's metadata        its own setting (``life_ms``): new versions will end
the version's metadata,    when this version ends, by the setting of the mount or
the reply to its write     of the path, whichever is shorter
the mount's configuration  its setting; many roles may not read it
"""

from __future__ import annotations

from reconciler.model import SecretMeta, length_text
from reconciler.state.ledger import LEDGER_NAME
from reconciler.state.snapshot import Observed

LEDGER_VERSIONS_MIN = 10
"""Fewer versions of the ledger are too few to find back from a mistake."""

SECRET_VERSIONS_MIN = 2
"""With one, there is nothing to restore a secret from, or to roll back to."""

SETTING = "delete_version_after of the mount or the path"


def ledger_end(place: str, meta: SecretMeta) -> str | None:
    """Return the sentence about a ledger that does not last; None about any other.

    ``place`` is ``mount/prefix``. A version that will end stays after all where it is
    undeleted once the setting is gone.
    """
    mount, _, prefix = place.partition("/")
    off = "set it to 0s on both"
    if meta.ends_at_ms is not None:
        ends = meta.end_text()
        return (
            f"of the ledger at {place}/{LEDGER_NAME}, {ends} ({SETTING}): {off}, then run "
            f"`vault kv undelete -versions={meta.latest} -mount={mount} {prefix}/{LEDGER_NAME}`"
        )
    if meta.life_ms is None:
        return None
    life = length_text(meta.life_ms)
    return (
        f"the ledger at {place}/{LEDGER_NAME} would end by itself after {life} ({SETTING}): {off}"
    )


def ledger_ends(observed: Observed) -> str | None:
    """Return the same of a snapshot's ledger."""
    return ledger_end(observed.place, observed.meta(LEDGER_NAME))


def few_versions(observed: Observed) -> tuple[str, ...]:
    """Return a sentence for each place that keeps too few versions."""
    said = []
    kept = observed.meta(LEDGER_NAME).kept
    if kept is not None and kept < LEDGER_VERSIONS_MIN:
        said.append(
            f"Vault keeps {kept} versions of the ledger only: raise max_versions at "
            f"{observed.place}/{LEDGER_NAME}, to 200 for example"
        )
    single = sorted(
        path
        for path, meta in observed.secrets.items()
        if path != LEDGER_NAME and meta.kept is not None and meta.kept < SECRET_VERSIONS_MIN
    )
    if single:
        shown = ", ".join(single[:3]) + (" …" if len(single) > 3 else "")  # noqa: PLR2004
        said.append(
            f"Vault keeps one version of {shown}, so there is nothing to restore a secret "
            "from or to roll back to: raise max_versions"
        )
    return tuple(said)
