"""The command line.

Nearly all that a command makes anew is modules, which stay. Python would search them
for garbage once for each 700 new objects, which is a twelfth of a small plan. So the
search is made rarer before anything else is loaded.
"""

import gc

gc.set_threshold(20_000)

from reconciler.cli.entry import main  # noqa: E402  # see above

__all__ = ["main"]
