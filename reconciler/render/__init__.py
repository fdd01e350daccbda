"""What people read: text, Markdown, annotations. Pure: values in, text out."""

from typing import TYPE_CHECKING

from reconciler import on_demand

if TYPE_CHECKING:
    from reconciler.render.annotations import code_quality, command, workflow_commands
    from reconciler.render.comment import (
        OLDER_COMMIT,
        PlanSource,
        drift_issue,
        failure_issue,
        plan_comment,
        plan_summary,
        refusal_summary,
        report_summary,
    )
    from reconciler.render.history import history_text
    from reconciler.render.markdown import plan_markdown
    from reconciler.render.marker import read_marker
    from reconciler.render.page import html_page
    from reconciler.render.status import status_text
    from reconciler.render.text import (
        held_lines,
        plan_text,
        report_last_line,
        row_line,
        stale_text,
    )
    from reconciler.render.words import capped_words, subject, twin_sentence, why

__all__ = [
    "OLDER_COMMIT",
    "PlanSource",
    "capped_words",
    "code_quality",
    "command",
    "drift_issue",
    "failure_issue",
    "held_lines",
    "history_text",
    "html_page",
    "plan_comment",
    "plan_markdown",
    "plan_summary",
    "plan_text",
    "read_marker",
    "refusal_summary",
    "report_last_line",
    "report_summary",
    "row_line",
    "stale_text",
    "status_text",
    "subject",
    "twin_sentence",
    "why",
    "workflow_commands",
]

__getattr__ = on_demand(
    __name__,
    {
        "annotations": ("code_quality", "command", "workflow_commands"),
        "comment": (
            "OLDER_COMMIT",
            "PlanSource",
            "drift_issue",
            "failure_issue",
            "plan_comment",
            "plan_summary",
            "refusal_summary",
            "report_summary",
        ),
        "history": ("history_text",),
        "marker": ("read_marker",),
        "markdown": ("plan_markdown",),
        "page": ("html_page",),
        "status": ("status_text",),
        "text": ("held_lines", "plan_text", "report_last_line", "row_line", "stale_text"),
        "words": ("capped_words", "subject", "twin_sentence", "why"),
    },
)
