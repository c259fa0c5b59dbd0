"""Exported C as the build systems of microcontrollers want it: one table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from string import Template

from edgetrain import __version__
from edgetrain.exporters.c_writing.ceilings import Ceilings
from edgetrain.exporters.c_writing.targets import target_named

TEMPLATES = files("edgetrain.exporters") / "c_templates"
SOURCES = "src/"
"""Where the C lies in every package."""
LICENSE = "LICENSE"
"""Of what edgetrain wrote, in every package."""
NO_CEILING = 2**32 - 1
SENTENCE = "A neural network that runs and learns on the device, written by edgetrain."


class Text(Template):
    """A template whose fields are written ``@{field}``, as ``$`` belongs to CMake."""

    delimiter = "@"


@dataclass(frozen=True)
class Package:
    """What one build system wants.

    Attributes:
        files: template by path; both paths have fields too.
        listed: how the description names a source, a format of its path in the package.
        entry: signature of the function that an application begins with.
        leave: its last statement.
        device: as files, where the device is known.
    """

    files: Mapping[str, str]
    listed: str = "  {}"
    entry: str = "int main(void)"
    leave: str = "\n    return 0;"
    device: Mapping[str, str] = field(default_factory=dict)


def _example(folder: str, main: str = "main.c", template: str = "main.c") -> dict[str, str]:
    return {f"{folder}/{main}": template, f"{folder}/ram_flash.h": "ram_flash.h"}


PACKAGES = {
    "cmake": Package(
        {"CMakeLists.txt": "cmake/CMakeLists.txt", **_example("example")},
        device={"@{target}.cmake": "cmake/toolchain.cmake", "@{name}.ld": "cmake/ceilings.ld"},
    ),
    "arduino": Package(
        {
            "library.properties": "arduino/library.properties",
            **_example("examples/@{name}", "@{name}.ino", "sketch.ino"),
        }
    ),
    "zephyr": Package(
        {
            "zephyr/module.yml": "zephyr/module.yml",
            "zephyr/CMakeLists.txt": "zephyr/CMakeLists.txt",
            "zephyr/Kconfig": "zephyr/Kconfig",
            "samples/@{name}/CMakeLists.txt": "zephyr/sample.txt",
            "samples/@{name}/prj.conf": "zephyr/prj.conf",
            **_example("samples/@{name}/src"),
        },
        listed="    ../{}",
    ),
    "platformio": Package(
        {"library.json": "platformio/library.json", **_example("examples/@{name}")}
    ),
    "esp_idf": Package(
        {
            "CMakeLists.txt": "esp-idf/CMakeLists.txt",
            "idf_component.yml": "esp-idf/idf_component.yml",
            "examples/@{name}/CMakeLists.txt": "esp-idf/project.txt",
            "examples/@{name}/main/CMakeLists.txt": "esp-idf/main.txt",
            **_example("examples/@{name}/main"),
        },
        listed="    {}",
        entry="void app_main(void)",
        leave="",
    ),
}
"""Every package by name; a new one is an entry here and its templates."""


def package(
    kind: str, name: str, code: Mapping[str, bytes], targets: str,
    ceilings: Ceilings | None = None, stack: int = 0,
) -> dict[str, bytes]:  # fmt: skip
    """Put exported C into a package.

    Args:
        kind: a key of PACKAGES; a hyphen does for an underscore.
        name: of the model.
        code: its C, by file name.
        targets: how many numbers y of a training step has, a constant of C.
        ceilings: of the device, for the files of `Package.device`.
        stack: bytes that it needs there.

    Returns:
        Contents by path.

    Raises:
        ValueError: if there is no such package.

    Example:
        >>> files = package("cmake", "net", {"net.c": b"", "net.h": b""}, "NET_BATCH")
        >>> sorted(files)[:3]
        ['CMakeLists.txt', 'LICENSE', 'example/main.c']
        >>> print(files["CMakeLists.txt"].decode().split(chr(10))[4:7])
        ['add_library(net STATIC', '  src/net.c', ')']
    """
    key = kind.replace("-", "_")
    if key not in PACKAGES:
        known = ", ".join(PACKAGES).replace("_", "-")
        raise ValueError(f"package must be one of {known}, got {kind!r}")
    chosen = PACKAGES[key]
    sources = sorted(file for file in code if file.endswith(".c"))
    fields = {
        "name": name,
        "NAME": name.upper(),
        "version": __version__,
        "sentence": SENTENCE,
        "sources": "\n".join(chosen.listed.format(SOURCES + file) for file in sources),
        "targets": targets,
        "entry": chosen.entry,
        "leave": chosen.leave,
        **_device(ceilings, stack),
    }
    wanted = {LICENSE: LICENSE, **chosen.files, **(chosen.device if ceilings else {})}
    made = {
        Text(path).substitute(fields): Text((TEMPLATES / template).read_text("utf-8"))
        .substitute(fields)
        .encode()
        for path, template in wanted.items()
    }
    return made | {SOURCES + file: content for file, content in code.items()}


def _device(ceilings: Ceilings | None, stack: int) -> dict[str, str]:
    """Return the fields that a device gives."""
    if ceilings is None:
        return {}
    target = target_named(ceilings.target)
    return {
        "target": ceilings.target,
        "compiler": target.compiler,
        "flags": " ".join(target.flags),
        "stack": str(stack),
        "ram": str(ceilings.ram or NO_CEILING),
        "flash": str(ceilings.flash or NO_CEILING),
    }
