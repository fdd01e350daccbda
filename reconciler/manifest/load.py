"""The manifest: files in, the desired state out, or every problem at once with its place.

Rules this module keeps:

1. All problems in one go, each with file, line and column, sorted; nothing is desired
   unless the whole manifest is good.
2. The shape is the schema's (``manifest_shape``); here stand only the rules that tie
   two places together, or that need arithmetic: labels and paths that are used twice,
   durations, the manager, the pins.
3. The manifest is data from a pull request. What it may not choose comes from whoever
   runs the pipeline, as ``Pins``.
4. The result depends on the content of the files, not on the order in which they were
   named.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from reconciler.errors import ReconcilerError, UsageError
from reconciler.manifest.problems import MAX_ERRORS, Problem, Problems, quoted, shown
from reconciler.manifest.shape import Shape, near_miss
from reconciler.manifest.strict_yaml import (
    Document,
    Node,
    UnreadableError,
    compose,
    mark_at,
    read_source,
)
from reconciler.model import (
    DAY_MS,
    DEFAULT_SCOPES,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    Manifest,
    TokenSpec,
    scope_set,
)

__all__ = [
    "KNOWN_SCOPES",
    "NO_PINS",
    "Loaded",
    "ManifestError",
    "Pins",
    "Problem",
    "load_manifest",
    "parse_duration_ms",
]

# The exchange's documentation names these; the set is not closed.
KNOWN_SCOPES = ("trading", "account_creation", "delegated_signing", "withdrawal")

DEFAULT_ROTATE_AFTER = "30d"
DEFAULT_OVERLAP = "24h"

_NEVER = "never"
_UNITS_MS = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
_DURATION = re.compile(r"([0-9]{1,10})([smhdw])")
_SHORTEST_ROTATION_MS = HOUR_MS
_FOREVER = 2**63 - 1  # longer than any duration that can be written
_OR_NEVER = {"rotate_after": ", or never", "overlap": ""}
_LONGEST_MS = 3650 * DAY_MS  # ten years: longer is a slip, or should say never

_MAX_FILES = 1_000
# 'tradng' is so alike that it is taken for a slip, 'trading_v2' for a scope of tomorrow.
_MISSPELT = 0.85
_HEAD_KEYS = ("profile_id", "manager", "vault", "defaults")


class ManifestError(ReconcilerError):
    """The manifest is refused; ``problems`` are all of them, warnings too, sorted by file, line and column."""

    def __init__(self, problems: tuple[Problem, ...], errors: int) -> None:
        counted = "1 error" if errors == 1 else f"{errors} errors"
        super().__init__(f"the manifest has {counted} - correct them and run again")
        self.problems = problems


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """What whoever runs the pipeline allows, whatever the manifest says; None allows anything.

    ``vault_prefix`` is ``mount/prefix`` (RECONCILER_VAULT_PREFIX), ``allowed_scopes``
    come from RECONCILER_ALLOWED_SCOPES. ``missing_manager`` (--allow-missing-manager):
    that the manager is none of the tokens is a warning only.
    """

    vault_prefix: str | None = None
    allowed_scopes: tuple[str, ...] | None = None
    missing_manager: bool = False


NO_PINS = Pins()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A good manifest, and what is doubtful about it."""

    manifest: Manifest
    warnings: tuple[Problem, ...]


@functools.lru_cache(maxsize=1024)
def parse_duration_ms(text: str) -> int | None:
    """Milliseconds of ``<int>`` followed by s, m, h, d or w; None for ``never``.

    ValueError if it is neither.
    """
    if text == _NEVER:
        return None
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{quoted(text)} is no duration: write a whole number followed by s, m, h, d or w, or never"
        )
    return int(found[1]) * _UNITS_MS[found[2]]


def load_manifest(paths: Sequence[Path], *, pins: Pins = NO_PINS) -> Loaded:
    """Reads files and folders (the *.yaml and *.yml directly in them) as one manifest.

    ManifestError holds every problem; it is the only error that the content of files
    can cause. UsageError: no path at all.
    """
    if not paths:
        raise UsageError("no manifest given - name a file or a folder, such as tokens.yaml")
    problems = Problems()
    files = _list_files(paths, problems)
    listed_well = not problems.errors
    documents = _read(files, problems)
    complete = listed_well and len(documents) == len(files)
    names = _ledger_names(files, problems) if complete else ()
    manifest = _Checker(documents, pins, problems, complete=complete).manifest(names)
    if problems.errors or manifest is None:
        raise ManifestError(problems.in_order(), problems.errors)
    return Loaded(manifest=manifest, warnings=problems.in_order())


def _list_files(paths: Sequence[Path], problems: Problems) -> list[Path]:
    """The files that make up the manifest, sorted, so that the order of the arguments changes nothing."""
    files: list[Path] = []
    for path in paths:
        if not _is_folder(path):
            files.append(path)
            continue
        try:
            entries = [entry for entry in path.iterdir() if _is_manifest_name(entry.name)]
        except OSError as error:
            problems.error(
                mark_at(str(path), 0),
                f"the folder can't be read ({error.strerror}) - check its permissions",
            )
            continue
        if not entries:
            problems.error(mark_at(str(path), 0), "no *.yaml file in this folder - check the path")
        files.extend(entries)
    if len(files) > _MAX_FILES:
        problems.error(
            mark_at(str(paths[0]), 0),
            f"{len(files)} files, and at most {_MAX_FILES} make a manifest - check the path",
        )
    return sorted(files)[:_MAX_FILES]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long, say: who reads the file tells why
        return False


def _is_manifest_name(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) and not name.startswith(".")


def _read(files: Sequence[Path], problems: Problems) -> list[Document]:
    """The documents of those files that can be read."""
    documents: list[Document] = []
    seen: dict[tuple[int, int], str] = {}
    for path in files:
        file = str(path)
        try:
            source = read_source(path)
            first = seen.get(source.identity)
            if first is None:
                seen[source.identity] = file
                documents.append(compose(file, source.data, problems))
            else:
                problems.error(
                    mark_at(file, 0), f"the same file as {shown(mark_at(first, 0))} - name it once"
                )
        except UnreadableError as error:
            problems.error(mark_at(file, error.at), str(error))
    return documents


def _ledger_names(files: Sequence[Path], problems: Problems) -> tuple[str, ...]:
    """The files relative to the folder that holds them all, with slashes: the same from wherever the program is run."""
    # normpath, not resolve: a mounted ConfigMap's files are links into a folder that
    # changes its name with every update.
    paths = [Path("/" + os.path.normpath(path.absolute()).lstrip("/")) for path in files]
    base = os.path.commonpath([path.parent for path in paths])
    names = [path.relative_to(base).as_posix() for path in paths]
    for name, file in zip(names, files, strict=True):
        if not name.isprintable():  # the ledger is JSON that people read
            problems.error(
                mark_at(str(file), 0),
                "the file's name holds characters that do not print - rename it",
            )
    return tuple(sorted(names))


_Place = tuple[Document, int]  # where something stands; made into a mark only when it is told


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Default:
    """What holds where a token leaves a duration out.

    ``node`` is None for the built-in one, ``length_ms`` if it is wrong.
    """

    text: str
    length_ms: int | None
    node: Node | None

    @property
    def shown(self) -> str:
        """As a message names it."""
        return f"{self.text} ({'from defaults' if self.node else 'built in'})"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Defaults:
    """Both durations, and the file that they stand in."""

    document: Document
    rotate_after: _Default
    overlap: _Default


@dataclasses.dataclass(frozen=True, slots=True)
class _Head:
    """The head keys, the file they stand in, and those among them that are wrong."""

    document: Document
    unusable: frozenset[str]

    def node(self, *keys: str) -> Node | None:
        """The node at this path, or None where it is absent or wrong."""
        node: Node | None = None if keys[0] in self.unusable else self.document.root
        for key in keys:
            node = node.pairs.get(key) if node else None
        return node

    def text(self, *keys: str) -> str:
        """The text at this path; empty where it is absent or wrong, and then there is a problem already."""
        node = self.node(*keys)
        return node.text if node else ""


class _Checker:
    """The rules that tie two places together.

    What it needs to know of earlier tokens is in its dictionaries.
    """

    def __init__(
        self, documents: Sequence[Document], pins: Pins, problems: Problems, *, complete: bool
    ) -> None:
        self._documents = documents
        self._pins = pins
        self._problems = problems
        self._complete = complete
        self._shape = Shape()
        self._labels: dict[str, _Place] = {}
        self._paths: dict[str, _Place] = {}
        self._clean_scopes: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._unknown_scopes: dict[str, tuple[_Place, int]] = {}
        self._lengths_ms: dict[tuple[str, str], int] = {}
        self._told_defaults = False
        self._all_named = True
        self._known = (*KNOWN_SCOPES, *(pins.allowed_scopes or ()))

    def manifest(self, files: tuple[str, ...]) -> Manifest | None:
        """The manifest; None, or one of no meaning, if a problem was told."""
        unusable = [
            self._shape.judge_document(document, self._problems) for document in self._documents
        ]
        head = self._head(unusable)
        if head is None:
            return None
        self._check_pinned_prefix(head)
        defaults = self._defaults(head)
        tokens = tuple(self._token(document, node, defaults) for document, node in self._nodes())
        self._warn_of_scopes()
        self._check_manager(head, len(tokens))
        profile = head.node("profile_id")
        return Manifest(
            profile_id=profile.value if profile and isinstance(profile.value, int) else None,
            manager=head.text("manager"),
            mount=head.text("vault", "mount"),
            prefix=head.text("vault", "prefix"),
            tokens=tokens,
            files=files,
        )

    def _head(self, unusable: Sequence[frozenset[str]]) -> _Head | None:
        """The head, which stands in one file; None if no file could be read."""
        heads = [
            _Head(document, wrong)
            for document, wrong in zip(self._documents, unusable, strict=True)
        ]
        if not heads:
            return None
        with_keys = [
            head for head in heads if not head.document.root.pairs.keys().isdisjoint(_HEAD_KEYS)
        ]
        first = with_keys[0] if with_keys else heads[0]
        for other in with_keys[1:]:
            for key in _HEAD_KEYS:
                self._check_one_head(first.document, other.document, key)
        if self._complete and all(
            isinstance(document.root.value, dict) for document in self._documents
        ):
            self._shape.tell_missing(self._documents, first.document, self._problems)
        return first

    def _check_one_head(self, first: Document, other: Document, key: str) -> None:
        again = other.root.pairs.get(key)
        if again is None:
            return
        before = first.root.pairs.get(key)
        if before is not None:
            sentence = f"the key {quoted(key)} is here twice - the first is at {shown(first.mark(before.key_at))}"
        else:
            sentence = f"the key {quoted(key)} belongs to the head, which is in {shown(first.mark(first.root.at))} - move it there"
        self._problems.error(other.mark(again.key_at), sentence)

    def _check_pinned_prefix(self, head: _Head) -> None:
        mount, prefix, pin = (
            head.node("vault", "mount"),
            head.node("vault", "prefix"),
            self._pins.vault_prefix,
        )
        if mount is None or prefix is None or pin is None:
            return
        pin = pin.strip("/")
        # Joined is enough: Vault mounts nothing below another mount, so only one way to
        # cut the text in two exists there.
        if f"{mount.text}/{prefix.text}" != pin:
            at = prefix.at if pin.startswith(mount.text + "/") else mount.at
            told = f"vault is {quoted(f'{mount.text}/{prefix.text}')}, and RECONCILER_VAULT_PREFIX allows only {quoted(pin)}"
            self._problems.error(
                head.document.mark(at), f"{told} - write that, or have the pin changed"
            )

    def _nodes(self) -> Iterator[tuple[Document, Node]]:
        """The tokens of all files in order, up to as many as the schema allows."""
        count = 0
        for document in self._documents:
            tokens = document.root.pairs.get("tokens")
            for node in tokens.items if tokens else ():
                count += 1
                if count > self._shape.most_tokens:
                    stop = f"more than {self._shape.most_tokens:,} tokens - split the manifest"
                elif self._problems.errors >= MAX_ERRORS:
                    stop = "too many problems - checking stops here"
                else:
                    yield document, node
                    continue
                self._problems.error(document.mark(node.at), stop)
                self._all_named = False
                return

    def _token(self, document: Document, node: Node, defaults: _Defaults) -> TokenSpec:
        """The token; of no meaning if a problem of it was told."""
        pairs = node.pairs
        unusable = self._shape.judge_token(document, node, self._problems)
        usable = (
            {key: child for key, child in pairs.items() if key not in unusable}
            if unusable
            else pairs
        )
        label, description, protect = (
            usable.get("label"),
            usable.get("description"),
            usable.get("protect"),
        )
        rotate_after_ms, overlap_ms = self._durations(document, usable, unusable, defaults)
        self._all_named = self._all_named and label is not None
        return TokenSpec(
            label=label.text if label else "",
            scopes=self._scopes(document, node, whole="scopes" not in unusable),
            path=self._path(document, label, usable.get("path"), wrong="path" in unusable)
            if label
            else "",
            rotate_after_ms=rotate_after_ms,
            overlap_ms=overlap_ms,
            protect=protect.value if protect and isinstance(protect.value, bool) else None,
            description=" ".join(description.text.split()) if description else "",
            mark=document.mark(node.at),
        )

    def _defaults(self, head: _Head) -> _Defaults:
        return _Defaults(
            document=head.document,
            rotate_after=self._default(head, "rotate_after", DEFAULT_ROTATE_AFTER),
            overlap=self._default(head, "overlap", DEFAULT_OVERLAP),
        )

    def _default(self, head: _Head, key: str, built_in: str) -> _Default:
        node = head.node("defaults", key)
        if node is not None:
            return _Default(
                text=node.text, length_ms=self._length_ms(head.document, key, node), node=node
            )
        wrong = "defaults" in head.unusable
        return _Default(
            text=built_in, length_ms=None if wrong else parse_duration_ms(built_in), node=None
        )

    def _length_ms(self, document: Document, key: str, node: Node) -> int | None:
        """The length of a duration; ``_FOREVER`` for never, None if it is out of bounds."""
        known = self._lengths_ms.get((key, node.text))
        if known is not None:
            return known
        length_ms = parse_duration_ms(node.text)
        if length_ms is None:
            length_ms = _FOREVER
        elif length_ms > _LONGEST_MS:
            self._problems.error(
                document.mark(node.at),
                f"{key} {node.text} is longer than ten years - write less{_OR_NEVER[key]}",
            )
            return None
        elif key == "rotate_after" and length_ms < _SHORTEST_ROTATION_MS:
            self._problems.error(
                document.mark(node.at),
                f"{key} {node.text} is shorter than an hour - write 1h or more",
            )
            return None
        self._lengths_ms[key, node.text] = length_ms
        return length_ms

    def _durations(
        self,
        document: Document,
        usable: dict[str, Node],
        unusable: frozenset[str],
        defaults: _Defaults,
    ) -> tuple[int | None, int]:
        """``rotate_after`` (None is never) and ``overlap`` as they are in force for a token."""
        rotate_after, overlap = usable.get("rotate_after"), usable.get("overlap")
        rotate_after_ms, overlap_ms = defaults.rotate_after.length_ms, defaults.overlap.length_ms
        if rotate_after or "rotate_after" in unusable:
            rotate_after_ms = (
                self._length_ms(document, "rotate_after", rotate_after) if rotate_after else None
            )
        if overlap or "overlap" in unusable:
            overlap_ms = self._length_ms(document, "overlap", overlap) if overlap else None
        if rotate_after_ms is None or overlap_ms is None:
            return None, 0  # told already
        if rotate_after_ms <= overlap_ms:
            self._tell_too_long_an_overlap(document, rotate_after, overlap, defaults)
        return (None if rotate_after_ms == _FOREVER else rotate_after_ms), overlap_ms

    def _tell_too_long_an_overlap(
        self,
        document: Document,
        rotate_after: Node | None,
        overlap: Node | None,
        defaults: _Defaults,
    ) -> None:
        """At the token's own key, or, once for all tokens, at the default."""
        node = rotate_after or overlap
        if node is None:
            if self._told_defaults:
                return
            self._told_defaults = True
            document, node = defaults.document, defaults.rotate_after.node or defaults.overlap.node
        age = rotate_after.text if rotate_after else defaults.rotate_after.shown
        length = overlap.text if overlap else defaults.overlap.shown
        mark = document.mark(node.at if node else document.root.at)
        self._problems.error(
            mark, f"rotate_after {age} must be longer than overlap {length} - change one of them"
        )

    def _scopes(self, document: Document, token: Node, *, whole: bool) -> tuple[str, ...]:
        """The scopes as a set.

        ``whole`` says that the shape of the list is good; if not, its good items are
        checked.
        """
        node = token.pairs.get("scopes")
        items = node.items if node else [Node(scope, token.at, scope) for scope in DEFAULT_SCOPES]
        texts = tuple([item.text for item in items])
        if whole and texts in self._clean_scopes:
            return self._clean_scopes[texts]
        named = {
            item.text: item.at
            for item in items
            if isinstance(item.value, str) and self._shape.scope.search(item.text)
        }
        fine = [self._scope(document, text, at) for text, at in named.items()]
        if whole and all(fine) and "delegated_signing" in named and "trading" not in named:
            mark = document.mark(named["delegated_signing"])
            self._problems.error(
                mark, "scope 'delegated_signing' needs 'trading' in the same token - add it"
            )
        elif whole and all(fine):
            self._clean_scopes[texts] = scope_set(texts)
        return scope_set(texts)

    def _scope(self, document: Document, text: str, at: int) -> bool:
        """Whether there was nothing to say about this scope."""
        if text in self._unknown_scopes:
            first, count = self._unknown_scopes[text]
            self._unknown_scopes[text] = (first, count + 1)
            return False
        allowed = self._pins.allowed_scopes
        known = text in self._known
        alike = None if known else near_miss(text.lower().replace("-", "_"), self._known, _MISSPELT)
        if alike:
            self._problems.error(
                document.mark(at), f"scope {quoted(text)} - did you mean {quoted(alike)}?"
            )
        elif allowed is not None and text not in allowed:
            only = ", ".join(allowed) or "none"
            told = f"scope {quoted(text)} is not allowed here - RECONCILER_ALLOWED_SCOPES allows only {only}"
            self._problems.error(document.mark(at), told)
        elif known:
            return True
        else:
            self._unknown_scopes[text] = ((document, at), 1)
        return False

    def _warn_of_scopes(self) -> None:
        """One warning for each unknown scope, at the first place: a new scope of the exchange may be in every token."""
        for scope, ((document, at), count) in self._unknown_scopes.items():
            times = f" ({count} times)" if count > 1 else ""
            alike = near_miss(scope, self._known)
            hint = f"did you mean {quoted(alike)}?" if alike else "the exchange may know it"
            self._problems.warn(
                document.mark(at), f"scope {quoted(scope)} is not known here{times} - {hint}"
            )

    def _path(self, document: Document, label: Node, path: Node | None, *, wrong: bool) -> str:
        """Where the secret lies: the path, or else the label.

        Both may be taken once only.
        """
        if not self._claim(self._labels, "label", label.text, (document, label.at)) or wrong:
            return ""
        if path is None and not self._shape.path.search(label.text):
            told = f"label {quoted(label.text)} can't be the path in Vault too - add a path such as prod/bot"
            self._problems.error(document.mark(label.at), told)
            return ""
        node = path or label
        self._claim(self._paths, "path", node.text, (document, node.at))
        return node.text

    def _claim(self, taken: dict[str, _Place], name: str, text: str, place: _Place) -> bool:
        first = taken.setdefault(text, place)
        if first is not place:
            told = f"{name} {quoted(text)} is here twice - the first is at {shown(first[0].mark(first[1]))}"
            self._problems.error(place[0].mark(place[1]), told)
        return first is place

    def _check_manager(self, head: _Head, tokens: int) -> None:
        """The manager is one of the tokens.

        Not judged where tokens or labels are missing for another reason.
        """
        node = head.node("manager")
        if (
            node is None
            or not self._complete
            or not tokens
            or not self._all_named
            or node.text in self._labels
        ):
            return
        alike = near_miss(node.text, self._labels)
        hint = f"did you mean {quoted(alike)}?" if alike else "add a token with this label"
        tell = self._problems.warn if self._pins.missing_manager else self._problems.error
        tell(
            head.document.mark(node.at),
            f"manager {quoted(node.text)} is none of the tokens - {hint}",
        )
