"""The protocol: every change as a generator that yields effects and is sent replies.

One change, step by step (a derive is a rotation without a predecessor):

    step      effect                          after a crash, recovery
    --------  ------------------------------  ----------------------------------------
    1 intent  WriteLedger(open_intent)        fences, finds no token, abandons it
    2 derive  Derive, once; after a 429 with  fences, revokes the interrupted token
              WriteLedger(renew_intent)
    3 name    WriteLedger(name_intent)        fences, revokes the named token
    4 verify  VerifyToken                     does the same
    5 commit  PutSecret(cas of step 1)        finds the operation id at version
                                              cas + 1 and does step 6
    6 record  WriteLedger(record_current)     has nothing to do
    7 retire  WriteLedger(start_revoking),    revokes again
              Revoke,
              WriteLedger(note_asked)
    8 close   ListTokens,                     looks again
              WriteLedger(close_revoking)

Modules: ``lease`` (who may write the ledger), ``again`` (the same call again while
Vault is busy), ``commit`` (was a write of a secret applied?), ``send`` (steps 1 and 2),
``derive`` (steps 3 to 6), ``rewrite`` (restore, rollback, adopt: steps 1, 5 and 6 for a
token that lives already), ``older`` (other versions that hold a token's id), ``revoke``
(step 7), ``recover``, ``undo`` (an intent that was not committed), and ``changes``
(from a row of the plan to its step).

Rules this package keeps:

1. No I/O, no clock, no randomness, no thread: the import list of each module proves it.
2. Every write of a secret has an intent; every DELETE a recorded ``revoking``, save of
   a run's own new token whose commit was never sent or is disproved.
3. What is unproven is left as it is, for the next run: nothing is deleted on a guess.
"""

from typing import TYPE_CHECKING

from reconciler import on_demand

if TYPE_CHECKING:
    from reconciler.protocol.again import Patience, until_answered
    from reconciler.protocol.changes import ends_at_once, facts_of, standing_of, step_of
    from reconciler.protocol.commit import delete_placeholder
    from reconciler.protocol.derive import derive_token
    from reconciler.protocol.effects import (
        RECENT_MS,
        AwaitTurn,
        Busy,
        ConfirmedNow,
        DeleteVersion,
        Derive,
        Desk,
        Done,
        Effect,
        LeaseLost,
        Listing,
        ListTokens,
        LocalNow,
        Mismatch,
        NewId,
        NoteLedger,
        NotRecorded,
        NoTurn,
        Now,
        PutLedger,
        PutSecret,
        ReadDesk,
        ReadLedger,
        ReadSecret,
        Recorded,
        Refused,
        Revoke,
        Sleep,
        Step,
        StopDeriving,
        Turn,
        Unclear,
        Undelete,
        UseSigner,
        VerifyToken,
        WriteLedger,
        Written,
        drive,
        time_of_record,
    )
    from reconciler.protocol.found import Recovery
    from reconciler.protocol.lease import LedgerWriter
    from reconciler.protocol.older import other_holder
    from reconciler.protocol.outcome import (
        Ending,
        Outcome,
        Run,
        applied,
        failed,
        held,
        not_tried,
        settled,
        unrecorded,
    )
    from reconciler.protocol.own_use import OWN_USE_MS, SIGN_BEFORE_MS, TOO_LATE, sign_stored
    from reconciler.protocol.prove import why_unproven
    from reconciler.protocol.recover import finish_all_revoking, recover_intent
    from reconciler.protocol.repair import fix_version, remove_placeholder
    from reconciler.protocol.report import Approved, Report, Row, approve
    from reconciler.protocol.revoke import finish_revoking, revoke_current, revoke_retiring
    from reconciler.protocol.rewrite import Place, Rewrite, restore, rewrite_secret, rollback

__all__ = [
    "OWN_USE_MS",
    "RECENT_MS",
    "SIGN_BEFORE_MS",
    "TOO_LATE",
    "Approved",
    "AwaitTurn",
    "Busy",
    "ConfirmedNow",
    "DeleteVersion",
    "Derive",
    "Desk",
    "Done",
    "Effect",
    "Ending",
    "LeaseLost",
    "LedgerWriter",
    "ListTokens",
    "Listing",
    "LocalNow",
    "Mismatch",
    "NewId",
    "NoTurn",
    "NotRecorded",
    "NoteLedger",
    "Now",
    "Outcome",
    "Patience",
    "Place",
    "PutLedger",
    "PutSecret",
    "ReadDesk",
    "ReadLedger",
    "ReadSecret",
    "Recorded",
    "Recovery",
    "Refused",
    "Report",
    "Revoke",
    "Rewrite",
    "Row",
    "Run",
    "Sleep",
    "Step",
    "StopDeriving",
    "Turn",
    "Unclear",
    "Undelete",
    "UseSigner",
    "VerifyToken",
    "WriteLedger",
    "Written",
    "applied",
    "approve",
    "delete_placeholder",
    "derive_token",
    "drive",
    "ends_at_once",
    "facts_of",
    "failed",
    "finish_all_revoking",
    "finish_revoking",
    "fix_version",
    "held",
    "not_tried",
    "other_holder",
    "recover_intent",
    "remove_placeholder",
    "restore",
    "revoke_current",
    "revoke_retiring",
    "rewrite_secret",
    "rollback",
    "settled",
    "sign_stored",
    "standing_of",
    "step_of",
    "time_of_record",
    "unrecorded",
    "until_answered",
    "why_unproven",
]

__getattr__ = on_demand(
    __name__,
    {
        "again": ("Patience", "until_answered"),
        "changes": ("ends_at_once", "facts_of", "standing_of", "step_of"),
        "commit": ("delete_placeholder",),
        "derive": ("derive_token",),
        "effects": (
            "RECENT_MS",
            "AwaitTurn",
            "Busy",
            "ConfirmedNow",
            "DeleteVersion",
            "Derive",
            "Desk",
            "Done",
            "Effect",
            "LeaseLost",
            "Listing",
            "ListTokens",
            "LocalNow",
            "Mismatch",
            "NewId",
            "NoteLedger",
            "NotRecorded",
            "NoTurn",
            "Now",
            "PutLedger",
            "PutSecret",
            "ReadDesk",
            "ReadLedger",
            "ReadSecret",
            "Recorded",
            "Refused",
            "Revoke",
            "Sleep",
            "Step",
            "StopDeriving",
            "Turn",
            "Unclear",
            "Undelete",
            "UseSigner",
            "VerifyToken",
            "WriteLedger",
            "Written",
            "drive",
            "time_of_record",
        ),
        "lease": ("LedgerWriter",),
        "outcome": (
            "Ending",
            "Outcome",
            "Run",
            "applied",
            "failed",
            "held",
            "not_tried",
            "settled",
            "unrecorded",
        ),
        "older": ("other_holder",),
        "own_use": ("OWN_USE_MS", "SIGN_BEFORE_MS", "TOO_LATE", "sign_stored"),
        "prove": ("why_unproven",),
        "found": ("Recovery",),
        "recover": ("finish_all_revoking", "recover_intent"),
        "repair": ("fix_version", "remove_placeholder"),
        "report": ("Approved", "Report", "Row", "approve"),
        "revoke": ("finish_revoking", "revoke_current", "revoke_retiring"),
        "rewrite": ("Place", "Rewrite", "restore", "rewrite_secret", "rollback"),
    },
)
