"""GitHub's REST API, as far as a plan needs it."""

from typing import TYPE_CHECKING

from reconciler import on_demand

if TYPE_CHECKING:
    from reconciler.github.client import GitHub, Post
    from reconciler.github.job import GitHubError, Job, job_from

__all__ = ["GitHub", "GitHubError", "Job", "Post", "job_from"]

__getattr__ = on_demand(
    __name__,
    {
        "client": ("GitHub", "Post"),
        "job": ("GitHubError", "Job", "job_from"),
    },
)
