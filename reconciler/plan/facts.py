"""What is known of a label when its row is decided, and what is found of it."""

from __future__ import annotations

from typing import NamedTuple

from reconciler.model import LiveToken, SecretMeta, TokenSpec
from reconciler.plan.setting import Setting
from reconciler.plan.vocabulary import Action, Reason
from reconciler.state import Content, Current, Entry, Reserve
from reconciler.values import value


class Finding(NamedTuple):
    """What a function found; ``note`` adds what varies, and decides nothing."""

    action: Action
    reason: Reason
    note: str = ""


@value
class Facts:
    """What is known of any label when its row is decided.

    ``path`` is where its next secret goes or its last one lies: the open intent's path,
    else the recorded one, else the wanted one. ``meta`` and ``content`` are of that
    path. ``entry`` is an empty one where the ledger does not know the label.
    ``claimed``: a write that another label has open names the path.
    """

    setting: Setting
    label: str
    entry: Entry
    path: str
    meta: SecretMeta
    content: Content | None
    claimed: bool


@value
class Unwanted(Facts):
    """The label is not in the manifest; ``live`` is None if its token is not listed."""

    current: Current
    live: LiveToken | None


@value
class Owner:
    """Another label that has the wanted path, by the ledger.

    ``spec`` is None where it left the manifest. ``signs``: its secret signs the lists.
    """

    label: str
    entry: Entry
    spec: TokenSpec | None
    signs: bool


@value
class Wanted(Facts):
    """The label is in the manifest.

    ``target`` and ``target_content`` are of the wanted path, and ``owner`` is another
    label that has it. ``holder`` is the other label whose token lies there, if it is on
    its way out, or its path is taken over. ``twins`` are live tokens with the label
    that are not ours. ``ready`` are the reserves that a rotation may take, the oldest
    first. ``passes_on``: another label is to have the path that this one has.
    """

    spec: TokenSpec
    passes_on: bool
    target: SecretMeta
    target_content: Content | None
    owner: Owner | None
    holder: str | None
    twins: tuple[LiveToken, ...]
    ready: tuple[Reserve, ...]


@value
class Recorded(Wanted):
    """The label is in the manifest, and the ledger has a current token for it."""

    current: Current


@value
class Listed(Recorded):
    """And the exchange lists that token."""

    live: LiveToken
