"""``status``: the state of every token."""

from __future__ import annotations

from reconciler.cli import formats
from reconciler.cli.console import print_result
from reconciler.cli.session import Options, open_for_reading
from reconciler.plan import narrowed, status_of
from reconciler.run import look_only
from reconciler.values import value


@value
class StatusOptions(Options):
    """What ``status`` is given; ``form`` is a key of ``formats.STATUS``.

    ``token_id`` may be the beginning of an id.
    """

    form: str
    token_id: str | None = None


def status(options: StatusOptions) -> None:
    """Print the state of every token."""
    with open_for_reading(options) as runner:
        session = runner.session
        observed = runner.run(look_only(session))
    found = status_of(session.manifest, observed, policy=session.policy)
    found = narrowed(found, options.targets, options.token_id)
    print_result(formats.STATUS[options.form](found))
