"""Names that people give, as they are kept."""


def one_line(text: str, longest: int) -> str:
    """``text`` on one line, at most so many letters: without control characters, and those that turn the direction of writing."""
    whole = text[: 10 * longest].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")  # halves of pairs become �
    words = " ".join(whole.split())
    return "".join(letter for letter in words if letter.isprintable())[:longest].strip()
