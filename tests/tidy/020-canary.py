#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# when: quick
"""A tree in which everything is wrong once: each rule must find exactly what was planted for it, and
nothing in the same tree without the faults."""
import os
import sys
import tempfile

import rules

HEAD = "/* SPDX-License-Identifier: Apache-2.0\n * Sample.\n */\n"
GOOD = {
    "CMakeLists.txt": "", "LICENSE": "", "README.md": "", "share/a": "", "systemd/a": "",
    "udev/a": "",
    "tools/prog.c": HEAD + '#include "bb/high.h"\n',
    "include/bb/low.h": HEAD + "int bb_low_get(void);\n",
    "include/bb/high.h": HEAD + '#include "bb/low.h"\nint bb_high_get(void);\n',
    "src/base/low.c": HEAD + '#include "bb/low.h"\n\nint bb_low_get(void)\n{\n    return 1;\n}\n',
    "src/store/high.c": HEAD + '#include "bb/high.h"\n#include "part.h"\n\n'
                               "int bb_high_get(void)\n{\n    return bb_low_get();\n}\n",
    "src/store/part.h": HEAD + "int part_get(void);\n",
    "src/store/part.c": HEAD + '#include "part.h"\n\nint part_get(void)\n{\n    return 2;\n}\n',
    "src/io/ring.c": HEAD + "#include <liburing.h>\n",
    "tests/unit/base/test_low.c": HEAD,
    "tests/unit/store/test_other.c": HEAD + "static int a(void)\n{\n    return bb_high_get();\n}\n",
    "tests/run.sh": "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n",
}
LONG = "int bb_low_get(void)\n{\n" + "    x();\n" * 90 + "}\n"
# rule: planted file, its text, the line where it must be found
FAULTS = [
    ("layers", "src/base/low.c", GOOD["src/base/low.c"] + '#include "bb/high.h"\n', 10),
    ("layers", "include/bb/low.h", GOOD["include/bb/low.h"] + '#include "bb/high.h"\n', 5),
    ("layers", "src/http/x.c", HEAD + '#include "bb/off.h"\n', 4),
    ("layers", "src/http/x.c", HEAD + '#include "../store/part.h"\n', 4),
    ("layers", "src/http/x.c", HEAD + '#include "store/part.h"\n', 4),
    ("layers", "src/misc/x.c", HEAD, 1),
    ("layers", "include/bb/orphan.h", HEAD, 1),
    ("libraries", "src/http/x.c", HEAD + "#include <liburing.h>\n", 4),
    ("libraries", "src/store/x.c", HEAD + "#include <lmdb.h>\n", 4),
    ("libraries", "src/store/x.c", HEAD + "#include <llhttp.h>\n", 4),
    ("libraries", "tools/x.c", HEAD + "#include <blkid/blkid.h>\n", 4),
    ("libraries", "src/store/x.c", HEAD + "#  include <jansson.h>\n", 4),
    ("file_length", "src/base/low.c", GOOD["src/base/low.c"] + "\n" * 600, len(GOOD["src/base/low.c"].splitlines()) + 600),
    ("file_length", "include/bb/low.h", GOOD["include/bb/low.h"] + "\n" * 200, 204),
    ("function_length", "src/base/low.c", HEAD + '#include "bb/low.h"\n' + LONG, 6),
    ("banned_calls", "src/base/x.c", HEAD + "\nstatic int a = strcpy(b, c);\n", 5),
    ("banned_calls", "tools/x.c", HEAD + "\nstatic int a = sprintf (b, c);\n", 5),
    ("banned_calls", "tests/unit/x.c", HEAD + "\nstatic int a = usleep(1);\n", 5),
    ("allocation", "src/store/x.c", HEAD + "\nstatic void *a = malloc(1);\n", 5),
    ("allocation", "src/http/x.c", HEAD + "\nstatic void *a = strdup(b);\n", 5),
    ("spdx", "src/base/low.c", "#include <a.h>\n", 1),
    ("spdx", "tests/run.sh", "#!/bin/sh\necho\n", 1),
    ("spdx", "tools/start", "#!/bin/sh\necho\n", 1),
    ("modules", "include/bb/off.h", HEAD + "int bb_off_get(void);\n", 1),
    ("modules", "src/store/part.c", HEAD + "int part_get(void)\n{\n    return 2;\n}\n", 1),
    ("unfinished", "README.md", "\nTO" + "DO: all\n", 2),
    ("unfinished", "src/base/low.c", HEAD + "/* FIX" + "ME */\n", 4),
    ("top_level", "notes", "", 1),
    ("developer_paths", "README.md", "see /ho" + "me/someone/notes\n", 1),
    ("line_comments", "src/base/low.c", HEAD + "// a = b;\n", 4),
]
# What looks like a fault and is none.
INNOCENT = HEAD + ('/* malloc(1), strcpy(a, b), // and sleep(1) in a comment */\n'
                   'static const char *a = "strcpy(a) // malloc(1) /* ";\n'
                   "static int b = my_malloc(1) + c->sleep(1) + snprintf(d, 1, e);\n")


def write(root, files):
    for path, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
        with open(os.path.join(root, path), "w", encoding="utf-8") as file:
            file.write(text)


def found(files):
    with tempfile.TemporaryDirectory() as root:
        write(root, files)
        tree = rules.Tree(root)
        return [(rule.__name__, path, line) for rule in rules.RULES
                for path, line, _ in rule(tree)]


def main():
    passed = failed = 0
    for name, files in (("clean", GOOD), ("innocent", {**GOOD, "src/base/x.c": INNOCENT})):
        got = found(files)
        print(f"{'FAILED' if got else 'ok':8}nothing is found in the {name} tree {got or ''}")
        passed, failed = passed + (not got), failed + bool(got)
    for rule, path, text, line in FAULTS:
        want = (rule, path.split("/")[0] if rule == "top_level" else path, line)
        good = want in found({**GOOD, path: text})
        print(f"{'ok' if good else 'FAILED':8}{rule} finds line {line} of the planted {path}")
        passed, failed = passed + good, failed + (not good)
    unplanted = {rule.__name__ for rule in rules.RULES} - {fault[0] for fault in FAULTS}
    print(f"{'FAILED' if unplanted else 'ok':8}each rule has a planted fault {unplanted or ''}")
    passed, failed = passed + (not unplanted), failed + bool(unplanted)
    print(f"{passed} passed, {failed} failed")
    return failed != 0


sys.exit(main())
