"""GitHub's REST API, as far as a plan needs it."""

from reconciler.github.client import GitHub
from reconciler.github.job import GitHubError, Job, job_from

__all__ = ["GitHub", "GitHubError", "Job", "job_from"]
