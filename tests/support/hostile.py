"""Text that means harm, and the check that none of it got through."""

from __future__ import annotations

from hypothesis import strategies as st

HOSTILE_PIECES = (
    *(
        "`",
        "``",
        "|",
        "\\",
        "\\|",
        "<!--",
        "-->",
        "<script>",
        "</details>",
        "@user",
        "#1",
        "&amp;",
        "[x](y)",
        "![",
        "*",
        "_",
        "~~",
    ),
    *(
        "::error::",
        "##[error]",
        "##vso[x]",
        "###",
        "::",
        "https://e.example",
        "www.e.example",
        "e@e.example",
        ":smile:",
        "$x$",
    ),
    *(
        "\x1b[31m",
        "\x1b]8;;",
        "\x07",
        "\x00",
        "\n",
        "\r",
        "\r\n",
        "\t",
        "\x7f",
        "\x85",
        "\x9b",
        "\u2028",
        "\u2029",
        "\u00a0",
    ),
    *(
        "\u202e",
        "\u2066",
        "\u200b",
        "\u200d",
        "\ufeff",
        "\u3164",
        "\u2800",
        "\ufe0f",
        "\U000e0001",
        "\U000e0101",
        "\u00ad",
    ),
    *(
        "a",
        "b-c",
        " ",
        "  ",
        "é",
        "日本",
        "e\u0301",
        "👍",
        "- ",
        "+",
        "> ",
        "    ",
        "---",
        "1. ",
        "\ud800",
    ),
)


def hostile(*, most: int = 6) -> st.SearchStrategy[str]:
    """Text that means harm to a terminal, a log, a Markdown document or whoever reads
    one.
    """
    pieces = st.one_of(st.sampled_from(HOSTILE_PIECES), st.characters())
    return st.lists(pieces, min_size=1, max_size=most).map("".join)


def assert_harmless(text: str) -> None:
    """Nothing in the text moves a terminal, hides from a reader, can't be encoded, or
    is a command to a CI runner.
    """
    for line in text.split("\n"):
        assert line.isprintable(), ascii(line)
        assert "##[" not in line
        assert "##vso[" not in line
        assert not line.strip().startswith("::")
    text.encode()


def text_without_surrogates() -> st.SearchStrategy[str]:
    """Hostile text as it may come from JSON: our adapters let no half of a surrogate
    pair in.
    """
    return (
        hostile()
        .map(lambda text: text.replace("\ud800", ""))
        .filter(lambda t: bool(t) and _encodes(t))
    )


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
