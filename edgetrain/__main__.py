"""``python -m edgetrain`` and the command ``edgetrain``."""

import sys


def main() -> None:
    """Run the command line; what was asked wrongly is one sentence and exit code 1."""
    from edgetrain.cli.app import app
    from edgetrain.errors import EdgetrainError

    try:
        app()
    except (EdgetrainError, ValueError) as error:
        print(f"edgetrain: error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
