"""Draw the README's picture: the curves of `edgetrain demo`.

python examples/draw_demo.py           # writes examples/demo.svg; half a minute
"""

from pathlib import Path

from edgetrain import demo, kernels
from edgetrain.report import chart

PICTURE = Path(__file__).with_name("demo.svg")


def main() -> None:
    ops = kernels.load(kernels.default())
    model, data = demo.factory_model(ops), demo.device_data()
    PICTURE.write_text(chart([demo.run(rule, model, data, ops) for rule in demo.RULES]) + "\n")
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
