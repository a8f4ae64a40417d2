"""A contestant that the driver's tests run: `python fake.py KIND` answers like the real one, in a few milliseconds."""

import json
import os
import sys
import time

kind = sys.argv[1]
if kind == "silent":
    sys.exit(3)
if kind == "loud":
    sys.stderr.write("first\nlast words\n")
    sys.exit(4)
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "build":
        reply = {"skip": "no compiler"} if kind == "skipping" else {"version": "1.2", "parameters": 3}
    elif request["do"] == "first" and kind == "asleep":
        time.sleep(60)
    elif request["do"] == "first":
        slow, off = (3 if kind == "slow" else 1), (0.2 if kind == "off" else 0)
        reply = {"seconds": [0.5, 0.1 * slow, 0.2 * slow], "losses": [2.0, 1.0 + off, 0.5], "growth": 1000}
    elif kind == "failing":
        reply = {"error": "MemoryError: too large\nin two lines"}
    else:
        reply = {"seconds": [0.001 * (number + 1) for number in range(request["count"])]}
    if kind == "variables":
        reply = {"version": os.environ["OMP_NUM_THREADS"]}
    print(json.dumps(reply), flush=True)
