"""One run of a command, from the first look to the report.

Each command is a chain of stages that yield effects; only ``driver`` and ``peers``
touch an adapter. So the tests walk the very same runs through crashes and other runs.

    session    what a run is about, and its look: a snapshot and the plan made of it
    observe    the snapshot
    lease      holding the lease around stages
    apply, rotate, bootstrap, rollback, adopt, forget, release, move, verify    the
               commands
    adopt_many    ``adopt`` of a list
    effects    what a run asks beyond the protocol
    driver     performs effects in production; ``peers`` calls the exchange and Vault
"""

from typing import TYPE_CHECKING

from reconciler import on_demand

if TYPE_CHECKING:
    from reconciler.run.adopt import GRACE_MS, adopt_token, secret_from
    from reconciler.run.adopt_many import (
        Adoption,
        AdoptReport,
        Verdict,
        adopt_folder,
        adopt_list,
    )
    from reconciler.run.apply import apply_manifest
    from reconciler.run.approval import StalePlanError
    from reconciler.run.bootstrap import bootstrap_manager
    from reconciler.run.driver import Driver, Events
    from reconciler.run.effects import Stage
    from reconciler.run.forget import forget_one
    from reconciler.run.history import read_history
    from reconciler.run.identity import unallowed
    from reconciler.run.keys import Keys
    from reconciler.run.move import MoveReport, Origin, move_here
    from reconciler.run.newest import OlderManifestError
    from reconciler.run.reads import read_ledger, read_meta
    from reconciler.run.release import ReleaseReport, stop_managing
    from reconciler.run.rollback import roll_back
    from reconciler.run.rotate import rotate_labels
    from reconciler.run.session import (
        Session,
        look_only,
        refuse_distrusted,
    )
    from reconciler.run.strays import find_strays
    from reconciler.run.verify import verify_secrets

__all__ = [
    "GRACE_MS",
    "AdoptReport",
    "Adoption",
    "Driver",
    "Events",
    "Keys",
    "MoveReport",
    "OlderManifestError",
    "Origin",
    "ReleaseReport",
    "Session",
    "Stage",
    "StalePlanError",
    "Verdict",
    "adopt_folder",
    "adopt_list",
    "adopt_token",
    "apply_manifest",
    "bootstrap_manager",
    "find_strays",
    "forget_one",
    "look_only",
    "move_here",
    "read_history",
    "read_ledger",
    "read_meta",
    "refuse_distrusted",
    "roll_back",
    "rotate_labels",
    "secret_from",
    "stop_managing",
    "unallowed",
    "verify_secrets",
]

__getattr__ = on_demand(
    __name__,
    {
        "adopt": ("GRACE_MS", "adopt_token", "secret_from"),
        "adopt_many": ("Adoption", "AdoptReport", "Verdict", "adopt_folder", "adopt_list"),
        "apply": ("apply_manifest",),
        "approval": ("StalePlanError",),
        "bootstrap": ("bootstrap_manager",),
        "driver": ("Driver", "Events"),
        "effects": ("Stage",),
        "forget": ("forget_one",),
        "move": ("MoveReport", "Origin", "move_here"),
        "newest": ("OlderManifestError",),
        "keys": ("Keys",),
        "release": ("ReleaseReport", "stop_managing"),
        "rollback": ("roll_back",),
        "rotate": ("rotate_labels",),
        "history": ("read_history",),
        "identity": ("unallowed",),
        "reads": ("read_ledger", "read_meta"),
        "session": (
            "Session",
            "look_only",
            "refuse_distrusted",
        ),
        "strays": ("find_strays",),
        "verify": ("verify_secrets",),
    },
)
