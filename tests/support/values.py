"""Values for tests of the pure modules: short ways to write them, and hypothesis
strategies for states and hostile text.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

from hypothesis import strategies as st

from reconciler.model import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    LiveToken,
    Manifest,
    SecretMeta,
    TokenSpec,
    VersionState,
    instant_ms,
    scope_set,
)
from reconciler.state.ledger import (
    Abandoned,
    Closed,
    Current,
    Entry,
    Holder,
    Intent,
    IntentKind,
    Ledger,
    Retiring,
    Revoking,
)
from reconciler.state.snapshot import Content, Observed

NOW_MS = instant_ms("2026-11-22T08:30:00.000Z")
API_URL = "https://api.example"
PLACE = "secret/p"
LIVING = SecretMeta(latest=1, state=VersionState.LIVING)


def spec(
    label: str,
    *scopes: str,
    path: str | None = None,
    days: int | None = 30,
    protect: bool | None = None,
) -> TokenSpec:
    """A wanted token with an overlap of one day; ``days`` is its greatest age."""
    return TokenSpec(
        label=label,
        scopes=scope_set(scopes or ("trading",)),
        path=path or label,
        rotate_after_ms=None if days is None else days * DAY_MS,
        overlap_ms=DAY_MS,
        protect=protect,
    )


def manifest(
    *specs: TokenSpec, manager: str = "reconciler", files: tuple[str, ...] = ("tokens.yaml",)
) -> Manifest:
    """A manifest of these tokens."""
    return Manifest(
        profile_id=42, manager=manager, mount="secret", prefix="p", tokens=specs, files=files
    )


def current(token_id: str, label: str, *, days: int = 1, version: int = 1) -> Current:
    """A current token that was derived and verified some days ago."""
    born_ms = NOW_MS - days * DAY_MS
    return Current(
        token_id=token_id,
        live_label=label,
        created_at_ms=born_ms,
        version=version,
        verified_at_ms=born_ms,
    )


def entry(
    token_id: str, label: str, *, days: int = 1, version: int = 1, path: str | None = None
) -> Entry:
    """What the ledger remembers of a label that is well."""
    return Entry(path=path or label, current=current(token_id, label, days=days, version=version))


def live(
    token_id: str, label: str | None, *scopes: str, days: int = 1, used_ago_ms: int | None = None
) -> LiveToken:
    """A live token."""
    return LiveToken(
        token_id=token_id,
        label=label,
        scopes=scope_set(scopes or ("trading",)),
        created_at_ms=NOW_MS - days * DAY_MS,
        last_used_at_ms=None if used_ago_ms is None else NOW_MS - used_ago_ms,
    )


def retiring(
    token_id: str, label: str, *, since_ms: int = 2 * DAY_MS, overlap_ms: int = DAY_MS
) -> Retiring:
    """A predecessor that was superseded some time ago."""
    at_ms = NOW_MS - since_ms
    return Retiring(
        token_id=token_id,
        live_label=label,
        superseded_at_ms=at_ms,
        not_before_ms=at_ms + overlap_ms,
        reason="rotated",
        verified_at_ms=at_ms - DAY_MS,
    )


def intent(
    *before: str,
    path: str,
    since_ms: int = HOUR_MS,
    token_id: str | None = None,
    run: str = "run-1",
) -> Intent:
    """A rotation that was begun."""
    return Intent(
        kind=IntentKind.ROTATE,
        operation_id="op-1",
        run=run,
        since_ms=NOW_MS - since_ms,
        before=before,
        cas=1,
        path=path,
        scopes=("trading",),
        token_id=token_id,
    )


def ledger(
    tokens: dict[str, Entry] | None = None,
    *,
    holder: Holder | None = None,
    abandoned: tuple[str, ...] = (),
) -> Ledger:
    """A ledger of profile 42; the labels in ``abandoned`` lost a derive two days ago."""
    rows = tuple(
        Abandoned(
            label=label, since_ms=NOW_MS - 2 * DAY_MS, closed_at_ms=NOW_MS - 2 * DAY_MS + HOUR_MS
        )
        for label in abandoned
    )
    return Ledger(
        ledger_id="ledger-1",
        api_url=API_URL,
        profile_id=42,
        files=("tokens.yaml",),
        holder=holder,
        tokens=tokens or {},
        abandoned=rows,
    )


def holder(run: str = "run-9", *, left_ms: int = MINUTE_MS) -> Holder:
    """A lease."""
    return Holder(run=run, write="w", who="build-7:123", expires_at_ms=NOW_MS + left_ms)


def observed(
    memory: Ledger,
    *tokens: LiveToken,
    secrets: dict[str, SecretMeta] | None = None,
    contents: dict[str, Content] | None = None,
    signer_id: str | None = None,
    foreign_unnamed: int = 0,
) -> Observed:
    """A snapshot; without ``secrets``, version 1 of each of the ledger's paths is in
    place.
    """
    return Observed(
        now_ms=NOW_MS,
        api_url=API_URL,
        place=PLACE,
        ledger=memory,
        ledger_version=7,
        live=tokens,
        signer_id=signer_id,
        secrets={e.path: LIVING for e in memory.tokens.values()} if secrets is None else secrets,
        contents=contents or {},
        foreign_unnamed=foreign_unnamed,
    )


# --- hypothesis ---

HOSTILE_PIECES = (
    *(
        "`",
        "``",
        "|",
        "\\",
        "\\|",
        "<!--",
        "-->",
        "<script>",
        "</details>",
        "@user",
        "#1",
        "&amp;",
        "[x](y)",
        "![",
        "*",
        "_",
        "~~",
    ),
    *(
        "::error::",
        "##[error]",
        "##vso[x]",
        "###",
        "::",
        "https://e.example",
        "www.e.example",
        "e@e.example",
        ":smile:",
        "$x$",
    ),
    *(
        "\x1b[31m",
        "\x1b]8;;",
        "\x07",
        "\x00",
        "\n",
        "\r",
        "\r\n",
        "\t",
        "\x7f",
        "\x85",
        "\x9b",
        "\u2028",
        "\u2029",
        "\u00a0",
    ),
    *(
        "\u202e",
        "\u2066",
        "\u200b",
        "\u200d",
        "\ufeff",
        "\u3164",
        "\u2800",
        "\ufe0f",
        "\U000e0001",
        "\U000e0101",
        "\u00ad",
    ),
    *(
        "a",
        "b-c",
        " ",
        "  ",
        "é",
        "日本",
        "e\u0301",
        "👍",
        "- ",
        "+",
        "> ",
        "    ",
        "---",
        "1. ",
        "\ud800",
    ),
)


def hostile(*, most: int = 6) -> st.SearchStrategy[str]:
    """Text that means harm to a terminal, a log, a Markdown document or whoever reads
    one.
    """
    pieces = st.one_of(st.sampled_from(HOSTILE_PIECES), st.characters())
    return st.lists(pieces, min_size=1, max_size=most).map("".join)


def assert_harmless(text: str) -> None:
    """Nothing in the text moves a terminal, hides from a reader, can't be encoded, or
    is a command to a CI runner.
    """
    for line in text.split("\n"):
        assert line.isprintable(), ascii(line)
        assert "##[" not in line
        assert "##vso[" not in line
        assert not line.strip().startswith("::")
    text.encode()


def text_without_surrogates() -> st.SearchStrategy[str]:
    """Hostile text as it may come from JSON: our adapters let no half of a surrogate
    pair in.
    """
    return (
        hostile()
        .map(lambda text: text.replace("\ud800", ""))
        .filter(lambda t: bool(t) and _encodes(t))
    )


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A manifest and a snapshot that belong together, however oddly."""

    desired: Manifest
    observed: Observed


@st.composite
def scenes(draw: st.DrawFn, labels: st.SearchStrategy[str] | None = None) -> Scene:
    """Any state that a ledger, a list and Vault's metadata may be in; foreign ids and
    labels begin with ``foreign-``.
    """
    names = draw(
        st.lists(
            st.sampled_from("abcdef") if labels is None else labels,
            min_size=1,
            max_size=5,
            unique=True,
        )
    )
    ids = (f"id-{number}" for number in itertools.count(1))
    entries: dict[str, Entry] = {}
    tokens: list[LiveToken] = []
    secrets: dict[str, SecretMeta] = {}
    contents: dict[str, Content] = {}
    for name in names:
        if draw(st.booleans()):
            entries[name] = draw(_entries(name, ids))
        recorded = (
            [e.current.token_id for e in [entries[name]] if e.current is not None]
            if name in entries
            else []
        )
        recorded += [r.token_id for r in entries[name].retiring] if name in entries else []
        recorded += [r.token_id for r in entries[name].revoking] if name in entries else []
        tokens += [
            draw(_tokens(token_id, name)) for token_id in recorded if draw(st.integers(0, 4))
        ]
        tokens += [draw(_tokens(next(ids), name)) for _ in range(draw(st.integers(0, 1)))]
        if draw(st.booleans()):
            secrets[name] = draw(_metas())
        if draw(st.booleans()):
            found = st.sampled_from([*recorded, f"foreign-{name}", None])
            flags = st.booleans()
            contents[name] = Content(
                token_id=draw(found),
                holder_version=draw(st.sampled_from([None, 1])),
                placeholder=draw(flags),
                readable=draw(flags),
            )
    foreign = draw(st.integers(0, 3))
    tokens += [
        draw(_tokens(f"foreign-{n}", draw(st.sampled_from([f"foreign-label-{n}", None]))))
        for n in range(foreign)
    ]
    wanted = draw(st.lists(st.sampled_from(names), unique=True))
    protections = st.sampled_from([None, True, False])
    specs = [
        spec(n, draw(st.sampled_from(["trading", "withdrawal"])), protect=draw(protections))
        for n in wanted
    ]
    memory = ledger(
        entries,
        holder=draw(st.sampled_from([None, holder(), holder(left_ms=-1)])),
        abandoned=tuple(draw(st.lists(st.sampled_from(names), max_size=1))),
    )
    memory = dataclasses.replace(
        memory, closed=(Closed(label=names[0], token_id=None, outcome="refused", at_ms=NOW_MS),)
    )
    ordered = draw(st.permutations(tokens))
    signer = draw(st.sampled_from([None, *(t.token_id for t in tokens)]))
    return Scene(
        desired=manifest(*specs, manager=names[0]),
        observed=observed(memory, *ordered, secrets=secrets, contents=contents, signer_id=signer),
    )


@st.composite
def _entries(draw: st.DrawFn, label: str, ids: Iterator[str]) -> Entry:
    return Entry(
        path=label,
        protect=draw(st.booleans()),
        current=current(next(ids), label, days=draw(st.sampled_from([1, 40])))
        if draw(st.integers(0, 3))
        else None,
        intent=intent(path=label, since_ms=draw(st.sampled_from([0, HOUR_MS])))
        if not draw(st.integers(0, 3))
        else None,
        retiring=tuple(
            retiring(next(ids), label, since_ms=draw(st.sampled_from([HOUR_MS, 3 * DAY_MS])))
            for _ in range(draw(st.integers(0, 2)))
        ),
        revoking=tuple(
            Revoking(token_id=next(ids), live_label=label, reason="rotated")
            for _ in range(draw(st.integers(0, 3)) // 3)
        ),
    )


@st.composite
def _tokens(draw: st.DrawFn, token_id: str, label: str | None) -> LiveToken:
    return live(
        token_id,
        label,
        *draw(
            st.lists(
                st.sampled_from(["trading", "withdrawal"]), min_size=1, max_size=2, unique=True
            )
        ),
        days=draw(st.sampled_from([0, 1, 40])),
        used_ago_ms=draw(st.sampled_from([None, MINUTE_MS, 2 * HOUR_MS, 10 * DAY_MS])),
    )


def _metas() -> st.SearchStrategy[SecretMeta]:
    states = st.sampled_from([VersionState.LIVING, VersionState.DELETED])
    return st.builds(SecretMeta, latest=st.integers(1, 3), state=states, oldest=st.integers(0, 1))
