"""Small worlds: each a start, what is wished for by one run or two, and what a person
may do meanwhile.

``bot`` is the one label beside the manager, save in a few worlds that say so. Its first
token is ``t-first1``, its second, where there is one, ``t-second1``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from reconciler.model import DAY_MS, HOUR_MS, MINUTE_MS, Manifest, TokenSpec, instant_ms
from reconciler.plan.change import Selection
from reconciler.plan.guards import Policy
from reconciler.plan.vocabulary import Category
from reconciler.protocol.effects import PutSecret
from reconciler.state.transitions import start_revoking
from tests.proofs.simulation.explore import LEASE_OVER_MS, Scenario, undisturbed
from tests.proofs.simulation.models import PLACE, TIMES_KEPT, Vault
from tests.proofs.simulation.runs import SPOILED, THEIRS, Command, Run, Wish
from tests.proofs.simulation.shown import DEBOUNCED, LATE, NEVER, Law
from tests.proofs.simulation.world import OK, World

START_MS = instant_ms("2026-11-22T08:00:00.000Z")
MANAGER = "manager"

Start = Callable[[], World]
Act = tuple[str, str]


def spec(label: str, *scopes: str, path: str | None = None) -> TokenSpec:
    """A wanted token."""
    return TokenSpec(
        label=label,
        scopes=scopes or ("trading",),
        path=path or label,
        rotate_after_ms=30 * DAY_MS,
        overlap_ms=HOUR_MS,
    )


def wish(  # noqa: PLR0913  # all but the name and the tokens by name
    name: str,
    *specs: TokenSpec,
    policy: Policy | None = None,
    command: Command = Command.APPLY,
    subject: str = "",
    token_id: str = "",
    identity: bool = True,
) -> Wish:
    """What a run is started with: the manifest has the manager and these tokens.

    The manager may be among them, as it is wanted.
    """
    if all(one.label != MANAGER for one in specs):
        specs = spec(MANAGER), *specs
    manifest = Manifest(
        profile_id=None,
        manager=MANAGER,
        mount="secret",
        prefix="limitless/tokens",
        tokens=specs,
        files=("tokens.yaml",),
    )
    return Wish(
        name=name,
        manifest=manifest,
        policy=dataclasses.replace(policy or Policy(), allow_older_manifest=True),
        command=command,
        subject=subject,
        token_id=token_id,
        identity=identity,
    )


BOT = spec("bot")
WIDER = spec("bot", "account_creation", "trading")
NAMED = dataclasses.replace(BOT, fields=("ID=token_id", "KEY=secret"))
MOVED = spec("bot", path="elsewhere")
RENAMED = dataclasses.replace(spec("robot", path="bot"), was="bot")
CAT = spec("cat")
PATIENT = dataclasses.replace(BOT, overlap_ms=2 * HOUR_MS)
HASTY = dataclasses.replace(BOT, overlap_ms=0)
HASTY_CAT = dataclasses.replace(CAT, overlap_ms=0)
MANAGED = spec(MANAGER, path="elsewhere")
SUCCESSOR = spec("cat", path="bot")
PASSED_ON = spec("bot", path="cat"), spec("cat", path="dog")
AROUND = spec("bot", path="cat"), spec("cat", path="dog"), spec("dog", path="bot")
SWAPPED_AT_ONCE = (
    dataclasses.replace(HASTY, path="cat"),
    dataclasses.replace(HASTY_CAT, path="bot"),
)
SWAPPED = spec("bot", path="cat"), spec("cat", path="bot")

KEPT = dataclasses.replace(BOT, reserve=1)
KEPT_TWICE = dataclasses.replace(BOT, reserve=2)
WIDER_CAT = spec("cat", "account_creation", "trading")
KEPT_WIDER = dataclasses.replace(WIDER, reserve=1)
KEPT_MOVED = dataclasses.replace(MOVED, reserve=1)
KEPT_LONG = dataclasses.replace(KEPT, rotate_after_ms=None, reserve_age_ms=20 * DAY_MS)
KEPT_MANAGER = dataclasses.replace(spec(MANAGER), reserve=1)

ROTATE = Policy(requested=frozenset({"bot"}))
COMPROMISED = Policy(requested=frozenset({"bot"}), compromised=True)
ANY_MANIFEST = Policy(allow_older_manifest=True)
"""The second of two runs may have either manifest."""

BOTH = ("bot", f"{THEIRS}/p1"), ("cat", f"{THEIRS}/p2")
ONE_WRONG = ("bot", f"{THEIRS}/p1"), ("cat", f"{SPOILED}/p2")

CLEAN_UP = Policy(selection=Selection(only=Category.CLEANUP))
NOW = Policy(revoke_now=frozenset({"bot"}))
"""A removal without an overlap."""

IN_USE_TOO = dataclasses.replace(NOW, revoke_in_use=True)
"""A restore signs with its token, which is a use that a removal would wait for."""

ROTATE_MANAGER = Policy(requested=frozenset({MANAGER}))


# --- how worlds begin ---


def bare(law: Law | None = None) -> World:
    """Nothing is there yet."""
    return World(now_ms=START_MS, law=law)


def bootstrapped(*specs: TokenSpec, law: Law | None = None) -> World:
    """A manager and these tokens are in place, and a day has passed."""
    world = bare(law)
    undisturbed(world, wish("boot", *specs, command=Command.BOOTSTRAP))
    if specs:
        undisturbed(world, wish("first", *specs))
    world.now_ms += DAY_MS
    return world


def settled() -> World:
    """``bot`` is in place."""
    return bootstrapped(BOT)


def pair() -> World:
    """``bot`` and ``cat`` are in place."""
    return bootstrapped(BOT, CAT)


def hasty_pair() -> World:
    """``bot`` and ``cat`` are in place, without an overlap."""
    return bootstrapped(HASTY, HASTY_CAT)


def trio() -> World:
    """``bot``, ``cat`` and ``dog`` are in place."""
    return bootstrapped(BOT, CAT, spec("dog"))


def superseded() -> World:
    """``bot`` was rotated, its overlap is over, and its consumer uses the successor."""
    return _rotated(wish("second", BOT, policy=ROTATE), picked_up=True)


def moved() -> World:
    """``bot`` was moved to another path, its overlap is over, and its consumer uses the
    successor there.
    """
    return _rotated(wish("second", MOVED), picked_up=True)


def taken_over() -> World:
    """``bot`` was moved to another path, and ``cat`` has the former one; the overlap is
    over. The consumer there used what it found before long ago, and has not read since.
    """
    world = _rotated(wish("second", MOVED, SUCCESSOR), picked_up=False)
    world.now_ms += 3 * HOUR_MS
    return world


def half_gone() -> World:
    """The same, and the predecessor is recorded as revoking; its run died then."""
    return _going(moved(), "superseded")


def left_half_gone() -> World:
    """``bot`` left, and its token is recorded as revoking: its run died right then."""
    return _going(left(), "not desired")


def _going(world: World, reason: str) -> World:
    ledger = world.vault.ledger()
    assert ledger is not None
    going = start_revoking("bot", "t-first1", reason=reason)(ledger)
    world.vault.write_ledger(going, cas=world.vault.ledger_version)
    world.audit.recorded(going, world.now_ms, None, key_of=str)
    return world


def clung_to() -> World:
    """``bot`` was rotated, its overlap is over, and its consumer still uses the
    predecessor.
    """
    return _rotated(wish("second", BOT, policy=ROTATE), picked_up=False)


def abandoned() -> World:
    """``bot`` was rotated, its overlap is over; its consumer used the predecessor long
    ago, and has not read the successor.
    """
    world = clung_to()
    world.now_ms += 3 * HOUR_MS
    return world


def abandoned_at_once() -> World:
    """The same, of a label without an overlap."""
    world = _rotated(wish("second", HASTY, policy=ROTATE), picked_up=False)
    world.now_ms += 3 * HOUR_MS
    return world


def clung_to_unread() -> World:
    """The same, and Vault has trimmed the predecessor's secret away."""
    return _rotated(wish("second", BOT, policy=ROTATE), picked_up=False, kept=1)


def clung_to_spoiled() -> World:
    """``bot``'s secret was spoiled beside the right id, and no other version is left,
    so it was replaced; its consumer, which read it before, still uses it.
    """
    return _rotated(wish("second", BOT), picked_up=False, kept=1, spoiled=True)


def _rotated(
    second: Wish, *, picked_up: bool, kept: int = TIMES_KEPT, spoiled: bool = False
) -> World:
    world = settled()
    world.vault.max_versions = kept
    for path in ("bot", MANAGER):
        world.take(("read", path))
        world.take(("use", path))
    world.now_ms += MINUTE_MS
    if spoiled:
        world.take(("person", "spoils", "bot"))
        world.vault.max_versions = TIMES_KEPT
    undisturbed(world, second)
    world.audit.meddled = False
    world.now_ms += 2 * HOUR_MS
    spec_now = second.spec("bot")
    assert spec_now is not None
    path = spec_now.path if picked_up else "bot"
    if picked_up:
        world.take(("read", path))
    world.take(("use", path))
    world.now_ms += MINUTE_MS
    return world


def shown_late() -> World:
    """``bot`` was rotated, and one consumer uses the successor. Another used the
    predecessor 80 minutes ago, and may have used it in the last half hour, which no
    list shows yet.
    """
    return _half_changed_over(Law(LATE, HOUR_MS // 2), 70)


def shown_seldom() -> World:
    """The same, and the other used the predecessor 90 and 40 minutes ago: the second
    use is never shown, because the exchange writes one in an hour.
    """
    return _half_changed_over(Law(DEBOUNCED, HOUR_MS), 60, 110)


def never_shown() -> World:
    """The same, where no use is ever shown."""
    return _half_changed_over(Law(NEVER), 60, 110)


def _half_changed_over(law: Law, *minutes: int) -> World:
    world = bootstrapped(BOT, law=law)
    undisturbed(world, wish("second", BOT, policy=ROTATE))
    begun_ms = world.now_ms
    for minute in minutes:
        world.now_ms = begun_ms + minute * MINUTE_MS
        world.use_of_a_consumer("t-first1")
        world.take(("read", "bot"))
        world.take(("use", "bot"))
    world.now_ms = begun_ms + 150 * MINUTE_MS
    return world


def left() -> World:
    """``bot`` has left the manifest, and its overlap is over."""
    return _gone(settled())


def _gone(world: World) -> World:
    undisturbed(world, wish("removes"))
    world.now_ms += 2 * HOUR_MS
    return world


def hasty() -> World:
    """``bot`` is in place, without an overlap."""
    return bootstrapped(HASTY)


def left_unread() -> World:
    """The same, and before that ``bot`` was rotated; its consumer used the predecessor
    long ago, and has not read the successor.
    """
    return _gone(abandoned())


def left_in_use() -> World:
    """``bot`` has left the manifest, its overlap is over, and its consumer uses it."""
    world = left()
    world.take(("read", "bot"))
    world.take(("use", "bot"))
    world.now_ms += MINUTE_MS
    return world


def seldom_used() -> World:
    """``bot`` left the manifest four hours ago. Its consumer used it 90 and 40 minutes
    ago, and the second use is never shown.
    """
    world = _gone(bootstrapped(BOT, law=Law(DEBOUNCED, HOUR_MS)))
    world.take(("read", "bot"))
    world.take(("use", "bot"))
    world.now_ms += 50 * MINUTE_MS
    world.take(("use", "bot"))
    world.now_ms += 40 * MINUTE_MS
    return world


def fresh_in_use() -> World:
    """``bot``, with two hours of overlap, was rotated twice within a minute.

    It was rotated an hour before as well, so it is known that uses are shown seldom. A
    consumer has the token of between. It used that an hour ago, within an hour of our
    own proof, so no list shows it.
    """
    world = bootstrapped(PATIENT, law=Law(DEBOUNCED, HOUR_MS))
    undisturbed(world, wish("second", PATIENT, policy=ROTATE))
    world.now_ms += 61 * MINUTE_MS
    undisturbed(world, wish("third", PATIENT, policy=ROTATE))
    world.now_ms += MINUTE_MS
    undisturbed(world, wish("fourth", PATIENT, policy=ROTATE))
    world.now_ms += 58 * MINUTE_MS
    world.use_of_a_consumer("t-third1")
    world.now_ms += 63 * MINUTE_MS
    return world


def adopted() -> World:
    """A person's token was adopted as ``bot`` and rotated since; its overlap is over,
    and its user has not read the successor.
    """
    world = bootstrapped()
    world.take(("person", "derives and uses", "bot"))
    adopts = wish("adopts", BOT, command=Command.ADOPT, subject="bot", token_id="p1")
    world.now_ms += MINUTE_MS
    undisturbed(world, adopts)
    undisturbed(world, wish("second", BOT, policy=ROTATE))
    world.audit.meddled = False
    world.now_ms += 2 * HOUR_MS
    return world


def restored() -> World:
    """``bot`` was rotated, and a consumer uses the new token. Then Vault was restored
    from a backup of the middle of that: the intent names the token, and its secret is
    not there.
    """
    world = bootstrapped(BOT)
    world.acts = (("restores Vault", ""),)
    undisturbed(world, wish("second", BOT, policy=ROTATE))
    world.now_ms += MINUTE_MS
    world.take(("read", "bot"))
    world.take(("use", "bot"))
    world.now_ms += 5 * MINUTE_MS
    ago = next(
        number for number in range(1, len(world.pasts)) if _not_written_yet(world.pasts[-number])
    )
    world.take(("person", "restores Vault", str(ago)))
    world.audit.meddled = False
    return world


def _not_written_yet(vault: Vault) -> bool:
    ledger = vault.ledger()
    intent = ledger.tokens["bot"].intent if ledger is not None else None
    named = intent is not None and intent.token_id is not None
    return named and vault.history("bot").latest == 1


def misled() -> World:
    """The manager, with an hour of overlap, was rotated half an hour ago.

    The first reply that ``A`` gets has a Date an hour ahead. It must be the manager:
    elsewhere the same Date makes the worth of uses look worse, which holds the token.
    """
    world = bootstrapped(BOT)
    world.now_ms += 4 * HOUR_MS
    undisturbed(world, wish("second", BOT, policy=ROTATE_MANAGER))
    world.now_ms += 30 * MINUTE_MS
    world.wrong_ms = {"A": HOUR_MS}
    return world


def ending() -> World:
    """``bot`` is in place, and what is written at its path has ended by itself for an
    hour.
    """
    world = settled()
    world.take(("person", "lets end what is written at", "bot"))
    world.audit.meddled = False
    world.now_ms += HOUR_MS
    return world


def outdated() -> World:
    """``bot`` was in place, and a newer manifest has added ``cat``."""
    world = bootstrapped(BOT)
    undisturbed(world, wish("second", BOT, CAT))
    world.now_ms += DAY_MS
    return world


def released() -> World:
    """``bot`` was rotated and then released: two tokens live on as somebody else's, and
    a consumer uses the newer one.
    """
    world = superseded()
    undisturbed(world, dataclasses.replace(RELEASE_BOT, name="lets go"))
    world.now_ms += MINUTE_MS
    return world


def twin() -> World:
    """A person has derived a token with ``bot``'s label, and has its secret."""
    world = bootstrapped()
    world.take(("person", "derives", "bot"))
    world.audit.meddled = False
    return world


def twins() -> World:
    """The same for ``cat`` as well, whose user uses it."""
    world = bootstrapped()
    world.take(("person", "derives", "bot"))
    world.take(("person", "derives and uses", "cat"))
    world.audit.meddled = False
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


def stocked() -> World:
    """``bot`` is in place, and has a successor ready: ``t-first2``."""
    return bootstrapped(KEPT)


def crowded() -> World:
    """``bot`` and ``cat`` are in place, and no more tokens may live than do by now.

    The oldest two are somebody else's: the next derives end those, and then the
    manager's.
    """
    world = bare()
    world.take(("person", "derives", "theirs"))
    world.take(("person", "derives", "others"))
    undisturbed(world, wish("boot", command=Command.BOOTSTRAP))
    undisturbed(world, wish("first", BOT, CAT))
    world.audit.meddled = False
    world.exchange.most = len(world.exchange.live)
    world.now_ms += DAY_MS
    return world


def stocked_long() -> World:
    """The same, and the successor is too old by now; the token itself never is."""
    world = bootstrapped(KEPT_LONG)
    world.now_ms += 20 * DAY_MS
    return world


def stocked_hidden() -> World:
    """``bot`` has a successor ready, where no use is ever shown."""
    return bootstrapped(KEPT, law=Law(NEVER))


def stocked_and_gone() -> World:
    """``bot`` has a successor ready, and somebody has revoked its token."""
    world = stocked()
    world.take(("person", "revokes", "t-first1"))
    world.audit.meddled = False
    return world


def stocked_manager() -> World:
    """The manager has a successor ready, and so has ``bot``."""
    return bootstrapped(KEPT_MANAGER, KEPT)


def copied() -> World:
    """A person wrote ``bot``'s reserve to its path, and a consumer has it."""
    world = stocked()
    world.take(("person", "copies a reserve of", "bot"))
    world.take(("read", "bot"))
    world.audit.meddled = False
    return world


# --- scenarios ---


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much may go wrong, and how many runs there are (the third wishes what the
    first does).

    ``coarse`` is the world's; ``kept`` is how many versions of a secret Vault keeps.
    """

    faults: int = 0
    ticks: int = 0
    runs: int = 1
    coarse: bool = False
    kept: int = TIMES_KEPT


def scenario(
    name: str, start: Start, runs: tuple[Wish, ...], budget: Budget, *, act: Act | None = None
) -> Scenario:
    """A scenario.

    The fresh process wishes what the last run wishes, without what was asked for by
    name.
    """

    def begin() -> World:
        world = start()
        world.faults, world.ticks, world.acts = (
            budget.faults,
            budget.ticks,
            (act,) if act is not None else (),
        )
        world.coarse = frozenset({MANAGER}) if budget.coarse else None
        world.disturbed = False
        world.vault.max_versions = budget.kept
        for one in runs:
            world.waiting[one.name] = one
        return world

    last = next((one for one in runs if one.origin), runs[-1])
    fresh = dataclasses.replace(
        last, older=False, policy=ANY_MANIFEST, command=Command.APPLY, origin="", identity=True
    )
    mends: tuple[Wish, ...] = ()
    if last.origin:
        former = dataclasses.replace(fresh.manifest, prefix=last.origin.partition("/")[2])
        mends = (dataclasses.replace(fresh, manifest=former), last)
    return Scenario(name=name, begin=begin, fresh=fresh, mends=mends)


_A, _B, _C = "A", "B", "C"

ADOPT_MANY = wish(_A, BOT, CAT, command=Command.ADOPT_MANY)
COMPROMISE_BOT = wish(_A, BOT, policy=COMPROMISED)
_COMPROMISE_AFTER = dataclasses.replace(COMPROMISE_BOT, name=_B)
RELEASE_BOT = wish(_A, BOT, command=Command.RELEASE, subject="bot")
NEW_PREFIX = "limitless/new"
NEW_PLACE = f"secret/{NEW_PREFIX}"


def at_new_place(one: Wish) -> Wish:
    """The same wish of a manifest that names another prefix."""
    return dataclasses.replace(one, manifest=dataclasses.replace(one.manifest, prefix=NEW_PREFIX))


def moving(*specs: TokenSpec) -> Wish:
    """Everything is to move to where such a manifest says."""
    there = at_new_place(wish(_A, *specs, command=Command.MOVE))
    return dataclasses.replace(there, origin=PLACE)


def leaving(start: Start) -> Start:
    """The same world, and the manifest names another place by now."""

    def begin() -> World:
        world = start()
        world.go_to(NEW_PLACE)
        return world

    return begin


def overtaken_mover() -> World:
    """A mover was paused before its first write of a secret. Another one has finished,
    and ``bot`` was rotated as compromised since.
    """
    world = leaving(settled)()
    paused = world.start(dataclasses.replace(moving(BOT), name="paused"))
    while not isinstance(paused.effect(0), PutSecret) or not _sealed(paused):
        world.take(("run", "paused", "0", OK))
    world.now_ms += LEASE_OVER_MS
    undisturbed(world, dataclasses.replace(moving(BOT), name="moves"))
    undisturbed(world, dataclasses.replace(at_new_place(COMPROMISE_BOT), name="second"))
    world.now_ms += MINUTE_MS
    return world


def _sealed(run: Run) -> bool:
    return run.desk is not None and run.desk.ledger.moved_to is not None


def moved_place() -> World:
    """``bot`` was rotated, its overlap is over, and everything has moved since."""
    world = leaving(superseded)()
    undisturbed(world, dataclasses.replace(moving(BOT), name="moves"))
    world.now_ms += MINUTE_MS
    return world


PROMOTE = wish(_A, KEPT, policy=ROTATE, identity=False)
PROMOTE_COMPROMISED = wish(_A, KEPT, policy=COMPROMISED, identity=False)
_PROMOTE_ELSEWHERE = wish(_B, KEPT_MOVED, identity=False)
DISTRUSTED = dataclasses.replace(COMPROMISED, distrust_reserve=True)
_DISTRUST = wish(_B, KEPT, policy=DISTRUSTED)
PROMOTE_MANAGER = wish(_A, KEPT_MANAGER, KEPT, policy=ROTATE_MANAGER, identity=False)
_COMPROMISED_MANAGER = dataclasses.replace(
    PROMOTE_MANAGER,
    policy=dataclasses.replace(ROTATE_MANAGER, compromised=True, allow_older_manifest=True),
)

OLDER = dataclasses.replace(wish(_A, BOT), policy=Policy(), older=True)

_SMALL: tuple[tuple[str, Start, Wish, Wish | None], ...] = (
    ("derive", bootstrapped, wish(_A, BOT), None),
    ("rotate", settled, wish(_A, WIDER), None),
    ("rotate, remove", settled, wish(_A, WIDER), wish(_B, policy=NOW)),
    ("compromised", settled, wish(_A, BOT, policy=COMPROMISED), None),
    ("move", settled, wish(_A, MOVED), None),
    ("move, remove", settled, wish(_A, MOVED), wish(_B, policy=NOW)),
    ("rename", settled, wish(_A, RENAMED), None),
    ("remove", settled, wish(_A), None),
    ("remove, return", settled, wish(_A), wish(_B, BOT)),
    ("remove at once", hasty, wish(_A), None),
    ("remove now", settled, wish(_A, policy=NOW), None),
    ("remove what left", left, wish(_A), None),
    ("remove what left, return", left, wish(_A), wish(_B, BOT)),
    ("hold what left", left_in_use, wish(_A), None),
    ("return", left, wish(_A, BOT), None),
    ("return to another path", left, wish(_A, MOVED), None),
    ("return, remove", left, wish(_A, BOT), wish(_B)),
    ("rewrite", settled, wish(_A, NAMED), None),
    ("rewrite, remove", settled, wish(_A, NAMED), wish(_B)),
    ("retire", superseded, wish(_A, BOT), None),
    ("retire at an old path", moved, wish(_A, MOVED), None),
    ("retire and rotate", superseded, wish(_A, WIDER), None),
    ("retire and compromised", superseded, wish(_A, BOT, policy=COMPROMISED), None),
    ("retire and move", superseded, wish(_A, MOVED), None),
    ("retire and remove", superseded, wish(_A), None),
    ("move back", moved, wish(_A, BOT), None),
    ("move back to what goes", half_gone, wish(_A, BOT), None),
    ("hold", clung_to, wish(_A, BOT), None),
    ("hold and rename", clung_to, wish(_A, RENAMED), None),
    ("hold late uses", shown_late, wish(_A, BOT), None),
    ("hold seldom uses", shown_seldom, wish(_A, BOT), None),
    ("hold hidden uses", never_shown, wish(_A, BOT), None),
    ("hold fresh uses", fresh_in_use, wish(_A, PATIENT), None),
    ("hold adopted", adopted, wish(_A, BOT), None),
    ("remove seldom uses", seldom_used, wish(_A), None),
    ("hold by a wrong clock", misled, wish(_A, BOT), None),
    ("an older manifest", outdated, OLDER, None),
    ("rotate where versions end", ending, wish(_A, WIDER), None),
    ("recover after a backup", restored, wish(_A, BOT), None),
    ("remove by others", abandoned, wish(_A, policy=CLEAN_UP), None),
    ("remove by others at once", abandoned_at_once, wish(_A, policy=CLEAN_UP), None),
    ("verify", abandoned, wish(_A, BOT, command=Command.VERIFY), wish(_B, BOT)),
    (
        "verify what took a path over",
        taken_over,
        wish(_A, MOVED, SUCCESSOR, command=Command.VERIFY),
        wish(_B, MOVED, SUCCESSOR),
    ),
    ("hold without a secret", clung_to_unread, wish(_A, BOT), None),
    ("hold with a wrong secret", clung_to_spoiled, wish(_A, BOT), None),
    ("restore", overwritten, wish(_A, BOT), None),
    ("restore, remove", overwritten, wish(_A, BOT), wish(_B, policy=IN_USE_TOO)),
    ("put right", written_again, wish(_A, BOT), None),
    (
        "roll back",
        superseded,
        wish(_A, BOT, command=Command.ROLLBACK, subject="bot"),
        wish(_B, BOT),
    ),
    (
        "adopt",
        twin,
        wish(_A, BOT, command=Command.ADOPT, subject="bot", token_id="p1"),
        wish(_B, BOT),
    ),
    (
        "adopt many",
        twins,
        dataclasses.replace(ADOPT_MANY, rows=BOTH),
        wish(_B, BOT, CAT),
    ),
    (
        "adopt many with one wrong",
        twins,
        dataclasses.replace(ADOPT_MANY, rows=ONE_WRONG),
        wish(_B, BOT, CAT),
    ),
    ("release", superseded, RELEASE_BOT, wish(_B, BOT)),
    ("release, rotate", settled, RELEASE_BOT, wish(_B, WIDER)),
    ("release, remove", superseded, RELEASE_BOT, wish(_B)),
    ("derive anew", released, wish(_A, WIDER, policy=Policy(replace=frozenset({"bot"}))), None),
    ("move place", leaving(superseded), moving(BOT), None),
    ("move place, rotate", leaving(settled), moving(WIDER), wish(_B, WIDER)),
    (
        "compromised after a move",
        moved_place,
        at_new_place(COMPROMISE_BOT),
        None,
    ),
    ("move place, compromised", leaving(settled), moving(BOT), at_new_place(_COMPROMISE_AFTER)),
    ("a mover wakes up", overtaken_mover, at_new_place(wish(_A, BOT)), None),
    ("move place and remove", leaving(settled), moving(), None),
    ("remove after a move", moved_place, at_new_place(wish(_A)), None),
    ("replace", twin, wish(_A, BOT, policy=Policy(replace=frozenset({"bot"}))), None),
    ("rotate two", pair, wish(_A, WIDER, CAT, policy=Policy(requested=frozenset({"cat"}))), None),
    ("swap paths", pair, wish(_A, *SWAPPED), None),
    ("swap paths, swap back", pair, wish(_A, *SWAPPED), wish(_B, BOT, CAT)),
    ("swap paths, remove", pair, wish(_A, *SWAPPED), wish(_B, CAT, policy=NOW)),
    ("swap paths at once", hasty_pair, wish(_A, *SWAPPED_AT_ONCE), None),
    ("pass a path on", pair, wish(_A, *PASSED_ON), None),
    ("pass paths around", trio, wish(_A, *AROUND), None),
    ("take over", settled, wish(_A, SUCCESSOR), None),
    ("take over, return", settled, wish(_A, SUCCESSOR), wish(_B, BOT)),
    ("take over what left", left, wish(_A, SUCCESSOR), None),
    ("take over what goes", left_half_gone, wish(_A, SUCCESSOR), None),
    ("take over at once", hasty, wish(_A, SUCCESSOR), None),
    ("take over now", settled, wish(_A, SUCCESSOR, policy=NOW), None),
    ("take the manager's path", settled, wish(_A, MANAGED, BOT, spec("cat", path=MANAGER)), None),
    ("take over by others", left_unread, wish(_A, SUCCESSOR, policy=CLEAN_UP), None),
    ("take over after a move", moved, wish(_A, MOVED, SUCCESSOR), None),
    ("rotate the manager", settled, wish(_A, BOT, policy=ROTATE_MANAGER), None),
    ("bootstrap", bare, wish(_A, command=Command.BOOTSTRAP), None),
    ("stock", settled, wish(_A, KEPT), None),
    ("derive and stock", bootstrapped, wish(_A, KEPT), None),
    ("stock where it is crowded", crowded, wish(_A, KEPT_TWICE, CAT), None),
    ("rotate and stock where it is crowded", crowded, wish(_A, KEPT, WIDER_CAT), None),
    ("promote", stocked, PROMOTE, None),
    ("promote, want none", stocked, PROMOTE, wish(_B, BOT)),
    ("promote, move", stocked, PROMOTE, _PROMOTE_ELSEWHERE),
    ("promote, distrust", stocked, PROMOTE, _DISTRUST),
    ("promote elsewhere", stocked, dataclasses.replace(_PROMOTE_ELSEWHERE, name=_A), None),
    ("promote and stock", stocked, wish(_A, KEPT, policy=ROTATE), None),
    ("promote compromised", stocked, PROMOTE_COMPROMISED, None),
    ("promote what is dead", stocked_and_gone, wish(_A, KEPT, identity=False), None),
    ("promote where uses are hidden", stocked_hidden, PROMOTE, None),
    ("promote the manager", stocked_manager, PROMOTE_MANAGER, None),
    ("promote the manager as compromised", stocked_manager, _COMPROMISED_MANAGER, None),
    ("distrust a reserve", stocked, dataclasses.replace(_DISTRUST, name=_A), None),
    ("give up a surplus", stocked, wish(_A, BOT, identity=False), None),
    ("give up what does not fit", stocked, wish(_A, KEPT_WIDER), None),
    ("give up what left", stocked, wish(_A, policy=NOW), None),
    ("give up what is old", stocked_long, wish(_A, KEPT_LONG), None),
    ("give up where uses are hidden", stocked_hidden, wish(_A, BOT, identity=False), None),
    ("record what was copied", copied, wish(_A, KEPT), None),
    ("give up what was copied", copied, wish(_A, BOT), None),
)

SMALL_WORLDS = tuple(name for name, *_ in _SMALL)

RESERVE_WORLDS = SMALL_WORLDS[SMALL_WORLDS.index("stock") :]
"""Those with a reserve."""

_TOUCHES_MANAGER = frozenset(
    {
        "rotate the manager",
        "bootstrap",
        "take the manager's path",
        "promote the manager",
        "promote the manager as compromised",
    }
)


def small_world(name: str, budget: Budget, act: Act | None = None) -> Scenario:
    """A small world by name.

    The second run wishes the same as the first unless told otherwise. A person may act
    once.
    """
    start, first, second = next(row[1:] for row in _SMALL if row[0] == name)
    runs = (
        first,
        second or dataclasses.replace(first, name=_B),
        dataclasses.replace(first, name=_C),
    )[: budget.runs]
    if name in _TOUCHES_MANAGER:
        budget = dataclasses.replace(budget, coarse=False)
    told = f"{name}; a person {' '.join(act)}" if act is not None else name
    return scenario(told, start, runs, budget, act=act)


ACTS: tuple[Act, ...] = (
    ("deletes the latest", "bot"),
    ("undeletes the latest", "bot"),
    ("deletes the intent's version of", "bot"),
    ("destroys the intent's version of", "bot"),
    ("deletes the ledger", ""),
    ("rolls the ledger back", "1"),
    ("rolls the ledger back", "3"),
    ("rolls the ledger back", "6"),
    ("overwrites", "bot"),
    ("writes the same again", "bot"),
    ("rolls back", "bot"),
    ("spoils", "bot"),
    ("forges the intent's version of", "bot"),
    ("restores Vault", "1"),
    ("restores Vault", "3"),
    ("restores Vault", "6"),
    ("revokes", "t-first1"),
    ("revokes", "t-second1"),
    ("derives", "bot"),
    ("derives and uses", "bot"),
)
"""What a person may do in a small world, once, at any time."""

ACTS_IN_RESERVES: tuple[Act, ...] = (
    ("deletes a reserve of", "bot"),
    ("destroys a reserve of", "bot"),
    ("overwrites a reserve of", "bot"),
    ("spoils a reserve of", "bot"),
    ("copies a reserve of", "bot"),
    ("revokes", "t-first2"),
)
"""What a person may do to a reserve, in the same way."""
