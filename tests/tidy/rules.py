#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that a machine can check.

    rules.py [ROOT]     prints each violation as "file:line: rule: what", exit 1 if there is any

A rule is a function that takes a Tree and yields (file, line, text).  010-rules.py runs all of them
on this repository, 020-canary.py on a small bad tree in which each of them must find something.
"""
import os
import re
import sys

LAYERS = {"base": 0, "format": 1, "alloc": 1, "io": 2, "index": 3, "store": 4, "http": 5,
          "offline": 5}
# A layer sees itself and what is below; of two on one level neither sees the other.

# Headers that are no module of their own name, with the layer they belong to.
HEADER_LAYER = {"assert": "base", "bits": "base", "le": "base", "clock": "base", "buckets": "base",
                "plant": "base",
                "format": "format", "codec": "format", "partition": "format", "io": "io",
                "index": "index", "op": "store", "http": "http", "counters": "http"}

# Headers of libraries, with the only folders that may include them.
LIBRARIES = {"liburing.h": ["src/io"], "liburing/": ["src/io"], "lmdb.h": ["src/index"],
             "llhttp.h": ["src/http"], "blkid/": ["src/offline"],
             "jansson.h": ["src/http", "src/offline", "tools"], "ini.h": ["src/http"]}

FILE_LINES = 600
HEADER_LINES = 180
TEST_LINES = 1000
FUNCTION_LINES = 75
TEST_FUNCTION_LINES = 120

BANNED = {
    "strcpy": "the size of the target is not known",
    "strcat": "the size of the target is not known",
    "stpcpy": "the size of the target is not known",
    "sprintf": "the size of the target is not known",
    "vsprintf": "the size of the target is not known",
    "gets": "the size of the target is not known",
    "strtok": "it keeps hidden state",
    "alloca": "the stack has no bound then",
    "usleep": "wait for the event",
    "sleep": "wait for the event",
}
ALLOCATION = ["malloc", "calloc", "realloc", "strdup", "strndup", "asprintf", "posix_memalign",
              "aligned_alloc"]
# Who may allocate: the arena, a ring when it is opened and the daemon when it starts; the simulator,
# the programs and the offline layer, which are no data path.
ALLOCATORS = re.compile(r"^(src/base/arena\.c|src/io/(sim\w*|ring)\.c|src/http/server\.c"
                        r"|src/offline/.*|tools/.*|tests/.*)$")

TOP = ["CMakeLists.txt", "LICENSE", "README.md", "include", "share", "src", "systemd", "tests", "tools",
       "udev"]
TOP_IGNORED = re.compile(r"^(\..*|build|build-.*)$")

C_FILE = re.compile(r"\.[ch]$")
SCRIPT = re.compile(r"\.(py|sh)$")
SPDX = "SPDX-License-Identifier: Apache-2.0"
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b")
DEVELOPER = re.compile(r"(?<![\w.])/(?:home/\w+|Users/\w+|work/\w+|mnt/c/)")


class Tree:
    """The files of a repository, read once; comments and strings blanked on demand."""

    def __init__(self, root):
        self.root = root
        self.files = []
        for folder, folders, names in os.walk(root):
            inside = os.path.relpath(folder, root)
            folders[:] = sorted(f for f in folders if f != "__pycache__" and f != ".git"
                                and not (inside == "." and re.match(r"build($|-)", f)))
            for name in sorted(names):
                self.files.append(os.path.normpath(os.path.join(inside, name)))
        self.cache = {}

    def text(self, path):
        if path not in self.cache:
            with open(os.path.join(self.root, path), "rb") as file:
                self.cache[path] = file.read()
        return self.cache[path].decode("utf-8", "replace")

    def is_text(self, path):
        self.text(path)
        return b"\0" not in self.cache[path]

    def lines(self, path):
        return self.text(path).splitlines()

    def code(self, path):
        """Lines of a C file with comments, strings and characters blanked."""
        def blank(match):
            return re.sub(r"[^\n]", " ", match.group(0))
        text = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', blank,
                      self.text(path), flags=re.S)
        return text.splitlines()

    def c_files(self, *folders):
        return [f for f in self.files if C_FILE.search(f) and f.startswith(folders)]

    def includes(self, path):
        for number, line in enumerate(self.lines(path), 1):
            match = INCLUDE.match(line)
            if match:
                yield number, match.group(1)

    def layer_of_header(self, stem):
        """Layer of include/bb/STEM.h: where src/LAYER/STEM.c is, else as the table says."""
        if stem in HEADER_LAYER:
            return HEADER_LAYER[stem]
        for layer in LAYERS:
            if f"src/{layer}/{stem}.c" in self.files:
                return layer
        return None


def owner(tree, path):
    """Layer of a source or public header, None for programs and what has none."""
    match = re.match(r"src/(\w+)/", path)
    if match:
        return match.group(1)
    match = re.match(r"include/bb/(\w+)\.h$", path)
    return tree.layer_of_header(match.group(1)) if match else None


def layers(tree):
    """A file includes headers of its own layer and lower ones only."""
    for path in tree.c_files("include/bb/", "src/"):
        layer = owner(tree, path)
        if layer not in LAYERS:
            yield path, 1, "belongs to no layer: no src/LAYER/NAME.c, not in HEADER_LAYER"
            continue
        for number, name in tree.includes(path):
            if not name.startswith("bb/"):
                if "/" in name and os.path.exists(os.path.join(tree.root, "src", name)):
                    yield path, number, f"{name} is private to another layer"
                elif name.startswith("."):
                    yield path, number, f"{name} leaves the folder"
                continue
            other = tree.layer_of_header(name[3:-2])
            if other is None:
                yield path, number, f"{name} belongs to no layer"
            elif other != layer and LAYERS[other] >= LAYERS[layer]:
                yield path, number, f"layer {layer} must not see {name} of layer {other}"


def libraries(tree):
    """A library is included by the one folder that hides it."""
    for path in tree.c_files("include/", "src/", "tools/"):
        for number, name in tree.includes(path):
            for library, folders in LIBRARIES.items():
                if name.startswith(library) and not path.startswith(
                        tuple(f + "/" for f in folders)):
                    yield path, number, f"{name} belongs to {', '.join(folders)}"


def file_length(tree):
    """One noun per file."""
    for path in tree.files:
        if not (C_FILE.search(path) or SCRIPT.search(path)):
            continue
        limit = FILE_LINES
        if path.startswith("include/"):
            limit = HEADER_LINES
        elif path.startswith("tests/"):
            limit = TEST_LINES
        count = len(tree.lines(path))
        if count > limit:
            yield path, count, f"{count} lines, at most {limit}"


def functions(tree, path):
    """(name, first line, length) of each function; the layout is clang-format's, so a body is what
    stands between a "{" and a "}" in the first column."""
    start = None
    lines = tree.code(path)
    for number, line in enumerate(lines, 1):
        if line.rstrip() == "{":
            start = number
        elif line.rstrip() == "}" and start:
            head = start - 1
            while head > 0 and lines[head - 1].strip() and lines[head - 1][0] not in "}#;":
                head -= 1
            names = re.findall(r"(\w+)\s*\(", " ".join(lines[head:start - 1]))
            names = [n for n in names if n not in ("__attribute__", "format")]
            yield (names or ["?"])[0], start, number - start + 1
            start = None


def function_length(tree):
    """One idea per function."""
    for path in tree.c_files("include/", "src/", "tools/", "tests/"):
        limit = TEST_FUNCTION_LINES if path.startswith("tests/") else FUNCTION_LINES
        for name, line, length in functions(tree, path):
            if length > limit:
                yield path, line, f"{name} has {length} lines, at most {limit}"


def banned_calls(tree):
    """No call that cannot be used safely, no wait for time to pass."""
    pattern = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
    for path in tree.c_files("include/", "src/", "tools/", "tests/"):
        for number, line in enumerate(tree.code(path), 1):
            for match in pattern.finditer(line):
                yield path, number, f"{match.group(1)}: {BANNED[match.group(1)]}"


def allocation(tree):
    """After start our code allocates nothing, so only the arena does."""
    pattern = re.compile(r"(?<![\w.>])(" + "|".join(ALLOCATION) + r")\s*\(")
    for path in tree.c_files("include/", "src/", "tools/", "tests/"):
        if ALLOCATORS.match(path):
            continue
        for number, line in enumerate(tree.code(path), 1):
            for match in pattern.finditer(line):
                yield path, number, f"{match.group(1)} outside the arena"


def spdx(tree):
    """The licence in the first lines of each source and script."""
    for path in tree.files:
        if not tree.is_text(path):
            continue
        lines = tree.lines(path)
        is_script = bool(lines) and lines[0].startswith("#!")
        if C_FILE.search(path):
            if not lines or lines[0] not in (f"/* {SPDX}", f"/* {SPDX} */"):
                yield path, 1, "the first line is not the SPDX line"
        elif (SCRIPT.search(path) or is_script) and not path.startswith("."):
            if not any(SPDX in line for line in lines[:3]):
                yield path, 1, "no SPDX line in the first three"


def exported(tree, path):
    """Names of the functions that a source defines and other files can call."""
    lines = tree.code(path)
    for _, start, _ in functions(tree, path):
        head = start - 1
        while head > 0 and lines[head - 1].strip() and lines[head - 1][0] not in "}#;":
            head -= 1
        text = " ".join(lines[head:start - 1])
        names = re.findall(r"(\w+)\s*\(", text)
        if names and not re.search(r"\bstatic\b", text):
            yield names[0]


def declared(tree, header):
    """Names of the functions that a header declares, inline ones too."""
    text = "\n".join(line for line in tree.code(header) if not line.startswith("#"))
    return set(re.findall(r"\b(\w+)\s*\([^;{]*[;{]", text))


def seen_headers(tree, path, layer, seen):
    """Headers of one layer that a file includes, directly or not."""
    for _, name in tree.includes(path):
        header = "include/" + name if name.startswith("bb/") else f"src/{layer}/{name}"
        if header in tree.files and header not in seen:
            seen.add(header)
            seen_headers(tree, header, layer, seen)
    return {header for header in seen if owner(tree, header) == layer}


def modules(tree):
    """A header and a test for each module: what a source exports is declared in a header of its
    layer that it includes, and each public header has a unit test of its name, or is at least
    called by one of another name or by the harnesses."""
    tests = [f for f in tree.c_files("tests/") if f.endswith(".c")]
    for path in tree.c_files("src/"):
        if not path.endswith(".c"):
            continue
        layer = path.split("/")[1]
        headers = seen_headers(tree, path, layer, set())
        names = set().union(*(declared(tree, header) for header in headers))
        for function in exported(tree, path):
            if function not in names:
                yield path, 1, f"{function} is in no header of layer {layer} that it includes"
    for path in tree.c_files("include/bb/"):
        stem = os.path.basename(path)[:-2]
        names = declared(tree, path)
        if not names or any(f.endswith(f"/test_{stem}.c") for f in tests):
            continue
        called = re.compile(r"\b(" + "|".join(names) + r")\b")
        if not any(called.search("\n".join(tree.code(test))) for test in tests):
            yield path, 1, f"no test: no tests/unit/*/test_{stem}.c, and no test calls it"


def unfinished(tree):
    """What is to be done belongs to the tracker, not to the code."""
    for path in tree.files:
        if path == "LICENSE" or not tree.is_text(path):
            continue
        for number, line in enumerate(tree.lines(path), 1):
            match = UNFINISHED.search(line)
            if match:
                yield path, number, match.group(1)


def top_level(tree):
    """The visible entries at the top are these and no others."""
    present = [e for e in sorted(os.listdir(tree.root)) if not TOP_IGNORED.match(e)]
    for entry in sorted(set(present) - set(TOP)):
        yield entry, 1, "does not belong at the top"
    for entry in sorted(set(TOP) - set(present)):
        yield entry, 1, "is missing at the top"


def developer_paths(tree):
    """No path of somebody's machine."""
    for path in tree.files:
        if not tree.is_text(path):
            continue
        for number, line in enumerate(tree.lines(path), 1):
            match = DEVELOPER.search(line)
            if match:
                yield path, number, f"path of a machine: {match.group(0)}"


def line_comments(tree):
    """Comments are written /* so */; a line comment is mostly code that was switched off."""
    for path in tree.c_files("include/", "src/", "tools/", "tests/"):
        text = re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"',
                      lambda m: re.sub(r"[^\n]", " ", m.group(0)), tree.text(path), flags=re.S)
        for number, line in enumerate(text.splitlines(), 1):
            if "//" in line:
                yield path, number, "line comment"


RULES = [layers, libraries, file_length, function_length, banned_calls, allocation, spdx, modules,
         unfinished, top_level, developer_paths, line_comments]


def violations(root, rule):
    return [f"{path}:{line}: {rule.__name__}: {text}" for path, line, text in rule(Tree(root))]


if __name__ == "__main__":
    where = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "../..")
    found = [line for rule in RULES for line in violations(where, rule)]
    print("\n".join(found) if found else "all rules hold")
    sys.exit(1 if found else 0)
