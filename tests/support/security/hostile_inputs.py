"""Texts that could be interpreted (HTML, Markdown, LaTeX, control characters, writing direction),
and names that could be paths.
"""

import random
import re
import string
from dataclasses import dataclass

# text with its marker {m}, and what of it must not stand in a place that reads Markdown
TEMPLATES = (
    ("<b>{m}</b>", "<b>{m}"),
    ("<img src=x onerror=alert(1)>{m}", "<img"),
    ("<script>{m}</script>", "<script"),
    ("<svg onload=alert(1)>{m}", "<svg"),
    ("<iframe src=javascript:alert(1)>{m}", "<iframe"),
    ("<a href='//evil.example'>{m}</a>", "<a href"),
    ("<!-- {m}", "<!--"),
    ("<https://evil.example/{m}>", "<https"),
    ("https://evil.example/{m}", "https://evil"),
    ("www.evil.example/{m}", "www.evil"),
    ("{m}@evil.example", "{m}@evil"),
    ("![{m}](//evil.example/x.png)", "![{m}]"),
    ("[{m}](javascript:alert(1))", "[{m}]("),
    ("[{m}]: //evil.example", "[{m}]:"),
    ("[^{m}]", "[^{m}"),
    ("+**{m}**", "+**{m}"),  # the app itself writes names in bold, but no plus before them
    ("__{m}__", "__{m}"),
    ("_{m}_", "_{m}_"),
    ("~~{m}~~", "~~{m}"),
    ("`{m}`", "`{m}"),
    ("```{m}", "```"),
    ("$${m}$$", "$${m}"),
    ("$\\frac{{1}}{{{m}}}$", "$\\frac"),
    ("{m}<br>", "{m}<br"),
    ("# {m}", "# {m}"),
    ("> {m}", "> {m}"),
    ("- {m}", "- {m}"),
    ("7. {m}", "7. {m}"),
    ("{m}\n\n# x", "\n# x"),
    ("{m}\n---", "\n---"),
    ("{m} | x\n--- | ---", "{m} |"),
    (":red[{m}]", ":red[{m}"),
    (":blue-badge[{m}]", ":blue-badge[{m}"),
    (":material/bomb: {m}", ":material/bomb:"),
    (":smile: {m}", ":smile:"),
    (":streamlit: {m}", ":streamlit:"),
    ("&lt;b&gt;{m}", "&lt;"),
    ("<- {m} ->", "<- {m}"),
    ("{m}\u202egnp.exe", "\u202e"),
    ("\u2067{m}\u2066", "\u2067"),
    ("\x1b[31m{m}", "\x1b"),
    ("{m}\x07\x00\x9f", "\x07"),
    ("{m}\u200b\u2063\U000e0041", "\u200b"),
)
ESCAPED = re.compile(r"\\[!-/:-@\[-`{-~]")  # a backslash takes the meaning of the mark after it
FRAMES = ("{t}", "x {t} y", "{t} {t}", "\u05e9\u05dc\u05d5\u05dd {t}", "{t}:")


@dataclass(frozen=True)
class Hostile:
    """A text and its ``needle``, whose unescaped presence in Markdown shows that the text was
    interpreted.
    """

    text: str
    needle: str
    marker: str

    def is_interpreted(self, shown: str) -> bool:
        """Return whether the text is interpreted in a place that reads ``shown`` as Markdown."""
        return self.needle in ESCAPED.sub("", shown)


def hostile_texts(number: int) -> list[Hostile]:
    """Return this many texts from all templates in turn, in varying contexts."""
    result = []
    for place in range(number):
        template, needle = TEMPLATES[place % len(TEMPLATES)]
        frame, marker = FRAMES[place // len(TEMPLATES) % len(FRAMES)], f"Q{place:03d}Z"
        result.append(
            Hostile(frame.format(t=template.format(m=marker)), needle.format(m=marker), marker)
        )
    return result


PARTS = (
    "..",
    ".",
    "/",
    "\\",
    "etc",
    "passwd",
    "~",
    "~root",
    "%2e%2e%2f",
    "%00",
    "\0",
    "\n",
    "C:",
    "con",
    "'",
    '"',
    ";",
    "--",
    "{0}",
    "%s",
    "${HOME}",
    "loralab.db",
    "jobs",
    "job.json",
    "saved.json",
    "datasets",
    "example",
    "-1",
    "1e309",
    "nan",
    "NaN",
    "null",
    "[]",
    "=1+1",
    "\ud800",
    "\u202e",
)


def hostile_names(number: int, seed: int = 8) -> list[str]:
    """Return ids, names and query values that are invalid or lead out of their folder."""
    draw = random.Random(seed)
    usual = [
        "",
        " ",
        "..",
        "../..",
        "../../outside",
        "../../etc/passwd",
        "/etc/passwd",
        "/",
        "~",
        "~root",
        "a" * 300,
        "a" * 70_000,
        "\0",
        "é" * 200,
        "../jobs",
    ]
    letters = string.printable + "é漢😀\u0301\u200d"
    while len(usual) < number:
        kind = draw.randrange(3)
        if kind == 0:
            usual.append("/".join(draw.choices(PARTS, k=draw.randint(1, 8))))
        elif kind == 1:
            usual.append("".join(draw.choices(PARTS, k=draw.randint(1, 6))))
        else:
            usual.append("".join(draw.choices(letters, k=draw.randint(1, 60))))
    return usual[:number]
