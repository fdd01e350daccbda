"""``observe`` and ``github snapshot``: a snapshot for plans without credentials."""

from __future__ import annotations

from reconciler.cli import posts
from reconciler.cli.files import write_whole
from reconciler.cli.session import Options, open_for_reading
from reconciler.documents import dump, snapshot_document
from reconciler.run import look_only
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


def fetch_snapshot(out: str) -> None:
    """Write the snapshot that the default branch published last."""
    write_whole(out, posts.published_snapshot())
