"""Whose certificates are believed, and which one we show: the contexts of TLS.

    what is named                     whose certificates are believed
    --------------------------------  -----------------------------------------------
    a file, a text or a folder        those of all three, and of nobody else
    SSL_CERT_FILE, SSL_CERT_DIR       those of both, and of nobody else
    nothing                           those of certifi

Rules this module keeps:

1. Whatever is named is believed as it is: an authority, one below it, or the
   certificate of the server itself. Go does the same.
2. A folder is read file by file, whatever the files are called: no index by hashes is
   needed. What is no certificate in it is passed over.
3. What is named and brings no certificate is an error. It names the variable, and holds
   nothing of a file.
4. Files and folders are read to a bound.
5. A key that is given as text is never written to a file.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.model import Secret
from reconciler.values import value

if TYPE_CHECKING:
    import ssl

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(?P<body>[^-]+)-----END CERTIFICATE-----")
_FILE_BYTES_MAX = 8 * 1024 * 1024
_FILES_MAX = 10_000
_PIPE_BYTES_MAX = 16 * 1024
_UNREAD = "names a file of certificates that can't be read: check it and its permissions"


Named = tuple[str, str]
"""A variable and its value."""


class CertificateError(OSError):
    """What a variable names can't be used for TLS; it is one sentence."""


@value
class Trust:
    """Where certificates lie, and which variable says so.

    Of a client's certificate both parts are given, or neither: as files, or else as
    texts. Without ``verify`` everybody is believed.
    """

    file: Named | None = None
    text: Named | None = None
    folder: Named | None = None
    system_file: Named | None = None
    system_folders: Named | None = None
    client_cert: Named | None = None
    client_key: Named | None = None
    client_cert_text: Named | None = None
    client_key_text: tuple[str, Secret] | None = None
    verify: bool = True


def system_trust(environ: Mapping[str, str]) -> Trust:
    """Return what ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` name.

    The second is a list, separated by colons, of folders without folders in them.
    """

    def named(name: str) -> Named | None:
        text = environ.get(name, "").strip()
        return (name, text) if text else None

    return Trust(system_file=named("SSL_CERT_FILE"), system_folders=named("SSL_CERT_DIR"))


def context_for(trust: Trust, *, server_name: str | None = None) -> ssl.SSLContext:
    """Return a context that believes those, and shows our certificate if there is one.

    With ``server_name`` it asks every server for that name, whatever the host is.
    CertificateError for a variable that names nothing usable.
    """
    import ssl  # noqa: PLC0415  # slow to load; plain http needs none

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if server_name is not None:
        context = _asking_for(server_name)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.hostname_checks_common_name = False
    if not trust.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif (trust.file, trust.text, trust.folder) != (None, None, None):
        _add_named(_Believed(context), trust)
    elif (trust.system_file, trust.system_folders) != (None, None):
        _add_system(_Believed(context), trust)
    else:
        import certifi  # noqa: PLC0415  # needed where nothing is named

        context.load_verify_locations(cafile=certifi.where())
    if trust.client_cert is not None and trust.client_key is not None:
        _show(context, trust.client_cert, trust.client_key)
    elif trust.client_cert_text is not None and trust.client_key_text is not None:
        _show_text(context, trust.client_cert_text, trust.client_key_text)
    return context


def _asking_for(server_name: str) -> ssl.SSLContext:
    """Return a context that names one server in each handshake.

    httpx can be told a name for a connection, but not for one through a proxy.
    """
    import ssl  # noqa: PLC0415  # as above

    class Named(ssl.SSLContext):
        def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
            return super().wrap_socket(*args, **{**options, "server_hostname": server_name})

        def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
            return super().wrap_bio(*args, **{**options, "server_hostname": server_name})

    return Named(ssl.PROTOCOL_TLS_CLIENT)


def _add_named(believed: _Believed, trust: Trust) -> None:
    """Believe what a file, a text and a folder hold: each at least one certificate."""
    if trust.file is not None:
        _add_file(believed, *trust.file)
    if trust.text is not None:
        variable, text = trust.text
        if not believed.add(text.encode("utf-8", "surrogateescape")):
            raise CertificateError(
                f"{variable} holds no certificate: set it to the authority's, in PEM, with the "
                "lines BEGIN and END"
            )
    if trust.folder is not None:
        variable, name = trust.folder
        added = sum(believed.add(_content(variable, path)) for path in _files_below(Path(name)))
        if not added:
            raise CertificateError(
                f"{variable} names no folder with a certificate in it: name one that holds the "
                "authority's, in PEM"
            )


def _add_system(believed: _Believed, trust: Trust) -> None:
    """Believe what the system's variables name.

    Of the folders, those that are not there are passed over.
    """
    if trust.system_file is not None:
        _add_file(believed, *trust.system_file)
    if trust.system_folders is not None:
        variable, names = trust.system_folders
        added = 0
        for path in (path for name in names.split(":") if name for path in _beside(Path(name))):
            with contextlib.suppress(CertificateError):
                added += believed.add(_content(variable, path))
        if not added and trust.system_file is None:
            raise CertificateError(
                f"{variable} names no folder with a certificate that can be read: correct it, or "
                "unset it"
            )


def _add_file(believed: _Believed, variable: str, name: str) -> None:
    if not believed.add(_content(variable, Path(name))):
        raise CertificateError(
            f"{variable} names a file without a certificate: name one that holds the authority's, "
            "in PEM"
        )


def _content(variable: str, path: Path) -> bytes:
    """Return what a file holds, to the bound.

    CertificateError where it can't be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(_FILE_BYTES_MAX)
    except IsADirectoryError:
        problem = "names a folder: name a file, or the folder in VAULT_CAPATH or SSL_CERT_DIR"
    except (OSError, ValueError):
        problem = _UNREAD
    raise CertificateError(f"{variable} {problem}")


def _files_below(folder: Path) -> Iterator[Path]:
    """Give the files of a folder and of the folders in it, sorted; no other things."""
    found = 0
    waiting = [folder]
    while waiting:
        for path in _listed(waiting.pop()):
            if path.is_dir():
                if not path.is_symlink():
                    waiting.append(path)
            elif path.is_file() and (found := found + 1) <= _FILES_MAX:
                yield path


def _beside(folder: Path) -> list[Path]:
    """Return the files of a folder, without the links to others of them.

    Folders that are indexed by hashes are full of such links.
    """
    return [
        path
        for path in _listed(folder)[:_FILES_MAX]
        if path.is_file() and not (path.is_symlink() and "/" not in str(path.readlink()))
    ]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


class _Believed:
    """What a context believes so far. A certificate that comes again costs nothing."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._seen: set[bytes] = set()

    def add(self, content: bytes) -> int:
        """Believe each certificate in PEM, and return how many there are."""
        found = []
        for block in _PEM.finditer(content):
            with contextlib.suppress(ValueError):
                found.append(base64.b64decode(block["body"]))
        new = [der for der in dict.fromkeys(found) if der not in self._seen]
        if new and not self._load(b"".join(new)):
            found = [der for der in found if der in self._seen or self._load(der)]
        self._seen.update(found)
        return len(found)

    def _load(self, der: bytes) -> bool:
        try:
            self._context.load_verify_locations(cadata=der)
        except OSError:  # those of ssl are OSErrors
            return False
        return True


def _show(context: ssl.SSLContext, cert: Named, key: Named) -> None:
    """Show a client's certificate. A key with a password is refused, not asked for."""
    try:
        context.load_cert_chain(cert[1], key[1], password="")
    except (OSError, ValueError):  # those of ssl are OSErrors
        unread = [variable for variable, name in (cert, key) if not os.access(name, os.R_OK)]
    else:
        return
    if unread:
        raise CertificateError(f"{unread[0]} {_UNREAD}")
    raise CertificateError(
        f"{cert[0]} and {key[0]} hold no certificate with its key: name two files in PEM that "
        "belong together, the key without a password"
    )


def _show_text(context: ssl.SSLContext, cert: Named, key: tuple[str, Secret]) -> None:
    """Show a client's certificate that is given as text.

    OpenSSL reads both from files only: here from the two ends of pipes.
    """
    try:
        with _readable(cert[1]) as cert_name, _readable(key[1].reveal()) as key_name:
            context.load_cert_chain(cert_name, key_name, password="")
    except (OSError, ValueError):  # those of ssl are OSErrors
        raise CertificateError(
            f"{cert[0]} and {key[0]} hold no certificate with its key: set both to what belongs "
            "together, in PEM, the key without a password"
        ) from None


@contextlib.contextmanager
def _readable(text: str) -> Iterator[str]:
    """Yield a name under which a text can be read once. ValueError for one too long."""
    content = text.encode("utf-8", "surrogateescape")
    if len(content) > _PIPE_BYTES_MAX:
        raise ValueError("too long")
    reader, writer = os.pipe()
    try:
        try:
            os.write(writer, content)  # a pipe takes that much before anybody reads
        finally:
            os.close(writer)
        yield f"/dev/fd/{reader}"
    finally:
        os.close(reader)
