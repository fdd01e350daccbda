"""``bootstrap``, ``rollback``, ``forget``, ``release``, ``verify``: beside apply."""

from __future__ import annotations

from reconciler.cli.asked import Options
from reconciler.cli.console import complain_of, print_result
from reconciler.cli.progress import open_for_writing
from reconciler.errors import ReconcilerError, UsageError
from reconciler.escape import safe
from reconciler.protocol import Outcome
from reconciler.run import (
    bootstrap_manager,
    forget_one,
    roll_back,
    stop_managing,
    verify_secrets,
)
from reconciler.values import value


@value
class RollbackOptions(Options):
    """What ``rollback`` is given; ``target`` is a label."""

    target: str
    yes: bool


@value
class ForgetOptions(Options):
    """What ``forget`` is given; ``token_id`` may be the beginning of an id."""

    token_id: str
    yes: bool


@value
class ReleaseOptions(Options):
    """What ``release`` is given: labels, or everything."""

    labels: tuple[str, ...]
    everything: bool
    yes: bool


def rollback(options: RollbackOptions) -> None:
    """Make a predecessor current again."""
    with open_for_writing(options) as runner:
        stage = roll_back(runner.session, options.target, ask=not options.yes)
        print_outcome(options.target, runner.run(stage))


def forget(options: ForgetOptions) -> None:
    """Take a person's word about a token that the program can't judge."""
    with open_for_writing(options) as runner:
        stage = forget_one(runner.session, options.token_id, ask=not options.yes)
        outcome = runner.run(stage)
    print_result(f"{safe(outcome.token_id or '')}: {safe(outcome.sentence)}")


def release_labels(options: ReleaseOptions) -> None:
    """Stop managing labels, or everything. UsageError unless it is one of the two."""
    if bool(options.labels) == options.everything:
        raise UsageError("name what to release: --label LABEL, or --all")
    with open_for_writing(options) as runner:
        session, everything = runner.session, options.everything
        stage = stop_managing(session, options.labels, everything=everything, ask=not options.yes)
        found = runner.run(stage)
    for token in found.tokens:
        where = "a predecessor" if token.place is None else f"its secret stays at {token.place}"
        where = f"kept ready, {where}" if token.reserve else where
        print_result(safe(f"released {token.label} ({token.token_id}): {where}"))
    for note in found.notes:
        complain_of(f"note: {note}")
    print_result(f"released labels {len(found.labels)}, tokens {len(found.tokens)}")


def bootstrap(options: Options) -> None:
    """Derive the manager's token and store it."""
    with open_for_writing(options) as runner:
        outcome = runner.run(bootstrap_manager(runner.session))
        print_outcome(runner.session.manifest.manager, outcome)


def print_outcome(label: str, outcome: Outcome) -> None:
    """Print what became of a label, with the token's id."""
    token = f" ({safe(outcome.token_id)})" if outcome.token_id else ""
    print_result(f"{safe(label)}: {safe(outcome.sentence)}{token}")


@value
class VerifyOptions(Options):
    """What ``verify`` is given; with ``reserve`` it signs with what is kept ready."""

    reserve: bool


def verify(options: VerifyOptions) -> None:
    """Sign one request with every stored secret.

    ReconcilerError if one of them does not work.
    """
    with open_for_writing(options) as runner:
        found = runner.run(verify_secrets(runner.session, reserve=options.reserve))
    for one in found:
        which = f", reserve {one.token_id}" if one.reserve else ""
        print_result(
            f"{'ok    ' if one.works else 'FAILED'} {safe(one.label + which)}"
            + (f": {safe(one.sentence)}" if one.sentence else "")
        )
    broken = [one for one in found if not one.works]
    if broken:
        raise ReconcilerError(f"{len(broken)} of {len(found)} stored secrets do not work")
