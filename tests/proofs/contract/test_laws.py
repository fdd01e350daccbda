"""The laws of the exchange and of Vault that the protocol leans on: held by its models,
and by the real ones.

Each law is a sentence, and steps with their answers (see ``peers``) that show it. A
model that forgot one would prove nothing.
"""

from __future__ import annotations

import pytest

from tests.proofs.contract.peers import Teller

Steps = tuple[tuple[str, str], ...]


def puts(count: int, *, since: int = 0) -> Steps:
    """So many versions, one after the other, of tokens t1, t2 and so on."""
    return tuple((f"put {cas} t{cas + 1}", f"v{cas + 1}") for cas in range(since, since + count))


VAULT: dict[str, Steps] = {
    "what was never written is absent, whichever version is asked for": (
        ("read", "v0 absent"),
        ("read 3", "v3 absent"),
        ("meta", "never written"),
    ),
    "the first write is made on version 0": (
        ("put 0 t1", "v1"),
        ("read", "v1 t1"),
        ("read 1", "v1 t1"),
        ("meta", "v1 living, oldest v1"),
    ),
    "a first write that was made on anything else is refused, and leaves nothing": (
        ("put 1 t1", "mismatch"),
        ("read", "v0 absent"),
        ("meta", "never written"),
    ),
    "where a version is, 0 is refused": (
        ("put 0 t1", "v1"),
        ("put 0 t2", "mismatch"),
        ("read", "v1 t1"),
    ),
    "a stale number is refused, and changes nothing": (
        *puts(3),
        ("put 1 t9", "mismatch"),
        ("put 2 t9", "mismatch"),
        ("read", "v3 t3"),
        ("meta", "v3 living, oldest v1"),
    ),
    "a number that is yet to come is refused": (
        *puts(1),
        ("put 2 t2", "mismatch"),
        ("meta", "v1 living, oldest v1"),
    ),
    "a refused write uses no number up": (*puts(1), ("put 0 t9", "mismatch"), ("put 1 t2", "v2")),
    "of two writes that were made on the same version, the first wins": (
        *puts(1),
        ("put 1 t2", "v2"),
        ("put 1 t3", "mismatch"),
        ("read", "v2 t2"),
    ),
    "the same content again is a version of its own": (
        ("put 0 t1", "v1"),
        ("put 1 t1", "v2"),
        ("read 1", "v1 t1"),
        ("read", "v2 t1"),
    ),
    "earlier versions stay readable by their number": (
        *puts(3),
        ("read 1", "v1 t1"),
        ("read 2", "v2 t2"),
        ("read 4", "v4 absent"),
    ),
    "a soft-deleted latest version keeps its number, and hides no earlier one": (
        *puts(2),
        ("delete 2", "done"),
        ("read", "v2 deleted"),
        ("read 2", "v2 deleted"),
        ("read 1", "v1 t1"),
        ("meta", "v2 deleted, oldest v1"),
    ),
    "over a soft-deleted version a write is made on its number, not on 0": (
        *puts(1),
        ("delete 1", "done"),
        ("put 0 t2", "mismatch"),
        ("put 1 t2", "v2"),
        ("read", "v2 t2"),
        ("read 1", "v1 deleted"),
        ("meta", "v2 living, oldest v1"),
    ),
    "a deletion takes no check-and-set, and moves no number": (
        *puts(1),
        ("delete 1", "done"),
        ("put 1 t2", "v2"),
    ),
    "deleting an earlier version leaves the latest": (
        *puts(2),
        ("delete 1", "done"),
        ("read", "v2 t2"),
        ("read 1", "v1 deleted"),
        ("meta", "v2 living, oldest v1"),
    ),
    "deleting twice is no error": (
        *puts(1),
        ("delete 1", "done"),
        ("delete 1", "done"),
        ("read", "v1 deleted"),
    ),
    "deleting what was never written is no error, and leaves nothing": (
        ("delete 1", "done"),
        ("meta", "never written"),
        ("read", "v0 absent"),
        ("put 0 t1", "v1"),
        ("read", "v1 t1"),
    ),
    "deleting a version that is yet to come does not touch it when it comes": (
        *puts(1),
        ("delete 2", "done"),
        ("read", "v1 t1"),
        ("put 1 t2", "v2"),
        ("read", "v2 t2"),
    ),
    "a placeholder is a version like any other": (
        ("put 0 {}", "v1"),
        ("read", "v1 {}"),
        ("meta", "v1 living, oldest v1"),
        ("put 0 t1", "mismatch"),
        ("put 1 t1", "v2"),
    ),
    "a placeholder that was deleted by its number fences whoever writes on the version before": (
        *puts(1),
        ("put 1 {}", "v2"),
        ("delete 2", "done"),
        ("read", "v2 deleted"),
        ("put 1 t9", "mismatch"),
        ("put 2 t3", "v3"),
        ("read 2", "v2 deleted"),
    ),
    "the same content, written as a fence, fences as well": (
        *puts(1),
        ("put 1 t1", "v2"),
        ("put 1 t9", "mismatch"),
        ("read", "v2 t1"),
    ),
    "a text without a secret is read as it was written": (
        ("put 0 note", "v1"),
        ("read", "v1 note"),
    ),
    "ten versions are kept unless said otherwise": (
        *puts(10),
        ("meta", "v10 living, oldest v1"),
        ("put 10 t11", "v11"),
        ("meta", "v11 living, oldest v2"),
        ("read 1", "v1 absent"),
        ("read 2", "v2 t2"),
    ),
    "keeping fewer takes effect with the next write": (
        *puts(4),
        ("keep 2", ""),
        ("read 1", "v1 t1"),
        ("meta", "v4 living, oldest v1"),
        ("put 4 t5", "v5"),
        ("read 3", "v3 absent"),
        ("read 4", "v4 t4"),
        ("meta", "v5 living, oldest v4"),
    ),
    "keeping more brings nothing back": (
        *puts(2),
        ("keep 1", ""),
        ("put 2 t3", "v3"),
        ("keep 5", ""),
        ("read 2", "v2 absent"),
        ("put 3 t4", "v4"),
        ("meta", "v4 living, oldest v3"),
    ),
    "where one version is kept, check-and-set counts on": (
        *puts(1),
        ("keep 1", ""),
        ("put 1 t2", "v2"),
        ("put 1 t9", "mismatch"),
        ("put 0 t9", "mismatch"),
        ("meta", "v2 living, oldest v2"),
    ),
    "deleting a version that was trimmed away is no error": (
        *puts(1),
        ("keep 1", ""),
        ("put 1 t2", "v2"),
        ("delete 1", "done"),
        ("read 1", "v1 absent"),
        ("read", "v2 t2"),
    ),
    "deleted versions count among those that are kept": (
        *puts(2),
        ("keep 2", ""),
        ("delete 2", "done"),
        ("put 2 t3", "v3"),
        ("read 1", "v1 absent"),
        ("read 2", "v2 deleted"),
        ("meta", "v3 living, oldest v2"),
    ),
    "a setting for a path is no version of it": (
        ("keep 5", ""),
        ("meta", "never written"),
        ("read", "v0 absent"),
        ("put 0 t1", "v1"),
    ),
    "a number comes round again, and its time tells the two apart": (
        *puts(2),
        ("forget", ""),
        ("meta", "never written"),
        ("read", "v0 absent"),
        ("put 2 t3", "mismatch"),
        ("put 0 note", "v1"),
        ("meta", "v1 living, oldest v1"),
        ("read 1", "v1 note"),
    ),
    "a destroyed version is deleted, for all that we see": (
        *puts(1),
        ("destroy 1", ""),
        ("read", "v1 deleted"),
        ("meta", "v1 deleted, oldest v1"),
        ("put 0 t2", "mismatch"),
        ("put 1 t2", "v2"),
    ),
    "what was soft-deleted can be undeleted": (
        *puts(1),
        ("delete 1", "done"),
        ("undelete", ""),
        ("read", "v1 t1"),
        ("meta", "v1 living, oldest v1"),
        ("put 0 t2", "mismatch"),
    ),
    "what was destroyed can't be undeleted": (
        *puts(1),
        ("delete 1", "done"),
        ("destroy 1", ""),
        ("undelete", ""),
        ("read", "v1 deleted"),
    ),
    "paths don't know of each other": (
        *puts(2),
        ("at desk put 0 t9", "v1"),
        ("at desk delete 1", "done"),
        ("read", "v2 t2"),
        ("at desk read", "v1 deleted"),
    ),
    "the ledger that was never written is none, at version 0": (("ledger", "v0 none"),),
    "every write of the ledger is made on the version that was read": (
        ("ledger 1 A", "mismatch"),
        ("ledger 0 A", "v1"),
        ("ledger 0 B", "mismatch"),
        ("ledger", "v1 A"),
        ("ledger 1 B", "v2"),
        ("ledger 1 C", "mismatch"),
        ("ledger", "v2 B"),
    ),
    "the same ledger again is a version of its own": (
        ("ledger 0 A", "v1"),
        ("ledger 1 A", "v2"),
        ("ledger", "v2 A"),
    ),
    "the ledger and the secrets count apart": (
        ("ledger 0 A", "v1"),
        *puts(2),
        ("ledger 1 B", "v2"),
        ("meta", "v2 living, oldest v1"),
    ),
    "a deleted ledger is none, and keeps its number": (
        ("ledger 0 A", "v1"),
        ("ledger 1 B", "v2"),
        ("delete the ledger", ""),
        ("ledger", "v2 none"),
        ("ledger 0 C", "mismatch"),
        ("undelete the ledger", ""),
        ("ledger", "v2 B"),
        ("ledger 2 C", "v3"),
    ),
    "over a deleted ledger a write is made on its number": (
        ("ledger 0 A", "v1"),
        ("delete the ledger", ""),
        ("ledger 1 B", "v2"),
        ("ledger", "v2 B"),
    ),
    "a ledger that was rolled back is a new version": (
        ("ledger 0 A", "v1"),
        ("ledger 1 B", "v2"),
        ("roll the ledger back", ""),
        ("ledger", "v3 A"),
        ("ledger 2 C", "mismatch"),
    ),
}


EXCHANGE: dict[str, Steps] = {
    "a derive makes a token each time, whatever the label": (
        ("derive A bot", "made"),
        ("derive B bot", "made"),
        ("sign A", ""),
        ("list", "list: A B"),
    ),
    "a token signs as soon as it is made": (("derive A bot", "made"), ("verify A", "list: A")),
    "a secret signs for its own id only": (
        ("derive A bot", "made"),
        ("derive B bot", "made"),
        ("verify A with B", "refused 401"),
        ("verify A", "list: A B"),
    ),
    "what may not be signed any more is not sent": (
        ("derive A bot", "made"),
        ("derive B bot", "made"),
        ("verify A too late", "unclear"),
        ("verify B", "list: A B"),
        ("verify A", "list: A B*"),
    ),
    "an id that nobody has signs nothing": (("verify nobody", "refused 401"),),
    "any token lists and revokes all others": (
        ("derive A bot", "made"),
        ("derive B desk", "made"),
        ("sign B", ""),
        ("list", "list: A B"),
        ("revoke A", "done"),
        ("list", "list: B"),
    ),
    "a revoked token signs nothing": (
        ("derive A bot", "made"),
        ("derive B bot", "made"),
        ("sign B", ""),
        ("revoke A", "done"),
        ("verify A", "refused 401"),
        ("sign A", ""),
        ("list", "refused 401"),
        ("revoke B", "refused 401"),
        ("verify B", "list: B"),
    ),
    "an id that nobody has is 400 to revoke, and nothing happens": (
        ("derive A bot", "made"),
        ("sign A", ""),
        ("revoke nobody", "refused 400"),
        ("list", "list: A"),
    ),
    "a second revocation is 400": (
        ("derive A bot", "made"),
        ("derive B bot", "made"),
        ("sign A", ""),
        ("revoke B", "done"),
        ("revoke B", "refused 400"),
        ("list", "list: A"),
    ),
    "a revocation is for good, though the label comes again": (
        ("derive A bot", "made"),
        ("derive B desk", "made"),
        ("sign B", ""),
        ("revoke A", "done"),
        ("derive C bot", "made"),
        ("verify A", "refused 401"),
        ("revoke A", "refused 400"),
        ("list", "list: B C"),
    ),
    "the token that signs is not revoked, and nothing is sent": (
        ("derive A bot", "made"),
        ("sign A", ""),
        ("revoke A", "refused"),
        ("list", "list: A"),
    ),
    "without a signer nothing is sent": (
        ("derive A bot", "made"),
        ("list", "refused"),
        ("revoke A", "refused"),
        ("verify A", "list: A"),
    ),
    "without an identity nothing is derived, and all else goes on": (
        ("derive A bot", "made"),
        ("lose the identity", ""),
        ("derive B bot", "refused"),
        ("verify A", "list: A"),
    ),
    "who stopped to derive derives no more": (
        ("derive A bot", "made"),
        ("stop", ""),
        ("derive B bot", "refused"),
        ("verify A", "list: A"),
    ),
    "a person's token is one like any other": (
        ("derive A bot", "made"),
        ("person derives P bot", ""),
        ("sign P", ""),
        ("list", "list: A P"),
        ("revoke A", "done"),
        ("verify P", "list: P"),
    ),
    "who is revoked by a person is out at once": (
        ("derive A bot", "made"),
        ("derive B bot", "made"),
        ("sign A", ""),
        ("person revokes B", ""),
        ("verify B", "refused 401"),
        ("list", "list: A"),
        ("revoke B", "refused 400"),
    ),
    "a list shows who has signed one before, and nobody else as used": (
        ("derive A bot", "made"),
        ("derive B bot", "made"),
        ("derive C bot", "made"),
        ("sign A", ""),
        ("list", "list: A B C"),
        ("verify B", "list: A* B C"),
        ("list", "list: A B* C"),
    ),
    "a revocation is a use of the token that signs it, refused or not": (
        ("derive A bot", "made"),
        ("derive B bot", "made"),
        ("derive C bot", "made"),
        ("sign A", ""),
        ("revoke B", "done"),
        ("verify C", "list: A* C"),
        ("sign C", ""),
        ("derive D bot", "made"),
        ("sign D", ""),
        ("revoke B", "refused 400"),
        ("verify C", "list: A* C D*"),
    ),
    "a refused signature is no use": (
        ("derive A bot", "made"),
        ("derive B bot", "made"),
        ("verify B with A", "refused 401"),
        ("verify A", "list: A B"),
    ),
    "while the list lags, a new token signs, and is not shown": (
        ("derive A bot", "made"),
        ("sign A", ""),
        ("list", "list: A"),
        ("lag", ""),
        ("derive B bot", "made"),
        ("list", "list: A"),
        ("verify B", "list: A"),
        ("catch up", ""),
        ("list", "list: A B*"),
    ),
    "while the list lags, a revoked token is shown, and signs nothing": (
        ("derive A bot", "made"),
        ("derive B bot", "made"),
        ("sign A", ""),
        ("list", "list: A B"),
        ("lag", ""),
        ("revoke B", "done"),
        ("list", "list: A B"),
        ("verify B", "refused 401"),
        ("revoke B", "refused 400"),
        ("catch up", ""),
        ("list", "list: A"),
    ),
    "a list that lacks the token that signed it is not believed, except to prove a secret": (
        ("derive A bot", "made"),
        ("verify A", "list: A"),
        ("lag", ""),
        ("derive B bot", "made"),
        ("sign B", ""),
        ("list", "unclear"),
        ("verify B", "list: A"),
        ("catch up", ""),
        ("list", "list: A* B"),
    ),
}


@pytest.mark.parametrize("law", VAULT)
def test_a_law_of_vault(side: Teller, law: str) -> None:
    """Every step is answered as the law says."""
    assert [(step, side.tell(step)) for step, _ in VAULT[law]] == list(VAULT[law])


@pytest.mark.parametrize("law", EXCHANGE)
def test_a_law_of_the_exchange(side: Teller, law: str) -> None:
    """Every step is answered as the law says."""
    assert [(step, side.tell(step)) for step, _ in EXCHANGE[law]] == list(EXCHANGE[law])
