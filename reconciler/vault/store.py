"""The secrets below one KV version 2 mount of Vault (or OpenBao): with ``vault_login`` the only module that knows hvac.

Rules this module keeps:

1. Every write carries check-and-set, every delete names its version: deletes take no
   check-and-set, so "the latest" could be somebody else's.
2. Paths are checked before a client sees them: hvac's stack resolves ``..`` and would
   leave the mount.
3. Absent, deleted and living are values; everything else that is not a success is an
   error (see ``vault_http``).
4. A stored value is read as text whatever it is: people edit secrets by hand.
5. A call that found the token of our own login expired is repeated with a new one:
   Vault refused it, so it was not done.

All of it may be used from several threads at once, ``close`` excepted.
"""

from __future__ import annotations

import email.utils
import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import hvac

from reconciler.errors import VaultError, VaultRefusedError, VaultUnclearError
from reconciler.model import (
    NEVER_WRITTEN,
    SECOND_MS,
    Secret,
    SecretMeta,
    SecretVersion,
    VersionState,
    instant_ms,
)
from reconciler.vault.http import Call, Explainer, Reply, Request, ask, open_session, perform
from reconciler.vault.jwt import Mask, no_mask
from reconciler.vault.login import Login
from reconciler.vault.settings import VaultSettings, is_safe_path

# Raft takes entries of 1 MiB, some 300 bytes of which are Vault's own (measured); more
# gets a 500 with a misleading number.
_ENTRY_BYTES_MAX = 1024 * 1024 - 4096
_LIST_DEPTH_MAX = 32
_DIGITS_MAX = 19  # of a version: Vault counts in 63 bits
_HIDDEN_FIELD = "secret"


class SecretStore:
    """The secrets below one mount; ``path`` is always below it (``limitless/tokens/prod/bot``).

    All methods but ``close`` raise VaultRefusedError for what was certainly not done
    and VaultUnclearError for all else that fails; ValueError only where the caller is
    wrong.
    """

    def __init__(self, client: Any, explainer: Explainer, mount: str, login: Login) -> None:
        self._client = client
        self._kv = client.secrets.kv.v2
        self._explainer = explainer
        self._mount = mount
        self._login = login

    @classmethod
    def connect(  # noqa: PLR0913  # keyword-only settings with defaults
        cls,
        settings: VaultSettings,
        *,
        mount: str,
        mask: Mask = no_mask,
        threads: int = 16,
        timeouts_s: tuple[float, float] = (3.0, 10.0),
        read_retries: int = 3,
    ) -> Self:
        """A store on ``mount``, logged in where the settings ask for a login; with ``auth="token"`` nothing is sent yet.

        ``mask`` is told of each secret of a login before it is used. UsageError for a
        file that holds no identity token. ``threads`` is how many connections are kept.
        ``timeouts_s`` are the seconds to open a connection and to wait for a reply. A
        read that found a busy or failing server is repeated up to ``read_retries``
        times, a write never.
        """
        if not is_safe_path(mount):
            raise VaultRefusedError(
                f"the mount {mount!r} is not made of plain segments: correct it in the manifest"
            )
        session = open_session(settings, threads=threads, read_retries=read_retries)
        client = hvac.Client(
            url=settings.address,
            token=settings.token.reveal()
            if settings.token is not None
            else "",  # None: hvac would look for one by itself
            namespace=settings.namespace,
            session=session,
            verify=session.verify,  # hvac takes the session's, except where that is False
            timeout=timeouts_s,
            allow_redirects=False,
            # hvac's exceptions tell no status, and it stumbles over bodies that it did
            # not expect: replies are judged here.
            adapter=hvac.adapters.RawAdapter,
            ignore_exceptions=True,
        )
        explainer = Explainer(
            settings=settings, connect_timeout_s=timeouts_s[0], read_timeout_s=timeouts_s[1]
        )
        store = cls(client, explainer, mount, Login(client, explainer, mask=mask))
        if settings.auth != "token":
            try:
                store._login.log_in()
            except (
                BaseException
            ):  # Ctrl-C right after the login must not leave its token behind either
                store.close()
                raise
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def on(self, mount: str) -> Self:
        """The same login on another mount; closing either closes both."""
        return type(self)(self._client, self._explainer, mount, self._login)

    def close(self) -> None:
        """Revoke the token if we logged in for it, and close the connections.

        Never fails; may be repeated.
        """
        self._login.log_out()
        self._client.adapter.close()

    # Reading

    def check_mount(self) -> None:
        """VaultRefusedError unless the mount is there and KV version 2, as far as the token may know.

        On version 1 the calls of version 2 *succeed*, and check-and-set is ignored.
        Where a policy hides the mount, this says nothing; ``write`` recognises version
        1 by its reply.
        """
        call = Call(needs='"read"', path=f"sys/internal/ui/mounts/{self._mount}")
        reply = self._ask(call, lambda: self._client.adapter.get(url=f"/v1/{call.path}"))
        if reply.status == HTTPStatus.OK and reply.data is not None:
            self._check_engine(reply.data)
            return
        if reply.status != HTTPStatus.FORBIDDEN or reply.errors is None:
            raise self._failure(call, reply)
        # 403 is also the answer for a mount that is not there. This read tells the two
        # apart, for a token with wide rights:
        call = Call(needs='"read"', path=f"{self._mount}/config")
        reply = self._ask(call, lambda: self._kv.read_configuration(mount_point=self._mount))
        if reply.status == HTTPStatus.NOT_FOUND and not reply.says_absent:
            raise self._failure(call, reply)

    def read_meta(self, path: str) -> SecretMeta:
        """What Vault's metadata says of a path, without its content; NEVER_WRITTEN where there is nothing."""
        call = self._call('"read"', "metadata", path)
        reply = self._ask(
            call, lambda: self._kv.read_secret_metadata(path, mount_point=self._mount)
        )
        if reply.says_absent:
            return NEVER_WRITTEN
        meta = _meta_of(reply)
        if meta is None:
            raise self._failure(call, reply)
        return meta

    def read(self, path: str, *, version: int | None = None) -> SecretVersion:
        """A version of a secret, the latest by default.

        One that is soft-deleted, destroyed or expired is DELETED under its number; one
        that never was, or was trimmed away, is ABSENT. Of a path that was never
        written, the latest is number 0.
        """
        if version is not None:
            _check_version(version)
        call = self._call('"read"', "data", path)
        reply = self._ask(
            call,
            lambda: self._kv.read_secret_version(
                path, version, self._mount, raise_on_deleted_version=False
            ),
        )
        if reply.says_absent:
            return SecretVersion(version=version or 0, state=VersionState.ABSENT)
        found = _version_of(reply)
        if found is None or version not in {None, found.version}:
            raise self._failure(call, reply)
        return found

    def list_paths(self, prefix: str, *, limit: int) -> tuple[str, ...]:
        """The paths of the secrets below a prefix, soft-deleted ones too, sorted; of more than ``limit``, the first.

        A folder whose name is not safe to send is not entered: it stands for its
        content, with its slash at the end.
        """
        paths: list[str] = []
        for path in self._walk(prefix, depth=0):
            if len(paths) == limit:
                break
            paths.append(path)
        return tuple(paths)

    # Writing

    def write(
        self, path: str, fields: Mapping[str, str], *, secret: Secret | None = None, cas: int
    ) -> int:
        """Store the fields, and the secret as the field ``secret``, as a new version; its number.

        ``cas`` is the number of the latest version that the write was made for, 0 where
        there is none. VaultCasMismatchError: the latest is another one; after an
        unclear reply to the same write, it may well be our own.
        """
        if isinstance(cas, bool) or cas < 0:
            raise ValueError("cas is the number of a version, or 0")
        if _HIDDEN_FIELD in fields:
            raise ValueError("the field named secret travels as a Secret")
        call = self._call(
            '"update"' if cas else '"create" and "update"', "data", path, changes=True
        )
        content = dict(fields)
        if secret is not None:
            content[_HIDDEN_FIELD] = secret.reveal()
        if _stored_bytes(content) > _ENTRY_BYTES_MAX:
            raise VaultRefusedError(
                f"what belongs at {call.path} is larger than 1 MiB, more than Vault takes: split the manifest"
            )
        reply = self._ask(
            call,
            lambda: self._kv.create_or_update_secret(
                path, content, cas=cas, mount_point=self._mount
            ),
        )
        if (
            reply.status == HTTPStatus.OK
            and reply.data is not None
            and reply.data.get("version") == cas + 1
        ):
            return cas + 1
        if (
            reply.status == HTTPStatus.NO_CONTENT
        ):  # KV version 1: it has stored, and looked at no check-and-set
            raise VaultUnclearError(
                f"{call.path} was written unchecked, as {self._mount} is no KV engine of version 2: use another"
            )
        raise self._failure(call, reply)

    def delete_version(self, path: str, version: int) -> None:
        """Soft-delete one version by its number; one that is gone already, or never was, is no error."""
        _check_version(version)
        call = self._call('"update"', "delete", path, changes=True)
        reply = self._ask(
            call,
            lambda: self._kv.delete_secret_versions(path, [version], mount_point=self._mount),
        )
        if reply.status != HTTPStatus.NO_CONTENT:
            raise self._failure(call, reply)

    def destroy_version(self, path: str, version: int) -> None:
        """Remove one version's content by its number, for good; one that is gone already, or never was, is no error."""
        _check_version(version)
        call = self._call('"update"', "destroy", path, changes=True)
        reply = self._ask(
            call, lambda: self._kv.destroy_secret_versions(path, [version], mount_point=self._mount)
        )
        if reply.status != HTTPStatus.NO_CONTENT:
            raise self._failure(call, reply)

    def is_short_lived(self, path: str) -> bool:
        """Whether what is written at a path ends by itself (``expire``)."""
        call = self._call('"read"', "metadata", path)
        reply = self._ask(
            call, lambda: self._kv.read_secret_metadata(path, mount_point=self._mount)
        )
        if reply.says_absent:
            return False
        if _meta_of(reply) is None or reply.data is None:
            raise self._failure(call, reply)
        return reply.data.get("delete_version_after") not in {None, "", "0s"}

    def expire(self, path: str, *, after_s: int) -> None:
        """From now on one version is kept at a time, and Vault ends it so many seconds after it was written."""
        call = self._call('"create" and "update"', "metadata", path, changes=True)
        reply = self._ask(
            call,
            lambda: self._kv.update_metadata(
                path, max_versions=1, delete_version_after=f"{after_s}s", mount_point=self._mount
            ),
        )
        if reply.status != HTTPStatus.NO_CONTENT:
            raise self._failure(call, reply)

    # Inside

    def _check_engine(self, mount: Mapping[str, Any]) -> None:
        if str(mount.get("path")).strip("/") != self._mount:
            raise VaultRefusedError(
                f"{self._mount} is not a mount but a path inside one: name the mount itself in the manifest"
            )
        options = mount.get("options")
        version = (
            options.get("version") if isinstance(options, dict) else None
        )  # mounted without a version means 1
        if mount.get("type") != "kv" or version != "2":
            raise VaultRefusedError(
                f"the mount {self._mount} is not a KV engine of version 2: use another, or run vault kv enable-versioning"
            )

    def _walk(self, folder: str, *, depth: int) -> Iterator[str]:
        call = self._call('"list"', "metadata", folder, suffix="/")
        if depth == _LIST_DEPTH_MAX:
            raise VaultUnclearError(
                f"folders are nested {_LIST_DEPTH_MAX} deep at {call.path}: tidy up there"
            )
        reply = self._ask(call, lambda: self._kv.list_secrets(folder, mount_point=self._mount))
        if reply.says_absent:
            return
        keys = (
            reply.data.get("keys")
            if reply.status == HTTPStatus.OK and reply.data is not None
            else None
        )
        if not isinstance(keys, list):
            raise self._failure(call, reply)
        for key in sorted(map(str, keys)):  # `a/` sorts as all that lies below it
            below = f"{folder}/{key}".removesuffix("/")
            if key.endswith("/") and is_safe_path(below):
                yield from self._walk(below, depth=depth + 1)
            else:
                yield f"{folder}/{key}"

    def _call(
        self, needs: str, kind: str, path: str, *, suffix: str = "", changes: bool = False
    ) -> Call:
        if not is_safe_path(path):
            raise VaultRefusedError(
                f"the path {path!r} is not made of plain segments: correct it where it was written"
            )
        return Call(needs=needs, path=f"{self._mount}/{kind}/{path}{suffix}", changes=changes)

    def _ask(self, call: Call, request: Request) -> Reply:
        token = self._client.token
        reply = ask(self._explainer, call, request)
        if (
            reply.status == HTTPStatus.FORBIDDEN
            and reply.errors is not None
            and self._login.renewed(token)
        ):
            reply = ask(self._explainer, call, request)
        return reply

    def _failure(self, call: Call, reply: Reply) -> VaultError:
        token_works = None
        if reply.status == HTTPStatus.FORBIDDEN and reply.errors is not None:
            looked_up = perform(self._client.auth.token.lookup_self)
            if isinstance(looked_up, Reply) and looked_up.status in {
                HTTPStatus.OK,
                HTTPStatus.FORBIDDEN,
            }:
                token_works = looked_up.status == HTTPStatus.OK
        return self._explainer.bad_reply(call, reply, token_works=token_works)


def _check_version(version: int) -> None:
    """Vault takes 0 and -1 to mean the latest, which is never what is meant here."""
    if isinstance(version, bool) or version < 1:
        raise ValueError("the number of a version is at least 1")


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _meta_of(reply: Reply) -> SecretMeta | None:
    """The metadata that a reply holds, None if it holds none."""
    data = reply.data if reply.status == HTTPStatus.OK else None
    if (
        data is None
        or not isinstance(data.get("versions"), dict)
        or not _is_number(data.get("current_version"))
    ):
        return None
    latest, versions = int(data["current_version"]), data["versions"]
    if latest == 0:  # metadata was written, a secret never
        return NEVER_WRITTEN
    entry = versions.get(str(latest))
    if not isinstance(entry, dict) or not all(
        number.isdecimal() and len(number) <= _DIGITS_MAX for number in versions
    ):
        return None
    gone = _is_gone(entry, reply.date)
    if gone is None:
        return None
    # `oldest_version` is 0 until a version was trimmed away, so count them.
    oldest = min(map(int, versions))
    return SecretMeta(
        latest=latest, state=VersionState.DELETED if gone else VersionState.LIVING, oldest=oldest
    )


def _is_gone(entry: Mapping[str, Any], date: str | None) -> bool | None:
    """Whether a version can't be read any more; None if that is not to be told.

    Where versions expire (``delete_version_after``), a living one has a deletion time
    in the future. The clock that counts is the server's; its ``Date`` is cut to
    seconds, so one more is added, lest a deletion of just now look like the future.
    """
    if entry.get("destroyed") is True:
        return True
    deletion_time = entry.get("deletion_time")
    if deletion_time == "":
        return False
    try:
        now_ms = round(email.utils.parsedate_to_datetime(str(date)).timestamp() * SECOND_MS)
        return instant_ms(str(deletion_time)) < now_ms + SECOND_MS
    except (ValueError, OverflowError):  # OverflowError: a Date with a year of a dozen digits
        return None


def _version_of(reply: Reply) -> SecretVersion | None:
    """The version that a reply holds, readable (200) or gone (404); None if it holds none."""
    if reply.data is None or reply.status not in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}:
        return None
    metadata, content = reply.data.get("metadata"), reply.data.get("data")
    if not isinstance(metadata, dict) or not _is_number(metadata.get("version")):
        return None
    number = int(metadata["version"])
    if reply.status == HTTPStatus.NOT_FOUND:
        return SecretVersion(version=number, state=VersionState.DELETED)
    if content is None:  # Vault stores `null` as happily as `{}`
        content = {}
    if not isinstance(content, dict):
        return None
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for name, value in content.items()
    }
    secret = texts.pop(_HIDDEN_FIELD, None)
    return SecretVersion(
        version=number,
        state=VersionState.LIVING,
        fields=tuple(sorted(texts.items())),
        secret=Secret(secret) if secret is not None else None,
    )


def _stored_bytes(content: Mapping[str, str]) -> int:
    """How long Vault's own JSON of a content is:

    Go writes ``<``, ``>``, ``&`` and the line separators as six bytes each.
    """
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode("utf-8", "surrogatepass")) + sum(
        5 * text.count(character) for character in "<>&\u2028\u2029"
    )
