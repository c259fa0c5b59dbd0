"""Every package is whole, builds without a warning, and its example learns as the runtime does."""

import json
import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.architectures import cnn
from edgetrain.exporters.c_writing.packages import LICENSE, PACKAGES, TEMPLATES
from edgetrain.exporters.to_c import to_c
from edgetrain.inference import output
from edgetrain.quantize import quantize
from edgetrain.rules import Backprop, MonoForward
from edgetrain.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
BATCH, STEPS, OUTPUTS = 2, 20, 3
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror")
RULES = {
    "labels": ("classify", MonoForward(settings=Settings(learning_rate=0.05), warmup=4)),
    "numbers": ("regress", Backprop(settings=Settings(learning_rate=0.05, loss="squared_error"))),
}


def tool(name):
    """Return the path of a program, beside Python or elsewhere, or skip."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    return shutil.which(name, path=path) or pytest.skip(
        f"needs {name}: pip install cmake ninja, apt-get install g++"
    )


def call(*command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def network(task):
    x = np.random.default_rng(0).normal(0, 1, (32, 9, 7, 2)).astype(np.float32)
    return quantize(cnn((9, 7, 2), OUTPUTS), x, headroom=1.5, task=task)


def written(folder, package, targets="labels"):
    """Export a package into a folder."""
    task, rule = RULES[targets]
    files = to_c(network(task), "net", rule, BATCH, package=package)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return files


def learned(targets="labels"):
    """Return what the examples see: the losses of all steps, and the outputs at the end."""
    task, rule = RULES[targets]
    model = network(task)
    count = BATCH * int(np.prod(model.graph.input_shape))
    x = (np.arange(count) * 37 % 251 - 125).astype(np.int8).reshape(BATCH, 9, 7, 2)
    shape = BATCH if targets == "labels" else (BATCH, OUTPUTS)
    y = (np.arange(np.prod(shape)) % OUTPUTS).astype(np.int32).reshape(shape)
    state, losses = rule.init(model), []
    for _ in range(STEPS):
        model, state, metrics = rule.step(model, state, x, y, fixed, 0)
        losses.append(metrics["loss"])
    return losses, output(model, x[:1], fixed).ravel().tolist()


def printed(targets="labels"):
    """Return what main.c must print."""
    losses, outputs = learned(targets)
    assert losses[0] != losses[-1]
    return (
        f"nothing was saved before\nstep 1: loss {losses[0]}\nstep 20: loss {losses[-1]}\n"
        f"saved 0, loaded 0\noutputs {' '.join(map(str, outputs))}\n"
    )


def configured(folder):
    """Configure a folder with CMake and build it without a warning; return the build's folder."""
    flags = f"-DCMAKE_C_FLAGS={' '.join(WARNINGS)}"
    build = folder / "build"
    call(tool("cmake"), "-B", build, "-G", "Ninja", "-Wdev", flags, cwd=folder)
    call(tool("ninja"), "-C", build, cwd=folder)
    return build


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_names_its_sources_and_no_others(package, tmp_path):
    files = written(tmp_path, package)
    sources = {path for path in files if re.fullmatch(r"src/\w+\.c", path)}
    assert {"src/net.c", "src/et_layers.c"} <= sources
    others = [text.decode() for path, text in files.items() if not path.startswith("src/")]
    listed = {
        f"src/{name}" for text in others for name in re.findall(r"src/((?:net|et_\w+)\.c)", text)
    }
    assert listed in (sources, set())  # Arduino and PlatformIO take whatever lies in src/
    assert (listed == set()) == (package in ("arduino", "platformio"))
    assert not any(b"@" in text for path, text in files.items() if not path.startswith("src/"))
    compiler = tool("cc")
    for path in sorted(sources):
        call(compiler, "-std=c99", "-O2", *WARNINGS, "-c", path, "-o", "/dev/null", cwd=tmp_path)


def test_every_template_is_of_some_package():
    used = {
        template
        for package in PACKAGES.values()
        for template in (*package.files.values(), *package.device.values())
    }
    folders = [entry for entry in TEMPLATES.iterdir() if entry.is_dir()]
    there = {entry.name for entry in TEMPLATES.iterdir() if entry.is_file()}
    there |= {f"{folder.name}/{entry.name}" for folder in folders for entry in folder.iterdir()}
    assert there == used | {LICENSE}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_has_our_license(package, tmp_path):
    assert written(tmp_path, package)["LICENSE"] == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("targets", RULES)
def test_cmake(targets, tmp_path):
    written(tmp_path, "cmake", targets)
    build = configured(tmp_path)
    assert (build / "libnet.a").is_file()
    assert call(build / "net_example", cwd=tmp_path) == printed(targets)


def test_arduino(tmp_path):
    files = written(tmp_path, "arduino")
    properties = dict(
        line.split("=", 1) for line in files["library.properties"].decode().splitlines()
    )
    assert {"name", "version", "author", "maintainer", "sentence", "paragraph", "category",
            "url", "architectures", "includes"} <= set(properties)  # fmt: skip
    (tmp_path / "sketch.cpp").write_text(
        "#include <cstdio>\n"
        "struct {\n void begin(long) {}\n"
        " void print(const char *text) { std::fputs(text, stdout); }\n"
        ' void println(long number) { std::printf("%ld\\n", number); }\n} Serial;\n'
        '#include "examples/net/net.ino"\n'
        "int main() { setup(); for (int i = 0; i < 30; i++) loop(); }\n"
    )
    call(tool("cc"), "-std=c99", "-c", *(p for p in files if p.endswith(".c")), cwd=tmp_path)
    objects = [path.name for path in tmp_path.glob("*.o")]
    call(tool("c++"), "-std=c++11", *WARNINGS, "-Isrc", "sketch.cpp", *objects, "-o", "sketch",
         cwd=tmp_path)  # fmt: skip
    losses, outputs = learned()
    lines = ["loaded -2", *(f"loss {loss}" for loss in losses), "saved 0"]
    lines += [f"output {value}" for value in outputs]
    assert call(tmp_path / "sketch", cwd=tmp_path).splitlines() == lines


def test_every_public_header_is_one_of_c_plus_plus_too(tmp_path):
    files = written(tmp_path, "cmake")
    headers = [path for path in files if path.endswith(".h") and path.startswith("src/")]
    public = [path for path in headers if b"Private to the kernels" not in files[path]]
    assert len(public) > 5
    for path in public:
        assert b'extern "C"' in files[path]
        call(tool("c++"), "-std=c++11", *WARNINGS, "-fsyntax-only", "-include", path, "-x", "c++",
             "/dev/null", cwd=tmp_path)  # fmt: skip


def test_platformio(tmp_path):
    files = written(tmp_path, "platformio")
    manifest = json.loads(files["library.json"])
    (example,) = manifest["examples"]
    assert {f"{example['base']}/{file}" for file in example["files"]} <= set(files)
    assert f"src/{manifest['headers']}" in files
    sources = [path for path in files if path.endswith(".c")]
    call(tool("cc"), "-std=c99", *WARNINGS, "-Isrc", *sources, "-o", "example", cwd=tmp_path)
    assert call(tmp_path / "example", cwd=tmp_path) == printed()


def test_platformio_packs_the_library(tmp_path):
    pio = shutil.which("pio") or pytest.skip("needs pio: pip install platformio")
    written(tmp_path, "platformio")
    said = call(pio, "pkg", "pack", "-o", tmp_path / "net.tar.gz", cwd=tmp_path)
    assert (tmp_path / "net.tar.gz").is_file(), said


ZEPHYR = """
macro(find_package)
  project(zephyr C)
  set(CONFIG_EDGETRAIN_NET y)
  add_library(zephyr_options INTERFACE)
  add_executable(app)
  target_link_libraries(app PRIVATE zephyr_options)
  foreach(module ${EXTRA_ZEPHYR_MODULES})
    add_subdirectory(${module}/MODULE_CMAKE module)
  endforeach()
  macro(project)
  endmacro()
endmacro()
function(zephyr_include_directories)
  foreach(folder ${ARGV})
    target_include_directories(zephyr_options INTERFACE ${CMAKE_CURRENT_SOURCE_DIR}/${folder})
  endforeach()
endfunction()
macro(zephyr_library_named name)
  set(ZEPHYR_CURRENT_LIBRARY ${name})
  add_library(${name} STATIC)
  target_link_libraries(${name} PRIVATE zephyr_options)
  target_link_libraries(app PRIVATE ${name})
endmacro()
macro(zephyr_library_sources)
  target_sources(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGV})
endmacro()
"""


def test_zephyr(tmp_path):
    yaml = pytest.importorskip("yaml", reason="needs PyYAML: pip install pyyaml")
    files = written(tmp_path, "zephyr")
    module = yaml.safe_load(files["zephyr/module.yml"])
    assert module["name"] == "net"
    assert module["build"]["kconfig"] in files
    symbol = re.search(rb"^config (\w+)\n\tbool ", files[module["build"]["kconfig"]], re.MULTILINE)[
        1
    ]
    assert f"CONFIG_{symbol.decode()}=y" in files["samples/net/prj.conf"].decode().split()
    stub = tmp_path / "stub.cmake"
    stub.write_text(ZEPHYR.replace("MODULE_CMAKE", module["build"]["cmake"]))
    sample = tmp_path / "samples" / "net"
    text = (sample / "CMakeLists.txt").read_text()
    (sample / "CMakeLists.txt").write_text(text.replace("\n", f"\ninclude({stub})\n", 1))
    build = configured(sample)
    assert call(build / "app", cwd=tmp_path) == printed()


IDF = """
function(idf_component_register)
  cmake_parse_arguments(PARSE_ARGV 0 it "" "" "SRCS;INCLUDE_DIRS")
  list(TRANSFORM it_SRCS PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
  list(TRANSFORM it_INCLUDE_DIRS PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
  target_sources(firmware PRIVATE ${it_SRCS})
  target_include_directories(firmware PRIVATE ${it_INCLUDE_DIRS})
endfunction()
macro(project name)
  _project(${name} C)
  file(WRITE ${CMAKE_BINARY_DIR}/start.c
    "void app_main(void);\\nint main(void) {\\n  app_main();\\n  return 0;\\n}\\n")
  add_executable(firmware ${CMAKE_BINARY_DIR}/start.c)
  foreach(folder ${EXTRA_COMPONENT_DIRS} ${CMAKE_CURRENT_LIST_DIR}/main)
    get_filename_component(component ${folder} NAME)
    add_subdirectory(${folder} ${component})
  endforeach()
endmacro()
"""


def test_esp_idf(tmp_path, monkeypatch):
    yaml = pytest.importorskip("yaml", reason="needs PyYAML: pip install pyyaml")
    files = written(tmp_path, "esp-idf")
    manifest = yaml.safe_load(files["idf_component.yml"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", manifest["version"])
    assert manifest["dependencies"]["idf"].startswith(">=")
    (tmp_path / "idf" / "tools" / "cmake").mkdir(parents=True)
    (tmp_path / "idf" / "tools" / "cmake" / "project.cmake").write_text(IDF)
    monkeypatch.setenv("IDF_PATH", str(tmp_path / "idf"))
    build = configured(tmp_path / "examples" / "net")
    assert call(build / "firmware", cwd=tmp_path) == printed()


def test_an_unknown_package_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match="cmake, arduino, zephyr, platformio, esp-idf, got 'mbed'"):
        to_c(network("classify"), package="mbed")
