"""Secrets of others, on mounts of any name, read from a real server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping

import hvac
import pytest

from reconciler.errors import VaultRefusedError
from reconciler.vault import Elsewhere, SecretStore, settings_from_environment

KEY = "c2VjcmV0IG9mIHNvbWVib2R5"


@pytest.fixture
def nested(vault_env: Mapping[str, str]) -> Iterator[str]:
    """A mount whose name has a slash, with two pairs on it."""
    mount = f"team-{secrets.token_hex(4)}/kv"
    client = hvac.Client(url=vault_env["VAULT_ADDR"], token=vault_env["VAULT_TOKEN"])
    client.sys.enable_secrets_engine("kv", path=mount, options={"version": "2"})
    for path in ("bots/a", "bots", "bots/deep/b"):
        fields = {"ID": " an-id\n", "KEY": f"{KEY}\n", "secret": "not base64!"}
        client.secrets.kv.v2.create_or_update_secret(path, fields, mount_point=mount)
    yield mount
    client.sys.disable_secrets_engine(mount)
    client.adapter.close()


def test_a_mount_may_have_slashes(vault_env: Mapping[str, str], nested: str) -> None:
    """The shortest one that is there is taken; white space around values is not part of
    them; no sentence repeats a value or the name of a field.
    """
    with SecretStore.connect(settings_from_environment(vault_env), mount="secret") as store:
        elsewhere = Elsewhere(store)
        pair = elsewhere.read(f"{nested}/bots/a", "ID", "KEY")
        assert pair.token_id == "an-id"
        assert pair.secret is not None
        assert pair.secret.reveal() == KEY
        assert elsewhere.read(f"/{nested}/bots", "TYPO", "TYPO").secret is None
        places = tuple(f"{nested}/{p}" for p in ("bots", "bots/a", "bots/deep/b"))
        assert elsewhere.places(f"{nested}/bots", limit=9) == places
        assert elsewhere.places(f"{nested}/bots", limit=1) == places[:1]
        assert elsewhere.places(f"{nested}/nothing", limit=9) == ()
        for place, field, said in (
            (f"{nested}/bots/a", "secret", "is not base64"),
            (f"{nested}/bots/none", "KEY", "nothing lies at"),
            (f"nowhere-{nested}/a", "KEY", "nowhere-"),
            (nested.partition("/")[0], "KEY", "write MOUNT/PATH"),
            (f"{nested}/../sys", "KEY", "plain segments"),
        ):
            with pytest.raises(VaultRefusedError, match=said) as caught:
                elsewhere.read(place, "ID", field)
            assert KEY not in str(caught.value)
            assert "not base64!" not in str(caught.value)
