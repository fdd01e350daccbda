"""The variables of Vault's and OpenBao's own command lines: which one counts.

    variable                                  what becomes of it
    ----------------------------------------  -----------------------------------------
    BAO_X, also one that is set to nothing    counts in place of VAULT_X
    VAULT_X beside another BAO_X              named as set and not used
    AGENT_ADDR beside ADDR                    is the address; ADDR is named
    PROXY_ADDR beside HTTP_PROXY              is the proxy; HTTP_PROXY is named
    CLIENT_CERT, CLIENT_KEY beside their      are our certificate and its key; those of
    CLIENT_CERT_BYTES, CLIENT_KEY_BYTES       the texts that differ are named
    what only their command lines have        named as set and not used
    what their servers, agents and plugins    passed over
    have: API_ADDR, LOG_LEVEL, RAFT_PATH, …

Rules this module keeps:

1. What a variable is called in a message is what it is called in the environment.
2. Nothing is named that the environment's own container engine may have set: the names
   are a list, not a prefix.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

USED = frozenset(
    {
        "ADDR",
        "AGENT_ADDR",
        "CACERT",
        "CACERT_BYTES",
        "CAPATH",
        "CLIENT_CERT",
        "CLIENT_CERT_BYTES",
        "CLIENT_KEY",
        "CLIENT_KEY_BYTES",
        "CLIENT_TIMEOUT",
        "HTTP_PROXY",
        "MAX_RETRIES",
        "NAMESPACE",
        "PROXY_ADDR",
        "SKIP_VERIFY",
        "TLS_SERVER_NAME",
        "TOKEN",
        "TOKEN_PATH",
    }
)
UNUSED = frozenset(
    {
        "CLI_NO_COLOR",
        "CONFIG_PATH",
        "DETAILED",
        "FORMAT",
        "MFA",
        "RATE_LIMIT",
        "SRV_LOOKUP",
        "SSH_EXECUTABLE",
        "SSH_HOST_KEY_HOSTNAMES",
        "SSH_HOST_KEY_MOUNT_POINT",
        "SSH_STRICT_HOST_KEY_CHECKING",
        "SSH_USER_KNOWN_HOSTS_FILE",
        "WRAP_TTL",
    }
)
_IN_PLACE_OF = (
    ("AGENT_ADDR", "ADDR"),
    ("PROXY_ADDR", "HTTP_PROXY"),
    ("CLIENT_CERT", "CLIENT_CERT_BYTES"),
    ("CLIENT_KEY", "CLIENT_KEY_BYTES"),
)
_FOLLOWS = "DISABLE_REDIRECTS"
"""A switch that is on here in any case: no redirect is followed."""
_OFF = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_VARIABLE = re.compile(r"(?<![A-Z_])VAULT_([A-Z_]+)(?![A-Z_])")


def as_called(sentence: str, from_bao: Collection[str]) -> str:
    """Return a sentence in which ``VAULT_X`` is ``BAO_X`` where that one counts."""
    return _VARIABLE.sub(
        lambda found: f"BAO_{found[1]}" if found[1] in from_bao else found[0], sentence
    )


class Family:
    """An environment in which ``VAULT_X`` has the value that counts for X."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._given = environ
        names = USED | UNUSED | {_FOLLOWS}
        self._of_bao = frozenset(name for name in names if f"BAO_{name}" in environ)
        bao = {f"VAULT_{name}": environ[f"BAO_{name}"] for name in self._of_bao}
        self.environ: Mapping[str, str] = {**environ, **bao}

    @property
    def from_bao(self) -> tuple[str, ...]:
        """The names of which OpenBao's variable counts, without the prefix."""
        return tuple(sorted(self._of_bao & USED))

    def called(self, name: str) -> str:
        """Return what ``X`` is called in the environment."""
        return f"BAO_{name}" if name in self._of_bao else f"VAULT_{name}"

    def said(self, sentence: str) -> str:
        """Return a sentence with each variable as it is called in the environment."""
        return as_called(sentence, self._of_bao)

    def value(self, name: str) -> str | None:
        """Return the value that counts, stripped, or None where there is none."""
        return self.environ.get(f"VAULT_{name}", "").strip() or None

    def hides(self, name: str) -> bool:
        """Return whether ``BAO_X`` is set to nothing, and ``VAULT_X`` to something."""
        given = self._given.get(f"VAULT_{name}", "").strip()
        return name in self._of_bao and bool(given) and self.value(name) is None

    def warnings(self) -> Iterator[str]:
        """Say what is set and not used, each once."""
        for name in sorted(self._of_bao & USED):
            hidden = self._given.get(f"VAULT_{name}", "").strip()
            if hidden and hidden != self._given[f"BAO_{name}"].strip():
                yield f"VAULT_{name} is set and not used: BAO_{name} counts in its place"
        for winner, loser in _IN_PLACE_OF:
            used, left = self.value(winner), self.value(loser)
            if used is not None and left not in {None, used}:
                yield (
                    f"{self.called(loser)} is set and not used: {self.called(winner)} counts in "
                    "its place"
                )
        names = [name for name in sorted(UNUSED) if self.value(name) is not None]
        if self.value(_FOLLOWS) in _OFF:
            names.append(_FOLLOWS)
        if names:
            called = ", ".join(self.called(name) for name in names)
            is_set = (
                "is set and not used: it means"
                if len(names) == 1
                else ("are set and not used: they mean")
            )
            yield f"{called} {is_set} something to Vault's own command line only"
