"""The protocol: every change as a generator that yields effects and is sent replies.

One change, step by step (a derive is a rotation without a predecessor):

    step       effect                                  a crash right after it is recovered by
    ---------  --------------------------------------  ------------------------------------------------------------------
    1 intent   WriteLedger(open_intent)                recover: fence, nothing found, intent abandoned
    2 derive   Derive, once                            recover: fence, the interrupted token revoking, revoked
    3 name     WriteLedger(name_intent)                recover: fence, the named token revoking, revoked
    4 verify   VerifyToken                             the same
    5 commit   PutSecret(cas of step 1)                recover: version cas + 1 holds the operation id, so 6
    6 record   WriteLedger(record_current)             nothing: done
    7 retire   WriteLedger(start_revoking), Revoke,    recover: revoke again, close
               WriteLedger(close_revoking)

Modules: ``lease`` (who may write the ledger), ``commit`` (was a write of a secret applied?), ``derive`` (steps 1 to 6),
``rewrite`` (restore, rollback, adopt: steps 1, 5 and 6 for a token that lives already), ``revoke`` (step 7), ``recover``.

Rules this package keeps:

1. No I/O, no clock, no randomness, no thread: the import list of each module proves it.
2. Every write of a secret has an intent; every DELETE a recorded ``revoking``, save of a run's own new token whose commit was
   never sent or is disproved.
3. What is unproven is left as it is, for the next run: nothing is deleted on a guess.
"""
