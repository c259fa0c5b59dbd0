"""Where the examples' tables stand: between two marks of a Markdown file."""

from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
RESULTS = Path(__file__).with_name("RESULTS.md")


def put(path: Path, name: str, table: str) -> None:
    """Write a table between ``<!-- name: begin -->`` and ``<!-- name: end -->``."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    head, rest = path.read_text().split(begin)
    path.write_text(f"{head}{begin}\n{table}\n{end}{rest.split(end)[1]}")
