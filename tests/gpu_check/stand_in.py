#!/usr/bin/env python3
"""A `gliaflow` of a few lines: `--version`, and `sequence` with command lines that do as they are called."""

import json
import os
import signal
import sys
import time

if sys.argv[1:2] == ["--version"]:
    print("gliaflow 0.0.0 (stand-in)")
    sys.exit()

print("tuning kernels: 3 operations tuned", file=sys.stderr, flush=True)
for line in sys.stdin:
    command = json.loads(line)
    word, code, document = command["words"][0], 0, {"pid": os.getpid(), "words": command["words"]}
    if word == "hang":
        time.sleep(600)
    elif word == "crash":
        print("about to crash", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    elif word == "fail":
        code, document = 4, {"error": "no such device; get one", "exit_code": 4}
    with open(command["report"], "w") as file:
        json.dump(document, file)
    print(json.dumps({"exit_code": code, "seconds": 0.1}), flush=True)
