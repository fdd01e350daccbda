"""Which of our comments and issues at GitHub is about this fleet.

    our marker says                                and then
    ---------------------------------------------  -------------------------------------
    this exchange, this place                      it is the one; the newest, if several
    no place, and the files by the names as here   it is carried over, if it is the only
    (the former form; or a manifest that could     one, and no other fleet's text has
    not be read)                                   the files by these names
    another exchange or place                      it is another fleet's

A text that is carried over is written with the new marker, so that happens once.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reconciler.exchange import DEFAULT_API_URL, canonical_url
from reconciler.github import Post
from reconciler.manifest import place_in
from reconciler.render import read_marker
from reconciler.state import Fleet
from reconciler.values import value

UNNAMED = "the manifest that could not be read"


@value
class Whose:
    """What a text is about.

    ``manifest`` are the files as they were named. ``place`` is None where no file could
    tell it. ``workflow`` is for a text about one that failed.
    """

    exchange: str
    place: str | None
    manifest: str
    workflow: str | None = None

    @property
    def facts(self) -> dict[str, str]:
        """What a marker says of it."""
        known = {"exchange": self.exchange, "manifest": self.manifest}
        known |= {"place": self.place} if self.place is not None else {}
        return known | ({"workflow": self.workflow} if self.workflow is not None else {})

    @property
    def title(self) -> str:
        """What people call it."""
        fleet = self.fleet
        return fleet.title if fleet is not None else f"{UNNAMED} ({self.manifest})"

    @property
    def fleet(self) -> Fleet | None:
        """The fleet, None where its place is not known."""
        return None if self.place is None else Fleet(api_url=self.exchange, place=self.place)


def whose(
    names: tuple[str, ...], environ: Mapping[str, str] = os.environ, workflow: str | None = None
) -> Whose:
    """Return what a job looks after, by its manifest and its environment.

    UsageError for an exchange's address that is none.
    """
    pinned = environ.get("RECONCILER_VAULT_PREFIX", "").strip("/")
    return Whose(
        exchange=canonical_url(environ.get("LIMITLESS_API_URL") or DEFAULT_API_URL),
        place=pinned or place_in([Path(name) for name in names]),
        manifest=" ".join(names),
        workflow=workflow,
    )


def find(posts: Iterable[Post], kind: str, about: Whose) -> Post | None:
    """Return the one of our texts of a kind that is about this, or None."""
    told = [(post, facts) for post in posts if (facts := read_marker(kind, post.body)) is not None]
    told = [(post, facts) for post, facts in told if _is_of_workflow(facts, about)]
    own = [post for post, facts in told if _is_same(facts, about)]
    if own:
        return own[-1]
    alike = [(post, facts) for post, facts in told if _has_its_names(facts, about)]
    if about.place is None:
        alike = [(post, facts) for post, facts in alike if _may_be_its_exchange(facts, about)]
    if len(alike) != 1:
        return None
    post, facts = alike[0]
    may_be = _may_be_its_exchange(facts, about) and (about.place is None or "place" not in facts)
    return post if may_be else None


def placed(about: Whose, known: Post | None, kind: str) -> Whose:
    """Return what it is about, with the place that a known text remembers."""
    facts = read_marker(kind, known.body) if known is not None else None
    place = facts.get("place") if facts is not None else None
    known_by_text = about.place is None and isinstance(place, str)
    return dataclasses.replace(about, place=place) if known_by_text else about


def _is_same(facts: Mapping[str, Any], about: Whose) -> bool:
    its = (facts.get("exchange"), facts.get("place"))
    return about.place is not None and its == (about.exchange, about.place)


def _has_its_names(facts: Mapping[str, Any], about: Whose) -> bool:
    return bool(facts.get("manifest", about.manifest) == about.manifest)


def _may_be_its_exchange(facts: Mapping[str, Any], about: Whose) -> bool:
    return bool(facts.get("exchange", about.exchange) == about.exchange)


def _is_of_workflow(facts: Mapping[str, Any], about: Whose) -> bool:
    former = f"{about.workflow} {about.manifest}" if "exchange" not in facts else about.workflow
    return about.workflow is None or facts.get("workflow") in {about.workflow, former}
