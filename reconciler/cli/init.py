"""``init``: a first ``tokens.yaml``, empty or of what the exchange lists.

Rules this module keeps:

1. Nothing is overwritten: a file that is there already is an error, before anybody is
   asked anything.
2. Two files are written, or none.
3. It needs neither Vault nor a ledger, and changes nothing at the exchange.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from reconciler.cli.console import complain_of, print_result
from reconciler.cli.files import refuse_unwritable
from reconciler.cli.session import pinned_signer
from reconciler.errors import PersonNeededError, ReconcilerError, UsageError
from reconciler.escape import counted, safe
from reconciler.exchange import DEFAULT_API_URL, TokenClient
from reconciler.manifest import Listed, list_to_adopt, manifest_of_live, starter_manifest
from reconciler.model import Credentials
from reconciler.values import value

STDOUT = "-"


@value
class InitOptions:
    """What ``init`` is given; ``out`` and ``adopt_out`` are files, or ``-``."""

    from_live: bool
    out: str
    adopt_out: str | None


def init(options: InitOptions) -> None:
    """Write a manifest, and with ``adopt_out`` the list of what can be adopted."""
    adopt_out = options.adopt_out
    if adopt_out is not None and not options.from_live:
        raise UsageError("--adopt-out goes with --from-live: there is nothing to adopt otherwise")
    if adopt_out is not None and _same(adopt_out, options.out):
        raise UsageError("--out and --adopt-out name the same file: give two")
    names = [name for name in (options.out, adopt_out) if name not in {None, STDOUT}]
    for name in names:
        if name is not None:
            _refuse_there(name)
    place = _pinned_place()
    if not options.from_live:
        written = starter_manifest(*place)
    else:
        written = manifest_of_live(_listed(), *place)
    texts = [(options.out, written.text)]
    if adopt_out is not None:
        texts.append((adopt_out, list_to_adopt(written)))
    _write_new(texts)
    left_out = counted(written.left_out, "token")
    kept = counted(len(written.entries) + 1, "token")
    complain_of(
        f"{'standard output' if options.out == STDOUT else options.out}: {kept} with the manager"
        + (f", {left_out} left out (see the end of it)" if written.left_out else "")
        + "; next: correct vault.mount and vault.prefix, then `reconciler bootstrap`"
    )


def _same(one: str, other: str) -> bool:
    return one == other or (
        STDOUT not in {one, other} and os.path.realpath(one) == os.path.realpath(other)
    )


def _refuse_there(name: str) -> None:
    """Raise ReconcilerError for a file that is there, OSError where none can be."""
    if os.path.lexists(name):
        raise ReconcilerError(
            f"{name} is there already, and is never overwritten: move it away, "
            "or name another file (- for standard output)"
        )
    refuse_unwritable(name)


def _pinned_place() -> tuple[()] | tuple[tuple[str, str]]:
    """Return mount and prefix where the environment pins them."""
    pin = os.environ.get("RECONCILER_VAULT_PREFIX", "").strip("/")
    mount, _, prefix = pin.partition("/")
    return ((mount, prefix),) if mount and prefix else ()


def _listed() -> Listed:
    """Return what the exchange lists to the pair of the environment.

    PersonNeededError without a pair; ReconcilerError for a list that lacks the signer.
    """
    signer = pinned_signer(os.environ)
    if signer is None:
        raise PersonNeededError(
            "no token to sign the list with: set LIMITLESS_TOKEN_ID and LIMITLESS_TOKEN_SECRET "
            "to the pair of any live token"
        )
    with TokenClient(os.environ.get("LIMITLESS_API_URL") or DEFAULT_API_URL) as exchange:
        return _list_signed_by(exchange, signer)


def _list_signed_by(exchange: TokenClient, signer: Credentials) -> Listed:
    signing = exchange.signed_by(signer)
    found = signing.list_entries()
    ids = {token.token_id for token in found.tokens}
    ids |= {entry.token_id for entry in found.unreadable if entry.token_id is not None}
    if signer.token_id not in ids:
        raise ReconcilerError(
            "the exchange's list lacks the token that signed it, so it is partial: try again later"
        )
    return Listed(
        tokens=found,
        at_ms=exchange.clock().now_ms(),
        api_url=exchange.base_url,
        profile_id=signing.get_profile_id(),
    )


def _write_new(texts: Sequence[tuple[str, str]]) -> None:
    """Write each text to a new file, or to standard output; all of them or none."""
    made: list[str] = []
    try:
        for name, text in texts:
            if name != STDOUT:
                with open(name, "x", encoding="utf-8") as file:  # noqa: PTH123  # as given
                    made.append(name)
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
        for name, text in texts:
            if name == STDOUT:
                print_result(text)
    except BaseException as error:
        for name in made:
            with contextlib.suppress(OSError):
                os.unlink(name)  # noqa: PTH108  # as given
        if isinstance(error, FileExistsError):
            raise ReconcilerError(f"{safe(str(error.filename))} is there already") from None
        raise
