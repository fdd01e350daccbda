"""The secrets below one KV version 2 mount of Vault (or OpenBao).

Rules this module keeps:

1. Every write carries check-and-set, and every delete names its version: a delete takes
   no check-and-set, so "the latest" could be somebody else's.
2. Paths are checked before a client sees them: servers resolve ``..``, which would
   leave the mount.
3. Absent, deleted and living are values; everything else but a success is an error (see
   ``failures``).
4. A call that found the token of our own login expired is repeated with a new one:
   Vault refused the call, so it was not done.

All methods may be used from several threads at once, ``close`` excepted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from reconciler.errors import VaultError, VaultRefusedError, VaultUnclearError
from reconciler.model import NEVER_WRITTEN, Secret, SecretMeta, SecretVersion, VersionState
from reconciler.vault.contents import (
    SECRET_FIELD,
    length_ms,
    meta_of,
    stored_bytes,
    version_of,
    written_of,
)
from reconciler.vault.environment import is_safe_path
from reconciler.vault.failures import METADATA_CAS, Explainer
from reconciler.vault.http import Call, Reply, Request, VaultClient
from reconciler.vault.login import Mask, no_mask
from reconciler.vault.mounts import refuse_engine
from reconciler.vault.scan import Scanner, all_keys
from reconciler.vault.settings import VaultSettings
from reconciler.vault.token import LOOKUP_SELF, LoginToken, Tell, tell_nobody

# Raft takes entries of 1 MiB, some 300 bytes of which are Vault's own (measured); more
# gets a 500 with a misleading number.
_ENTRY_BYTES_MAX = 1024 * 1024 - 4096
_LIST_DEPTH_MAX = 32


class SecretStore:
    """The secrets below one mount.

    ``path`` is always below the mount (``limitless/tokens/prod/bot``). All methods but
    ``close`` raise VaultRefusedError for what was certainly not done, VaultUnclearError
    for all else that fails, and ValueError only where the caller is wrong.
    """

    def __init__(
        self, client: VaultClient, explainer: Explainer, mount: str, login: LoginToken
    ) -> None:
        self._client = client
        self._explainer = explainer
        self.mount = mount
        self.login = login
        self._scanner = Scanner()

    @classmethod
    def connect(  # noqa: PLR0913  # keyword-only settings with defaults
        cls,
        settings: VaultSettings,
        *,
        mount: str,
        mask: Mask = no_mask,
        tell: Tell = tell_nobody,
        timeouts_s: tuple[float, float] = (3.0, 10.0),
        read_retries: int = 3,
    ) -> Self:
        """Return a store on ``mount``, logged in where the settings ask for a login.

        Without a login nothing is sent yet. ``mask`` is told of each secret of a login
        before it is used, ``tell`` of what becomes of its token, where that is news.
        UsageError for a file that holds no identity token.
        ``timeouts_s`` and ``read_retries`` are those of a ``VaultClient``; where the
        settings speak of them, they count.
        """
        if not is_safe_path(mount):
            raise VaultRefusedError(
                f"the mount {mount!r} is not made of plain segments: correct it in the manifest"
            )
        timeouts_s, read_retries = settings.limits(timeouts_s, read_retries)
        client = VaultClient(settings, timeouts_s=timeouts_s, read_retries=read_retries)
        explainer = Explainer(
            address=settings.address,
            namespace=settings.namespace,
            connect_timeout_s=timeouts_s[0],
            read_timeout_s=timeouts_s[1],
            token_from=settings.token_from,
            through_proxy=settings.proxy is not None,
            from_bao=settings.from_bao,
            address_from=settings.address_from,
        )
        login = LoginToken(client, explainer, settings.login, mask=mask, tell=tell)
        store = cls(client, explainer, mount, login)
        try:
            login.log_in()
        except BaseException:  # Ctrl-C right after the login must not leave its token behind
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
        """Return a store on another mount with this login; closing one closes both."""
        return type(self)(self._client, self._explainer, mount, self.login)

    def close(self) -> None:
        """Revoke the token if we logged in for it, and close the connections.

        Never fails; may be repeated.
        """
        self.login.log_out()
        self._client.close()

    def prepare(self, *, seconds: int, uses: int) -> None:
        """Make sure that the token lasts for a run of so long and so many calls.

        VaultRefusedError where it will not.
        """
        self.login.prepare(seconds=seconds, uses=uses)

    # Reading

    def check_mount(self) -> None:
        """Raise VaultRefusedError for a mount that is not there, or not KV version 2.

        On version 1 the calls of version 2 *succeed*, and check-and-set is ignored.
        Where a policy hides the mount, nothing is said: ``write`` recognises version 1
        by its reply.
        """
        call = Call(needs='"read"', path=f"sys/internal/ui/mounts/{self.mount}")
        reply = self._get(call)
        if reply.status == HTTPStatus.OK and reply.data is not None:
            refuse_engine(self.mount, reply.data)
            return
        if reply.status != HTTPStatus.FORBIDDEN or reply.errors is None:
            raise self._failure(call, reply)
        # 403 is also the answer for a mount that is not there. This read tells the two
        # apart, for a token with wide rights:
        call = Call(needs='"read"', path=f"{self.mount}/config")
        reply = self._get(call)
        if reply.status == HTTPStatus.NOT_FOUND and not reply.says_absent:
            raise self._failure(call, reply)

    def mount_life_ms(self) -> int | None:
        """Return how long the mount's setting lets a version live.

        None where it has no end, and where a policy hides the setting.
        """
        call = Call(needs='"read"', path=f"{self.mount}/config")
        reply = self._get(call)
        if reply.status == HTTPStatus.FORBIDDEN and reply.errors is not None:
            return None
        if reply.status != HTTPStatus.OK or reply.data is None:
            raise self._failure(call, reply)
        return length_ms(reply.data.get("delete_version_after"))

    def read_meta(self, path: str) -> SecretMeta:
        """Return what Vault's metadata says of a path, without its content.

        NEVER_WRITTEN where there is nothing.
        """
        return self._metadata(path)[1]

    def scan_metas(self, prefix: str, names: Collection[str]) -> dict[str, SecretMeta]:
        """Return the metadata of those names below a prefix that one call brings.

        It never raises VaultError. A name that is not in it may well be there
        (``read_meta``): see ``scan``.
        """
        call = self._call('"scan"', "detailed-metadata", prefix)
        return self._scanner.metas(
            lambda query: self._client.get(call.path, query),
            names,
            where=f"{call.path}/*",
        )

    @property
    def reads_singly(self) -> str:
        """What would be faster, where Vault refused ``scan_metas``; else empty."""
        return self._scanner.reads_singly

    def _metadata(self, path: str) -> tuple[Reply, SecretMeta]:
        call = self._call('"read"', "metadata", path)
        reply = self._get(call)
        meta = NEVER_WRITTEN if reply.says_absent else meta_of(reply)
        if meta is None:
            raise self._failure(call, reply)
        return reply, meta

    def read(self, path: str, *, version: int | None = None) -> SecretVersion:
        """Return a version of a secret, the latest by default.

        A version that is soft-deleted, destroyed or expired is DELETED under its
        number; one that never was, or was trimmed away, is ABSENT. Of a path that was
        never written, the latest is number 0.
        """
        if version is not None:
            _check_version(version)
        call = self._call('"read"', "data", path)
        reply = self._get(call, {"version": str(version)} if version is not None else None)
        if reply.says_absent:
            return SecretVersion(version=version or 0, state=VersionState.ABSENT)
        found = version_of(reply)
        if found is None or version not in {None, found.version}:
            raise self._failure(call, reply)
        return found

    def list_paths(self, prefix: str, *, limit: int) -> tuple[str, ...]:
        """Return the paths of the secrets below a prefix, sorted, at most ``limit``.

        Soft-deleted secrets are among them. A folder whose name is not safe to send is
        not entered: it stands for its content, with its slash at the end.
        """
        paths: list[str] = []
        for path in self._walk(prefix, depth=0):
            if len(paths) == limit:
                break
            paths.append(path)
        return tuple(paths)

    # Writing

    def write(
        self,
        path: str,
        fields: Mapping[str, str | Secret],
        *,
        secret: Secret | None = None,
        cas: int,
    ) -> SecretMeta:
        """Store the fields as a new version, and return what Vault says of it.

        That is its number, its time, and its end, if it ends by itself. The secret is
        stored as the field ``secret``. ``cas`` is the number of the latest version that
        the write was made for, 0 where there is none. VaultCasMismatchError where the
        latest is another one; after an unclear reply to the same write, it may well be
        our own.
        """
        if isinstance(cas, bool) or cas < 0:
            raise ValueError("cas is the number of a version, or 0")
        if SECRET_FIELD in fields:
            raise ValueError("the field named secret travels as a Secret")
        call = self._call(
            '"update"' if cas else '"create" and "update"', "data", path, changes=True
        )
        content = {
            name: value.reveal() if isinstance(value, Secret) else value
            for name, value in fields.items()
        }
        if secret is not None:
            content[SECRET_FIELD] = secret.reveal()
        if stored_bytes(content) > _ENTRY_BYTES_MAX:
            raise VaultRefusedError(
                f"what belongs at {call.path} is larger than 1 MiB, more than Vault takes: "
                "split the manifest"
            )
        reply = self._post(call, {"options": {"cas": cas}, "data": content})
        if reply.status == HTTPStatus.OK and (reply.data or {}).get("version") == cas + 1:
            return written_of(reply)
        # KV version 1: it has stored, and looked at no check-and-set
        if reply.status == HTTPStatus.NO_CONTENT:
            raise VaultUnclearError(
                f"{call.path} was written unchecked, "
                f"as {self.mount} is no KV engine of version 2: use another"
            )
        raise self._failure(call, reply)

    def delete_version(self, path: str, version: int) -> None:
        """Soft-delete one version by its number.

        One that is gone already, or never was, is no error.
        """
        self._end_version("delete", path, version)

    def destroy_version(self, path: str, version: int) -> None:
        """Remove one version's content by its number, for good.

        One that is gone already, or never was, is no error.
        """
        self._end_version("destroy", path, version)

    def undelete_version(self, path: str, version: int) -> None:
        """Bring one soft-deleted version back by its number.

        One that lives, was destroyed, or never was, is no error: reading tells.
        """
        self._end_version("undelete", path, version)

    def _end_version(self, kind: str, path: str, version: int) -> None:
        _check_version(version)
        call = self._call('"update"', kind, path, changes=True)
        reply = self._post(call, {"versions": [version]})
        if reply.status != HTTPStatus.NO_CONTENT:
            raise self._failure(call, reply)

    def is_short_lived(self, path: str) -> bool:
        """Return whether what is written at a path ends by itself (``expire``)."""
        reply, _ = self._metadata(path)
        return (reply.data or {}).get("delete_version_after") not in {None, "", "0s"}

    def expire(self, path: str, *, after_s: int) -> None:
        """Let Vault keep one version at a path, and end it so long after its write."""
        call = self._call('"create" and "update"', "metadata", path, changes=True)
        body: dict[str, object] = {"max_versions": 1, "delete_version_after": f"{after_s}s"}
        reply = self._post(call, body)
        if METADATA_CAS in (reply.errors or ""):  # OpenBao's `metadata_cas_required`
            known = self._metadata(path)[0].data or {}
            body["metadata_cas"] = known.get("current_metadata_version", 0)
            reply = self._post(call, body)
        if reply.status != HTTPStatus.NO_CONTENT:
            raise self._failure(call, reply)

    # Inside

    def _walk(self, folder: str, *, depth: int) -> Iterator[str]:
        call = self._call('"list"', "metadata", folder, suffix="/")
        if depth == _LIST_DEPTH_MAX:
            raise VaultUnclearError(
                f"folders are nested {_LIST_DEPTH_MAX} deep at {call.path}: tidy up there"
            )
        place = call.path.rstrip("/")
        keys = all_keys(lambda query: self._ask(call, lambda: self._client.list(place, query)))
        if isinstance(keys, Reply):
            raise self._failure(call, keys)
        for key in sorted(keys):  # `a/` sorts as all that lies below it
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
        return Call(needs=needs, path=f"{self.mount}/{kind}/{path}{suffix}", changes=changes)

    def _get(self, call: Call, query: Mapping[str, str] | None = None) -> Reply:
        return self._ask(call, lambda: self._client.get(call.path, query))

    def _post(self, call: Call, body: Mapping[str, Any]) -> Reply:
        return self._ask(call, lambda: self._client.post(call.path, body))

    def _ask(self, call: Call, request: Request) -> Reply:
        with self.login.used() as token:
            reply = self._explainer.ask(call, request)
            is_refusal = reply.status == HTTPStatus.FORBIDDEN and reply.errors is not None
            if is_refusal and self.login.renewed(token):
                reply = self._explainer.ask(call, request)
            return reply

    def _failure(self, call: Call, reply: Reply) -> VaultError:
        token_works = None
        if reply.status == HTTPStatus.FORBIDDEN and reply.errors is not None:
            looked_up = self._client.get(LOOKUP_SELF)
            if isinstance(looked_up, Reply) and looked_up.status in {
                HTTPStatus.OK,
                HTTPStatus.FORBIDDEN,
            }:
                token_works = looked_up.status == HTTPStatus.OK
        return self._explainer.bad_reply(call, reply, token_works=token_works)


def _check_version(version: int) -> None:
    """Refuse 0 and -1, which Vault takes to mean the latest."""
    if isinstance(version, bool) or version < 1:
        raise ValueError("the number of a version is at least 1")
