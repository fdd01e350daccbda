"""The shared values: secrets that can't leak by accident, instants that survive being
written down, scopes that compare.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler import errors, model
from reconciler.errors import Exit, Mark
from reconciler.model import (
    NEVER_WRITTEN,
    Capabilities,
    Credentials,
    Derived,
    LiveToken,
    Manifest,
    Secret,
    SecretMeta,
    SecretVersion,
    TokenSpec,
    VersionState,
    instant_ms,
    iso,
    scope_set,
)
from tests.support.values import live, manifest, spec
from tests.support.worlds import instants

HIDDEN = "c2VjcmV0LWtleQ=="
SECRET = Secret(HIDDEN)
VERSION = SecretVersion(
    version=3,
    state=VersionState.LIVING,
    fields=(("token_id", "t1"), ("label", "bot")),
    secret=SECRET,
)
DERIVED = Derived(
    token_id="t1", secret=SECRET, scopes=("trading",), created_at_ms=0, profile_id=42, account=""
)
CREDENTIALS = Credentials(token_id="t1", secret=SECRET)


@pytest.mark.parametrize(
    "holder", [SECRET, [SECRET], {"secret": SECRET}, VERSION, DERIVED, CREDENTIALS]
)
def test_a_secret_prints_as_stars(holder: object) -> None:
    """In every way of turning it, or a value that holds it, into text; log records
    included.
    """
    texts = (
        str(holder),
        repr(holder),
        f"{holder}",
        f"{holder!r:>40}",
        "{}".format(holder),  # noqa: UP032  # each way of formatting is one of its own
        "%s %r" % (holder, holder),  # noqa: UP031  # the same
        logging.LogRecord("x", logging.INFO, "x", 1, "%s", (holder,), None).getMessage(),
        json.dumps({"x": holder}, default=str),
    )
    assert [text for text in texts if HIDDEN in text] == []
    assert all("***" in text for text in texts)


@pytest.mark.parametrize("spec", ["", "s", ">40", "!r"])
def test_no_format_shows_a_secret(spec: str) -> None:
    """Not even one that no text would understand."""
    assert format(SECRET, spec) == "***"


def test_a_secret_can_not_be_serialised() -> None:
    """Neither pickled nor copied nor made JSON, by itself or within a value; nor does
    it have a dictionary to look into.
    """
    for value in (SECRET, CREDENTIALS, DERIVED, VERSION):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match="can't be serialised"):
                pickle.dumps(value, protocol)
        with pytest.raises(TypeError, match="can't be serialised"):
            copy.deepcopy(value)
    for value in (CREDENTIALS, DERIVED, VERSION):
        with pytest.raises(TypeError, match="can't be serialised"):
            dataclasses.asdict(value)
    with pytest.raises(TypeError, match="can't be serialised"):
        copy.copy(SECRET)
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps(SECRET)
    assert not hasattr(SECRET, "__dict__")


def test_a_secret_is_compared_by_identity() -> None:
    """So that no comparison tells anything about its content."""
    assert Secret(HIDDEN) != SECRET
    assert SECRET == SECRET  # noqa: PLR0124  # this is what is claimed
    assert hash(SECRET) != hash(HIDDEN)


def test_a_secret_is_revealed_to_who_asks() -> None:
    """Once per adapter, at the moment of sending."""
    assert Secret(HIDDEN).reveal() == HIDDEN


# --- instants ---


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (0, "1970-01-01T00:00:00"),
        (0, "1970-01-01"),
        (1_795_336_200_000, "2026-11-22T08:30:00.000Z"),
        (1_795_336_200_001, "2026-11-22T08:30:00.001Z"),
        (1_795_336_200_123, "2026-11-22T08:30:00.123999Z"),
        (1_795_336_200_123, "2026-11-22T08:30:00.123999999Z"),
        (1_795_336_200_000, "2026-11-22T09:30:00+01:00"),
        (1_795_336_200_000, "2026-11-21T22:30:00-10:00"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_an_instant_is_read(expected: int, text: str) -> None:
    """ISO-8601 in any zone, UTC where none is named; what is finer than a millisecond
    is cut off.
    """
    assert instant_ms(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-13-01T00:00:00Z",
        "2026-11-22T25:00:00Z",
        "1795336200",
        "2026-11-22T08:30Z junk",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:59-14:00",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    """With a ValueError and nothing else."""
    with pytest.raises(ValueError, match=r".+"):
        instant_ms(text)


@pytest.mark.parametrize(
    ("expected", "at_ms"),
    [
        ("1970-01-01T00:00:00.000Z", 0),
        ("2026-11-22T08:30:00.007Z", 1_795_336_200_007),
        ("1969-12-31T23:59:59.999Z", -1),
        ("1000-01-01T00:00:00.000Z", -30_610_224_000_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ("9999-12-31T23:59:59.999Z", 10**18),
        ("0001-01-01T00:00:00.000Z", -(10**18)),
    ],
)
def test_an_instant_is_written(expected: str, at_ms: int) -> None:
    """In UTC, always with milliseconds; past either end of the calendar it is that
    end.
    """
    assert iso(at_ms) == expected


@given(instants())
@example(0)
@example(-1)
def test_an_instant_survives_being_written_down(at_ms: int) -> None:
    """To the millisecond, in text of one length that sorts as the instants do."""
    assert instant_ms(iso(at_ms)) == at_ms
    assert len(iso(at_ms)) == len("2026-11-22T08:30:00.000Z")


@given(instants(), instants())
def test_instants_sort_as_their_texts(one_ms: int, other_ms: int) -> None:
    """Documents can be compared without being read."""
    assert (one_ms < other_ms) == (iso(one_ms) < iso(other_ms))


# --- scopes ---


@given(st.lists(st.sampled_from(["trading", "account_creation", "delegated_signing"])))
def test_scopes_are_a_set(scopes: list[str]) -> None:
    """Sorted, each once; two equal sets are equal values."""
    found = scope_set(scopes)
    assert set(found) == set(scopes)
    assert list(found) == sorted(set(scopes))
    assert scope_set(reversed(scopes)) == found == scope_set(found)


# --- values ---


@pytest.mark.parametrize(
    "value",
    [
        Mark(file="tokens.yaml", line=1, column=1),
        spec("bot"),
        manifest(spec("bot")),
        live("t1", "bot"),
        Capabilities(profile_id=1, management_enabled=True, allowed_scopes=()),
        SecretMeta(latest=1, state=VersionState.LIVING),
        CREDENTIALS,
        DERIVED,
        VERSION,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_frozen_and_hashable(value: object) -> None:
    """It can be a key, and nobody changes it under another's hands."""
    assert hash(value) == hash(value)
    field = dataclasses.fields(value)[0].name  # type: ignore[arg-type]  # every row of the table is a dataclass
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)


@pytest.mark.parametrize(
    "kind",
    [
        Mark,
        TokenSpec,
        Manifest,
        LiveToken,
        Derived,
        Capabilities,
        Credentials,
        SecretMeta,
        SecretVersion,
    ],
)
def test_a_value_is_built_by_names(kind: type) -> None:
    """Two texts can't be swapped unnoticed."""
    assert all(field.kw_only for field in dataclasses.fields(kind))


def test_where_a_spec_stands_is_no_part_of_what_it_says() -> None:
    """The same token on another line is the same token."""
    there = dataclasses.replace(spec("bot"), mark=Mark(file="tokens.yaml", line=7, column=3))
    assert there == spec("bot")
    assert hash(there) == hash(spec("bot"))


@pytest.mark.parametrize(
    ("expected", "name"), [("t1", "token_id"), ("bot", "label"), (None, "scopes"), (None, "secret")]
)
def test_a_version_tells_its_fields(expected: str | None, name: str) -> None:
    """By name; the secret is none of them."""
    assert VERSION.field(name) == expected


def test_a_version_that_is_gone_has_no_fields() -> None:
    """Deleted or never written."""
    assert SecretVersion(version=3, state=VersionState.DELETED).field("token_id") is None
    assert SecretMeta(latest=0, state=VersionState.ABSENT) == NEVER_WRITTEN


# --- errors ---


@pytest.mark.parametrize(
    ("expected", "kind"),
    [
        (Exit.ERROR, errors.ReconcilerError),
        (Exit.USAGE, errors.UsageError),
        (Exit.STALE, errors.PlanStaleError),
        (Exit.PERSON_NEEDED, errors.PersonNeededError),
        (Exit.PARTIAL, errors.PartialError),
        (Exit.LEASE_HELD, errors.LeaseHeldError),
        (Exit.ERROR, errors.ExchangeUnclearError),
        (Exit.ERROR, errors.ExchangeUnauthorizedError),
        (Exit.ERROR, errors.VaultCasMismatchError),
        (Exit.ERROR, errors.VaultUnclearError),
    ],
)
def test_each_error_ends_in_an_exit_code_of_the_contract(
    expected: Exit, kind: type[errors.ReconcilerError]
) -> None:
    """And says its sentence."""
    error = kind("what happened: what to do")
    assert (expected, "what happened: what to do") == (error.exit_code, str(error))


def test_the_exit_codes_are_the_contracts() -> None:
    """Others' pipelines depend on them."""
    assert [code.value for code in Exit] == [0, 1, 2, 3, 4, 5, 6, 64]


@pytest.mark.parametrize(
    "adapter",
    [
        (errors.ExchangeRefusedError, errors.ExchangeUnclearError),
        (errors.VaultRefusedError, errors.VaultUnclearError),
    ],
)
def test_refused_and_unclear_are_never_mixed_up(
    adapter: tuple[type[Exception], type[Exception]],
) -> None:
    """Neither is the other: recovery depends on the difference."""
    refused, unclear = adapter
    assert not issubclass(refused, unclear)
    assert not issubclass(unclear, refused)


def test_durations_are_milliseconds() -> None:
    """Each unit in terms of the one before."""
    assert (model.SECOND_MS, model.MINUTE_MS, model.HOUR_MS, model.DAY_MS) == (
        1_000,
        60_000,
        3_600_000,
        86_400_000,
    )
