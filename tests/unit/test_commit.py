"""The commit point: the table at the head of ``protocol.commit``, row by row, on a
Vault that lives in memory.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.protocol.commit import (
    Committed,
    NotCommitted,
    TakenAway,
    Unproven,
    Verdict,
    delete_placeholder,
    resolve_commit,
)
from reconciler.protocol.effects import (
    DeleteVersion,
    Done,
    Effect,
    Mismatch,
    PutSecret,
    ReadSecret,
    Refused,
    Sleep,
    Unclear,
    Written,
    drive,
)
from tests.proofs.simulation.models import PERSON, Vault, Version, version_of

PATH, CAS, OP = "bot", 1, "op-2"
OLD, NEW = "bot-1", "bot-2"
EMPTY = Version(None, (), has_secret=False, by="run")
FOREIGN = Version(None, (("note", "by hand"),), has_secret=False, by=PERSON)

Meanwhile = Callable[[Vault], None]


def content(token_id: str, operation_id: str) -> Version:
    """A secret as a commit writes it."""
    return Version(
        token_id,
        (("operation_id", operation_id), ("token_id", token_id)),
        has_secret=True,
        by="run",
    )


class Performer:
    """Answers a step from a Vault; what stands in ``silent`` gets no reply."""

    def __init__(self, vault: Vault, silent: type[Effect[object]] | None = None) -> None:
        self.vault = vault
        self.silent = silent

    def __call__(self, effect: Effect[object]) -> object:
        """One effect."""
        if self.silent is not None and isinstance(effect, self.silent):
            return Unclear(sentence="no reply")
        if isinstance(effect, ReadSecret):
            return self.vault.read(effect.path, effect.version)
        if isinstance(effect, PutSecret):
            number = self.vault.write(
                effect.path, version_of(effect.fields, effect.secret, by="run"), cas=effect.cas
            )
            return Mismatch() if number is None else Written(version=number)
        if isinstance(effect, DeleteVersion):
            self.vault.delete(effect.path, effect.version)
            return Done()
        assert isinstance(effect, Sleep), effect
        return None


def vault_with(*meanwhile: Meanwhile, kept: int = 10) -> Vault:
    """Version 1 holds the predecessor, as it did when the intent was opened; then
    something happens.
    """
    vault = Vault(max_versions=kept)
    vault.write(PATH, content(OLD, "op-1"), cas=0)
    for happens in meanwhile:
        happens(vault)
    return vault


def write(version: Version) -> Meanwhile:
    """The next version."""

    def happens(vault: Vault) -> None:
        assert vault.write(PATH, version, cas=vault.history(PATH).latest) is not None

    return happens


def delete(number: int) -> Meanwhile:
    """One version is gone."""
    return lambda vault: vault.delete(PATH, number)


COMMITTED = write(content(NEW, OP))


def verdict_of(
    vault: Vault,
    *,
    leaving: frozenset[str] = frozenset(),
    kept: str | None = None,
    silent: type[Effect[object]] | None = None,
    cas: int = CAS,
) -> Verdict:
    """What ``resolve_commit`` finds."""
    step = resolve_commit(PATH, cas, OP, leaving=leaving, kept=kept, seen_at_ms=0)
    return drive(step, Performer(vault, silent))


def written_anew(versions: int) -> Meanwhile:
    """The path's metadata were deleted, and so many versions written later."""

    def happens(vault: Vault) -> None:
        vault.forget(PATH)
        vault.now_ms += 1
        for _ in range(versions):
            write(FOREIGN)(vault)

    return happens


@pytest.mark.parametrize("versions", [0, 1])
def test_a_path_that_was_written_anew_proves_nothing(versions: int) -> None:
    """Ours may have been there, and have been read, before its metadata were deleted:
    also where the numbers fit again.
    """
    assert verdict_of(vault_with(COMMITTED, written_anew(versions))) == TakenAway()


@pytest.mark.parametrize(
    ("expected", "vault"),
    [
        pytest.param(
            NotCommitted(version=2, changed=True),
            vault_with(write(FOREIGN)),
            id="another content: never",
        ),
        pytest.param(
            NotCommitted(version=3, changed=True),
            vault_with(write(FOREIGN), write(FOREIGN)),
            id="the latest does not matter",
        ),
        pytest.param(
            NotCommitted(version=2, empty=2, changed=True),
            vault_with(write(EMPTY)),
            id="an earlier fence's empty document",
        ),
        pytest.param(
            NotCommitted(version=3, changed=True),
            vault_with(write(FOREIGN), write(EMPTY)),
            id="another content, then another intent's empty one",
        ),
        pytest.param(
            TakenAway(), vault_with(COMMITTED, delete(2)), id="deleted: it may have been read"
        ),
        pytest.param(
            TakenAway(),
            vault_with(COMMITTED, delete(2), write(FOREIGN)),
            id="deleted, and written over",
        ),
        pytest.param(
            TakenAway(),
            vault_with(COMMITTED, delete(2), write(EMPTY)),
            id="deleted, then another intent's empty one",
        ),
        pytest.param(
            TakenAway(),
            vault_with(COMMITTED, write(FOREIGN), kept=1),
            id="trimmed away: it may have been read",
        ),
        pytest.param(
            NotCommitted(version=2, rewritten=OLD, source=1),
            vault_with(),
            id="not there: the same content again",
        ),
        pytest.param(
            NotCommitted(version=2, empty=2),
            vault_with(delete(1)),
            id="not there, nothing lives: an empty one",
        ),
    ],
)
def test_the_verdict(expected: Verdict, vault: Vault) -> None:
    """What is found at ``cas + 1`` decides, and a fence where nothing is."""
    assert verdict_of(vault) == expected
    assert vault.write(PATH, content(NEW, OP), cas=CAS) is None, (
        "no write with this number can land any more"
    )


@pytest.mark.parametrize(
    "vault",
    [
        pytest.param(vault_with(COMMITTED), id="there"),
        pytest.param(vault_with(COMMITTED, write(FOREIGN)), id="there, and written over"),
        pytest.param(
            vault_with(COMMITTED, write(content(NEW, OP)), kept=1),
            id="trimmed, and carried on by a fence",
        ),
    ],
)
def test_a_commit_is_found(vault: Vault) -> None:
    """By its operation id, whatever came after it."""
    verdict = verdict_of(vault)
    assert isinstance(verdict, Committed)
    assert verdict.content.field("token_id") == NEW


def test_a_fence_writes_no_id_again_that_is_on_its_way_out() -> None:
    """Its path gets an empty document, which is still there until the verdict is
    recorded.
    """
    vault = vault_with()
    verdict = verdict_of(vault, leaving=frozenset({OLD}))
    assert verdict == NotCommitted(version=2, empty=2)
    assert vault.content(PATH) == EMPTY
    assert drive(delete_placeholder(PATH, 2), Performer(vault)) is None
    assert vault.content(PATH) is None


@pytest.mark.parametrize(
    ("expected", "vault", "kept", "leaving"),
    [
        pytest.param(
            NotCommitted(version=3, rewritten=OLD, source=1),
            vault_with(write(FOREIGN), delete(2)),
            OLD,
            frozenset[str](),
            id="an older version has the path's token",
        ),
        pytest.param(
            NotCommitted(version=3, rewritten=OLD, source=1),
            vault_with(write(content(NEW, "op-0"))),
            OLD,
            frozenset({NEW}),
            id="also where what lives there is on its way out",
        ),
        pytest.param(
            NotCommitted(version=3, empty=3),
            vault_with(write(FOREIGN), delete(2)),
            None,
            frozenset[str](),
            id="the path has no token",
        ),
        pytest.param(
            NotCommitted(version=3, empty=3),
            vault_with(delete(1), write(FOREIGN), delete(2)),
            OLD,
            frozenset[str](),
            id="that is deleted as well",
        ),
        pytest.param(
            NotCommitted(version=3, empty=3),
            vault_with(write(FOREIGN), delete(2)),
            OLD,
            frozenset({OLD}),
            id="that token is on its way out",
        ),
    ],
)
def test_a_fence_writes_what_worked_before(
    expected: Verdict, vault: Vault, kept: str | None, leaving: frozenset[str]
) -> None:
    """Nothing that lives at the path may be written again, so an older version is."""
    assert verdict_of(vault, kept=kept, leaving=leaving, cas=2) == expected


@pytest.mark.parametrize("silent", [ReadSecret, PutSecret])
def test_without_an_answer_nothing_is_proven(silent: type[Effect[object]]) -> None:
    """Neither a read that fails nor a fence that may have failed proves anything."""
    assert isinstance(verdict_of(vault_with(), silent=silent), Unproven)


def test_a_delete_that_fails_is_told() -> None:
    """The empty document stays; the next run that finds it deletes it."""
    left = drive(delete_placeholder(PATH, 2), lambda _: Refused(sentence="no"))
    assert left == Refused(sentence="no")
