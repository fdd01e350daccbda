"""Files in; the desired state out, or every problem at once with its place.

Rules this module keeps:

1. All problems in one go, each with file, line and column, sorted.
2. Nothing is desired unless the whole manifest is good: it is built only after the
   schema and all rules found no error.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path

from reconciler.errors import Problem, UsageError
from reconciler.escape import counted
from reconciler.manifest.durations import (
    DEFAULT_OVERLAP,
    DEFAULT_RESERVE_AGE,
    DEFAULT_ROTATE_AFTER,
    DEFAULT_ROTATE_BEFORE,
    parse_duration_ms,
)
from reconciler.manifest.files import ledger_names, list_files, read_files
from reconciler.manifest.problems import ManifestError, Problems, quoted, warning
from reconciler.manifest.rules import HEAD_KEYS, Draft, Pins, broken
from reconciler.manifest.shape import Judged, Shape
from reconciler.manifest.strict_yaml import Node, compose
from reconciler.manifest.timing import day_ms, texts_of
from reconciler.manifest.windows import parse_window
from reconciler.model import (
    DAY_MS,
    DEFAULT_SCOPES,
    MAX_LABELS,
    Manifest,
    TokenSpec,
    Window,
    scope_set,
)
from reconciler.values import value

NO_PINS = Pins()


@value
class Loaded:
    """A good manifest, and what is doubtful about it."""

    manifest: Manifest
    warnings: tuple[Problem, ...]

    def short_overlaps(self) -> tuple[Problem, ...]:
        """Return a warning, if a websocket may outlive the overlap of some tokens.

        It stands at the first of them: one default may make all short. Many consumers
        have no websocket, so only ``validate`` tells it.
        """
        short = [
            spec
            for spec in self.manifest.tokens
            if spec.overlap_ms < DAY_MS and spec.label != self.manifest.manager
        ]
        if not short or short[0].mark is None:
            return ()
        more = f" and {counted(len(short) - 1, 'other token')}" if len(short) > 1 else ""
        told = (
            f"the overlap of {quoted(short[0].label)}{more} is less than 24h - a websocket signs"
            " once and lives up to 24 hours: write 26h, unless the consumers have none"
        )
        return (warning(short[0].mark, told),)


def load_manifest(paths: Sequence[Path], *, pins: Pins = NO_PINS) -> Loaded:
    """Read files and folders (the *.yaml and *.yml directly in them) as one manifest.

    ManifestError holds every problem; it is the only error that the content of files
    can cause. UsageError where there is no path at all.
    """
    if not paths:
        raise UsageError("no manifest given - name a file or a folder, such as tokens.yaml")
    problems = Problems()
    files = list_files(paths, problems)
    listed_well = not problems.errors
    roots = read_files(files, problems)
    complete = listed_well and len(roots) == len(files)
    names = ledger_names(files, problems) if complete else ()
    draft = _judge(roots, pins, problems, complete=complete) if roots else None
    if draft is None or problems.errors:
        raise ManifestError(problems.in_order(), problems.errors)
    return Loaded(manifest=_build(draft, names), warnings=problems.in_order())


def place_in(paths: Sequence[Path]) -> str | None:
    """Return ``mount/prefix`` of a manifest, whatever else is wrong with it.

    None where nothing readable says it.
    """
    problems = Problems()
    for root in read_files(list_files(paths, problems), problems):
        vault = root.pairs.get("vault")
        mount, prefix = (
            _text(vault.pairs.get(key)) if vault else "" for key in ("mount", "prefix")
        )
        if mount and prefix:
            return f"{mount}/{prefix}"
    return None


def problems_of(name: str, text: str) -> tuple[Problem, ...]:
    """Return what is wrong or doubtful about a manifest's text, by its places.

    UnreadableError where it can't be read at all.
    """
    problems = Problems()
    root = compose(name, text.encode(), problems, itertools.count(1))
    _judge([root], NO_PINS, problems, complete=True)
    return problems.in_order()


def _judge(
    roots: Sequence[Node], pins: Pins, problems: Problems, *, complete: bool
) -> Draft | None:
    """Return the draft with all its problems told; None if there were too many."""
    shape = Shape()
    files = tuple(shape.judge_document(root) for root in roots)
    with_keys = [file for file in files if not file.node.pairs.keys().isdisjoint(HEAD_KEYS)]
    lists = (root.pairs["tokens"].items for root in roots if "tokens" in root.pairs)
    nodes = itertools.chain.from_iterable(lists)
    for file in files:
        problems.extend(file.problems)
    tokens: list[Judged] = []
    for node in itertools.islice(nodes, MAX_LABELS):
        if problems.full:
            return None
        tokens.append(shape.judge_token(node))
        problems.extend(tokens[-1].problems)
    draft = Draft(
        shape=shape,
        pins=pins,
        files=files,
        head=(with_keys or files)[0],
        tokens=tuple(tokens),
        surplus=next(nodes, None),
        complete=complete,
        keys=frozenset().union(*(token.node.pairs for token in tokens)),
    )
    problems.extend(broken(draft))
    return draft


def _build(draft: Draft, names: tuple[str, ...]) -> Manifest:
    """Return what a draft without an error says."""
    head = draft.head
    profile = head.get("profile_id")
    defaults = _Defaults(
        rotate_after=head.within("defaults", "rotate_after"),
        rotate_before=head.within("defaults", "rotate_before"),
        overlap=head.within("defaults", "overlap"),
        window=head.within("defaults", "window"),
        fields=head.within("vault", "fields"),
        reserve=head.within("defaults", "reserve"),
        reserve_age=head.within("defaults", "reserve_age"),
    )
    return Manifest(
        profile_id=profile.value if profile and isinstance(profile.value, int) else None,
        manager=_text(head.get("manager")),
        mount=_text(head.within("vault", "mount")),
        prefix=_text(head.within("vault", "prefix")),
        tokens=tuple(_token(defaults, token) for token in draft.tokens),
        files=names,
    )


@value
class _Defaults:
    """What the head says for tokens that are silent."""

    rotate_after: Node | None
    rotate_before: Node | None
    overlap: Node | None
    window: Node | None
    fields: Node | None
    reserve: Node | None
    reserve_age: Node | None


def _token(defaults: _Defaults, token: Judged) -> TokenSpec:
    get = token.node.pairs.get  # the draft is without an error, so no key is wrong
    label, scopes, protect = get("label"), get("scopes"), get("protect")
    age = get("rotate_after") or defaults.rotate_after
    early = get("rotate_before") or defaults.rotate_before
    overlap = get("overlap") or defaults.overlap
    reserve, kept = get("reserve") or defaults.reserve, defaults.reserve_age
    until = get("hold_until")
    return TokenSpec(
        label=_text(label),
        scopes=_scopes(tuple(item.text for item in scopes.items)) if scopes else DEFAULT_SCOPES,
        path=_text(get("path") or label),
        rotate_after_ms=parse_duration_ms(age.text if age else DEFAULT_ROTATE_AFTER),
        overlap_ms=parse_duration_ms(overlap.text if overlap else DEFAULT_OVERLAP) or 0,
        protect=protect.value if protect and isinstance(protect.value, bool) else None,
        fields=_fields(defaults.fields, get("fields")),
        was=_text(get("was")) or None,
        reserve=reserve.value if reserve and isinstance(reserve.value, int) else 0,
        reserve_age_ms=parse_duration_ms(kept.text if kept else DEFAULT_RESERVE_AGE) or 0,
        rotate_before_ms=parse_duration_ms(early.text if early else DEFAULT_ROTATE_BEFORE) or 0,
        windows=_windows(get("window") or defaults.window),
        hold_until_ms=day_ms(until.text) if until else None,
        hold_reason=_text(get("hold_reason")),
        owner=_text(get("owner")),
        description=" ".join(_text(get("description")).split()),
        mark=token.node.mark,
    )


def _windows(node: Node | None) -> tuple[Window, ...]:
    return () if node is None else tuple(parse_window(item.text) for item in texts_of(node))


@functools.lru_cache(maxsize=1024)  # a fleet has few different ones
def _scopes(written: tuple[str, ...]) -> tuple[str, ...]:
    return scope_set(written)


def _fields(*written: Node | None) -> tuple[str, ...]:
    """Return the further names, each ``NAME=source``; those that come later count."""
    found: dict[str, str] = {}
    for node in written:
        if node is not None:
            found |= {name: source.text for name, source in node.pairs.items()}
    return tuple(f"{name}={source}" for name, source in sorted(found.items())) if found else ()


def _text(node: Node | None) -> str:
    return node.text if node else ""
