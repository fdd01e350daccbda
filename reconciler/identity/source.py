"""The identity token: a person's short-lived proof, where it comes from and ends.

It is needed only to derive and to read the capabilities.

Rules this module keeps:

1. The token comes from a file, standard input, a command, Vault or the environment,
   never from an argument's value.
2. The command is an argument vector. It runs without a shell, within a bound, and
   without our own secrets in its environment.
3. A JWT tells its end (``exp``): a token that is too old fails before anything is
   written. Any other token is opaque.
4. ``Bearer`` before a token, as a browser shows it, is taken off.
5. A token that came as an input of a workflow is refused: it stays in the event's
   payload, for all who can read the repository.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping

from reconciler.errors import IdentitySourceError, PersonNeededError, UsageError
from reconciler.model import SECOND_MS, Secret
from reconciler.values import value
from reconciler.vault import claims_of

VARIABLE = "LIMITLESS_IDENTITY_TOKEN"
COMMAND_TIMEOUT_S = 30
MAX_CHARS = 16_384
DERIVE_MS = 1_000
"""Time for one derive; the exchange lets one start every 300 ms."""
MARGIN_MS = 30 * SECOND_MS
"""Time for everything else of a run that derives."""
LATEST_S = 1e11
"""The last end of a token that makes sense, in seconds since the epoch: year 5138."""

_OURS = (
    "LIMITLESS_IDENTITY_TOKEN",
    "LIMITLESS_TOKEN_SECRET",
    "VAULT_TOKEN",
    "BAO_TOKEN",
    "VAULT_CLIENT_KEY_BYTES",
    "BAO_CLIENT_KEY_BYTES",
    "VAULT_SECRET_ID",
    "VAULT_SECRET_ID_WRAPPED",
    "VAULT_ID_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "GITHUB_TOKEN",
)

MISSING = (
    f"an identity token is needed to derive: set {VARIABLE}, "
    "or use --identity-file, --identity-command or --identity-vault"
)
NOTHING_TO_HAND_OVER = (
    f"there is no identity token to hand over: set {VARIABLE}, "
    "or use --identity-file or --identity-command"
)
_BEARER = re.compile(r"bearer(?:\s+|$)", re.IGNORECASE)
EVENT_CHARS = 32 * 1024 * 1024


class IdentityToken:
    """The identity token, fetched once, when it is first needed.

    A run that derives nothing therefore asks nobody to log in.
    """

    def __init__(
        self, environ: Mapping[str, str], source: TokenSource, *, mask: Callable[[str], None]
    ) -> None:
        """Take the source; ``mask`` is told of the token before it is used.

        UsageError for two sources.
        """
        given = [name for name, value in source.options() if value is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other: give one")
        self._environ, self._source, self._mask = environ, source, mask
        self._found: HandedOver | None = None

    def token(self, digest: str | None = None) -> Secret | None:
        """Return the token, or None where none was given.

        ``digest`` is that of the plan that the token is wanted for. PersonNeededError
        for a source that fails, and for a token that serves another plan.
        """
        if self._found is None:
            self._found = self._fetch(digest)
        if digest is not None:
            refuse_other_plan(self._found.plan, digest)
        return self._found.token

    def _fetch(self, digest: str | None) -> HandedOver:
        handed_over = self._source.handed_over
        if handed_over is not None:
            found = handed_over(digest)
        else:
            found = HandedOver(token=read_identity(self._environ, self._source))
        if found.token is not None:
            self._mask(found.token.reveal())
            refuse_workflow_input(self._environ, found.token)
        return found


@value
class HandedOver:
    """A token as it was found; ``plan`` is the digest of the one plan it serves."""

    token: Secret | None
    plan: str | None = None


def refuse_other_plan(serves: str | None, digest: str | None) -> None:
    """Raise PersonNeededError for a token that serves another plan than this one."""
    if serves is None or serves == digest:
        return
    asks = f"this run applies {digest}" if digest is not None else "this command applies no plan"
    raise PersonNeededError(
        f"the identity token that is waiting serves the plan {serves}, and {asks}: "
        "look at that plan, and hand a token over for it (`reconciler identity push --for DIGEST`)"
    )


@value
class TokenSource:
    """Where the token comes from, by the options.

    ``handed_over`` takes it from its place in Vault, for the plan of a digest. At the
    command's end ``heard`` is told each line that it wrote to standard error; where it
    is None, the command writes to ours.
    """

    file: str | None = None
    command: str | None = None
    handed_over: Callable[[str | None], HandedOver] | None = None
    read_stdin: Callable[[], str]
    heard: Callable[[str], None] | None = None

    def options(self) -> tuple[tuple[str, object], ...]:
        """Return each option's name and value."""
        return (
            ("--identity-file", self.file),
            ("--identity-command", self.command),
            ("--identity-vault", self.handed_over),
        )


def refuse_workflow_input(environ: Mapping[str, str], identity: Secret) -> None:
    """Raise PersonNeededError for a token that was typed into a workflow's form."""
    name = environ.get("GITHUB_EVENT_PATH", "")
    if not name:
        return
    try:
        with open(name, encoding="utf-8") as file:  # noqa: PTH123  # a path as the runner gave it
            event = json.loads(file.read(EVENT_CHARS))
    except (OSError, ValueError, RecursionError):
        return  # without an event there is no input
    inputs = event.get("inputs") if isinstance(event, dict) else None
    if isinstance(inputs, dict) and identity.reveal() in {
        _bare(str(value)) for value in inputs.values()
    }:
        raise PersonNeededError(
            "the identity token came as an input of the workflow, where everybody who reads the "
            "repository sees it: end that session now, and hand the next token over with "
            "`reconciler identity push`"
        )


def read_identity(environ: Mapping[str, str], source: TokenSource) -> Secret | None:
    """Return the identity token, or None where none was given.

    IdentitySourceError for a source that fails.
    """
    file, command, read_stdin = source.file, source.command, source.read_stdin
    if file == "-":
        return _checked(read_stdin(), "standard input")
    if file is not None:
        try:
            # a path as the user gave it
            with open(file, encoding="ascii") as found:  # noqa: PTH123
                return _checked(found.read(MAX_CHARS + 1), file)
        except (OSError, UnicodeDecodeError):
            raise IdentitySourceError(f"the identity file {file} can't be read as text") from None
    if command is not None:
        output = _output_of(command, environ, source.heard)
        return _checked(output, "the identity command's output")
    text = environ.get(VARIABLE, "")
    return _checked(text, VARIABLE) if text.strip() else None


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a program that a person named: without our secrets."""
    return {name: text for name, text in environ.items() if name not in _OURS}


def _output_of(
    command: str, environ: Mapping[str, str], heard: Callable[[str], None] | None
) -> str:
    try:
        argv = shlex.split(command)
    except ValueError:
        argv = []
    if not argv:
        raise UsageError(
            "--identity-command needs a program and its arguments, quoted as for a shell"
        )
    try:
        done = subprocess.run(
            argv,
            env=without_secrets(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if heard is None else subprocess.PIPE,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise IdentitySourceError(
            f"the identity command {argv[0]} took longer than {COMMAND_TIMEOUT_S} s"
        ) from None
    except OSError:
        raise IdentitySourceError(f"the identity command {argv[0]} can't be run") from None
    output = done.stdout.decode("ascii", errors="replace")
    token = _bare(output)
    for line in (done.stderr or b"").decode(errors="replace").splitlines():
        if heard is not None and not (token and token in line):
            heard(line)
    if done.returncode != 0:
        raise IdentitySourceError(
            f"the identity command {argv[0]} failed with exit code {done.returncode}"
        )
    return output


def _checked(text: str, source: str) -> Secret:
    token = _bare(text)
    if not token:
        raise IdentitySourceError(f"the identity token from {source} is empty")
    if len(token) > MAX_CHARS or not token.isascii() or not token.isprintable() or " " in token:
        raise IdentitySourceError(
            f"what came from {source} is no identity token: one line of ASCII without a space "
            "is expected, as eyJ…, or Bearer eyJ…"
        )
    return Secret(token)


def _bare(text: str) -> str:
    """Return a token without the ``Bearer`` that a browser shows before it."""
    token = text.strip()
    prefix = _BEARER.match(token)
    return token[prefix.end() :] if prefix else token


def expires_at_ms(identity: Secret) -> int | None:
    """Return the end of a JWT (``exp``), in milliseconds since the epoch.

    None where the token is opaque, or names no end that makes sense.
    """
    exp = (claims_of(identity) or {}).get("exp")
    if not isinstance(exp, int | float) or isinstance(exp, bool) or not 0 < exp < LATEST_S:
        return None
    return int(exp * SECOND_MS)
