"""``move``: ledger and secrets go to the place that the manifest names by now."""

from __future__ import annotations

from reconciler.cli.asked import Options
from reconciler.cli.console import complain_of, print_result
from reconciler.cli.progress import open_for_writing
from reconciler.errors import UsageError
from reconciler.escape import safe
from reconciler.run import Origin, move_here
from reconciler.values import value
from reconciler.vault import is_safe_path


@value
class MoveOptions(Options):
    """What ``move`` is given; ``origin`` is ``MOUNT/PREFIX``."""

    origin: str
    yes: bool


def move(options: MoveOptions) -> None:
    """Move everything, and say what stays at the old place."""
    origin = options.origin.strip("/")
    if not is_safe_path(origin) or "/" not in origin:
        raise UsageError(
            f"--from {options.origin!r} is no place in Vault: write MOUNT/PREFIX, such as "
            "secret/limitless/tokens"
        )
    with open_for_writing(options, at=origin) as runner:
        place = runner.session.manifest.place
        former = Origin(mount=runner.mount, prefix=runner.prefix)
        found = runner.run(move_here(runner.session, former, ask=not options.yes))
    if not found.did:
        print_result(f"everything has moved from {origin} to {place} already: nothing to do")
        return
    for label in found.moved:
        print_result(safe(f"moved {label}"))
    for label, token_id in found.reserves:
        print_result(safe(f"moved {label}, reserve {token_id}"))
    for label, token_id in found.lost_reserves:
        complain_of(
            f"note: the reserve {safe(token_id)} of {safe(label)} could not be brought along: the "
            "next apply revokes it, and one with an identity stocks another"
        )
    for label in found.lost:
        complain_of(
            f"note: the secret of {safe(label)} was lost at {origin} on the way: the next apply "
            "rotates the label"
        )
    print_result(
        f"moved {len(found.moved)} labels to {place}; what lies at {origin} stays readable until "
        "its tokens are gone"
    )
