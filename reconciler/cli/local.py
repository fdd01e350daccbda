"""``sandbox`` and ``demo``: what runs on one machine, without the exchange."""

from __future__ import annotations

import sys
from pathlib import Path

from reconciler.cli.sandbox_options import GRAINS_MS
from reconciler.demo import tell
from reconciler.errors import UsageError
from reconciler.model import SECOND_MS
from reconciler.sandbox import DOCUMENTED_SCOPES, SandboxConfig, faults_of, run_sandbox
from reconciler.values import value


@value
class SandboxOptions:
    """What ``sandbox`` is given; durations are in seconds.

    ``allowed_scopes`` and ``label_forms`` are separated by commas, None for all scopes
    that are documented, and for no form. ``faults`` are JSON.
    """

    port: int
    no_limits: bool
    state_file: str | None
    allowed_scopes: str | None
    identity_lifetime: int
    used_after: int
    used_grain: str | None
    used_every: int
    used_never: bool
    tokens_max: int | None
    label_forms: str | None
    label_cut: int | None
    extra_scope: str | None
    list_without: tuple[str, ...]
    list_without_last: int
    date_off: int
    maintenance: bool
    faults: tuple[str, ...]


def sandbox(options: SandboxOptions) -> None:
    """Serve until a signal comes. UsageError for an option that can't be used."""
    state_file = Path(options.state_file) if options.state_file else None
    faults = faults_of(options.faults)
    run_sandbox(
        _config_of(options),
        stdout=sys.stdout,
        port=options.port,
        state_file=state_file,
        faults=faults,
    )


def _config_of(options: SandboxOptions) -> SandboxConfig:
    grain_ms = GRAINS_MS[options.used_grain] if options.used_grain else 1
    try:
        return SandboxConfig(
            limits=not options.no_limits,
            allowed_scopes=_names(options.allowed_scopes) or DOCUMENTED_SCOPES,
            identity_lifetime_ms=options.identity_lifetime * SECOND_MS,
            last_used_after_ms=options.used_after * SECOND_MS,
            last_used_grain_ms=None if options.used_never else grain_ms,
            last_used_every_ms=options.used_every * SECOND_MS,
            tokens_max=options.tokens_max,
            label_forms=_names(options.label_forms),
            label_cut=options.label_cut,
            extra_scope=options.extra_scope,
            list_without=options.list_without,
            list_without_last=options.list_without_last,
            date_shift_ms=options.date_off * SECOND_MS,
            maintenance=options.maintenance,
        )
    except ValueError as error:
        sentence = str(error)
    raise UsageError(f"the sandbox can't be set up so: {sentence}")


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text else ()


def demo(*, fast: bool) -> None:
    """Play the whole story."""
    tell(fast=fast)
