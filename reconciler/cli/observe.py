"""``observe`` and ``github snapshot``: a snapshot for plans without credentials."""

from __future__ import annotations

from reconciler.cli.asked import Options
from reconciler.cli.ci import in_actions, write_outputs
from reconciler.cli.files import write_whole
from reconciler.cli.session import open_for_reading
from reconciler.cli.validate import DEFAULT_MANIFEST
from reconciler.documents import dump, snapshot_document
from reconciler.run import look_only
from reconciler.state import Fleet
from reconciler.values import value


@value
class ObserveOptions(Options):
    """What ``observe`` is given; ``out`` is a file."""

    out: str


def observe(options: ObserveOptions) -> None:
    """Write a snapshot without secrets."""
    with open_for_reading(options) as runner:
        observed = runner.run(look_only(runner.session))
    write_whole(options.out, dump(snapshot_document(observed, runner.session.manifest)))
    if in_actions():
        write_outputs({"fleet": Fleet(api_url=observed.api_url, place=observed.place).name})


def fetch_snapshot(names: tuple[str, ...], out: str) -> None:
    """Write the snapshot of a manifest that the default branch published last."""
    from reconciler.cli import posts  # noqa: PLC0415  # nobody else waits for GitHub's client

    write_whole(out, posts.published_snapshot(names or (DEFAULT_MANIFEST,)))
