"""Small worlds: each a start, what is wished for by one run or two, and what a person may do meanwhile.

``bot`` is the one label beside the manager. Its first token is ``t-first1``, its second, where there is one, ``t-second1``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from reconciler.model import DAY_MS, HOUR_MS, MINUTE_MS, Manifest, TokenSpec, instant_ms
from reconciler.plan import Policy
from tests.simulation.explore import Scenario, undisturbed
from tests.simulation.runs import Command, Wish
from tests.simulation.world import World

START_MS = instant_ms("2026-11-22T08:00:00.000Z")
MANAGER = "manager"

Start = Callable[[], World]
Act = tuple[str, str]


def spec(label: str, *scopes: str, path: str | None = None) -> TokenSpec:
    """A wanted token."""
    return TokenSpec(
        label=label, scopes=scopes or ("trading",), path=path or label, rotate_after_ms=30 * DAY_MS, overlap_ms=HOUR_MS
    )


def wish(
    name: str, *specs: TokenSpec, policy: Policy | None = None, command: Command = Command.APPLY, subject: str = ""
) -> Wish:
    """What a run is started with, where the manifest has the manager and these tokens."""
    manifest = Manifest(
        profile_id=None,
        manager=MANAGER,
        mount="secret",
        prefix="limitless/tokens",
        tokens=(spec(MANAGER), *specs),
        files=("tokens.yaml",),
    )
    return Wish(name=name, manifest=manifest, policy=policy or Policy(), command=command, subject=subject)


BOT = spec("bot")
WIDER = spec("bot", "account_creation", "trading")
MOVED = spec("bot", path="elsewhere")

ROTATE = Policy(requested=frozenset({"bot"}))
COMPROMISED = Policy(requested=frozenset({"bot"}), compromised=True)
ROTATE_MANAGER = Policy(requested=frozenset({MANAGER}))


# --- how worlds begin ---


def bare() -> World:
    """Nothing is there yet."""
    return World(now_ms=START_MS)


def bootstrapped(*specs: TokenSpec) -> World:
    """A manager and these tokens are in place, and a day has passed."""
    world = bare()
    undisturbed(world, wish("boot", *specs, command=Command.BOOTSTRAP))
    if specs:
        undisturbed(world, wish("first", *specs))
    world.now_ms += DAY_MS
    return world


def settled() -> World:
    """``bot`` is in place."""
    return bootstrapped(BOT)


def superseded() -> World:
    """``bot`` was rotated, its overlap is over, and its consumer uses the successor."""
    world = settled()
    for path in ("bot", MANAGER):
        world.take(("read", path))
        world.take(("use", path))
    world.now_ms += MINUTE_MS
    undisturbed(world, wish("second", BOT, policy=ROTATE))
    world.now_ms += 2 * HOUR_MS
    world.take(("read", "bot"))
    world.take(("use", "bot"))
    world.now_ms += MINUTE_MS
    return world


def overwritten() -> World:
    """A person wrote something else over ``bot``'s secret."""
    return _touched("overwrites")


def written_again() -> World:
    """A person wrote ``bot``'s secret once more as it is."""
    return _touched("writes the same again")


def _touched(what: str) -> World:
    world = settled()
    world.take(("person", what, "bot"))
    world.audit.meddled = False
    return world


# --- scenarios ---


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much may go wrong. ``coarse`` is the world's; ``two`` runs instead of the first alone."""

    faults: int = 0
    ticks: int = 0
    two: bool = False
    coarse: bool = False


def scenario(name: str, start: Start, runs: tuple[Wish, ...], budget: Budget, *, act: Act | None = None) -> Scenario:
    """A scenario. The fresh process wishes what the last run wishes, without what was asked for by name."""

    def begin() -> World:
        world = start()
        world.faults, world.ticks, world.acts = budget.faults, budget.ticks, (act,) if act is not None else ()
        world.coarse = frozenset({MANAGER}) if budget.coarse else None
        world.disturbed = False
        for one in runs:
            world.waiting[one.name] = one
        return world

    last = dataclasses.replace(runs[-1], policy=Policy(), command=Command.APPLY)
    boots = any(one.command is Command.BOOTSTRAP for one in runs)
    fresh = (dataclasses.replace(last, command=Command.BOOTSTRAP), last) if boots else (last,)
    return Scenario(name=name, begin=begin, fresh=fresh)


_A, _B = "A", "B"

_SMALL: tuple[tuple[str, Start, Wish, Wish | None], ...] = (
    ("derive", bootstrapped, wish(_A, BOT), None),
    ("rotate", settled, wish(_A, WIDER), None),
    ("rotate, remove", settled, wish(_A, WIDER), wish(_B)),
    ("remove, rotate", settled, wish(_A), wish(_B, WIDER)),
    ("compromised", settled, wish(_A, BOT, policy=COMPROMISED), None),
    ("move", settled, wish(_A, MOVED), None),
    ("remove", settled, wish(_A), None),
    ("retire", superseded, wish(_A, BOT), None),
    ("retire and rotate", superseded, wish(_A, WIDER), None),
    ("retire and compromised", superseded, wish(_A, BOT, policy=COMPROMISED), None),
    ("retire and move", superseded, wish(_A, MOVED), None),
    ("retire and remove", superseded, wish(_A), None),
    ("restore", overwritten, wish(_A, BOT), None),
    ("restore, remove", overwritten, wish(_A, BOT), wish(_B)),
    ("put right", written_again, wish(_A, BOT), None),
    ("roll back", superseded, wish(_A, BOT, command=Command.ROLLBACK, subject="bot"), wish(_B, BOT)),
    ("rotate the manager", settled, wish(_A, BOT, policy=ROTATE_MANAGER), None),
    ("bootstrap", bare, wish(_A, command=Command.BOOTSTRAP), None),
)

SMALL_WORLDS = tuple(name for name, *_ in _SMALL)

_TOUCHES_MANAGER = frozenset({"rotate the manager", "bootstrap"})


def small_world(name: str, budget: Budget) -> Scenario:
    """A small world by name. The second run, where there are two, wishes the same as the first unless told otherwise."""
    start, first, second = next(row[1:] for row in _SMALL if row[0] == name)
    runs = (first, second or dataclasses.replace(first, name=_B)) if budget.two else (first,)
    if name in _TOUCHES_MANAGER:
        budget = dataclasses.replace(budget, coarse=False)
    return scenario(name, start, runs, budget)


ACTS: tuple[Act, ...] = (
    ("deletes the latest", "bot"),
    ("overwrites", "bot"),
    ("writes the same again", "bot"),
    ("rolls back", "bot"),
    ("revokes", "t-first1"),
    ("revokes", "t-second1"),
    ("derives", "bot"),
    ("derives and uses", "bot"),
)
"""What a person may do in a small world, once, at any time."""


def peopled_world(name: str, act: Act, budget: Budget) -> Scenario:
    """A small world with one run, in which a person acts once."""
    start, first, _ = next(row[1:] for row in _SMALL if row[0] == name)
    return scenario(f"{name}; a person {' '.join(act)}", start, (first,), budget, act=act)
