#!/usr/bin/env python3
"""One contender of the comparison: the driver's requests come in lines of JSON, and the answers go out in lines of JSON.

    serve.py pytorch|onednn-plain|onednn-blocked THREADS

The first line it writes names the library's version. {"prepare": {...}} gives a problem; {"result": PASS} runs a pass on
the first set and writes y or dx to the file `result`; {"turn": PASS, "seconds": S} runs one pass that is not timed and
then as many as fill S seconds, one at least, and answers with the seconds of each; {"release": true} drops the problem's
arrays. An answer is {"ok": ...}, or {"error": "..."}, which is the last.
"""

import json
import sys
import time

from problem import Problem


def contender(name, threads):
    """Imported here, since nobody has both libraries in one process."""
    if name == "pytorch":
        from pytorch import PyTorch

        return PyTorch(threads)
    from onednn import OneDnn

    return OneDnn(name == "onednn-blocked", threads)


class Turns:
    """A contender's passes, over its sets in turn."""

    def __init__(self, theirs):
        self._theirs = theirs
        self._number = 0

    def answer(self, request):
        if "prepare" in request:
            self._number = 0
            return self._theirs.prepare(Problem(**request["prepare"]))
        if "release" in request:
            return self._theirs.release()
        if "result" in request:
            self._theirs.calls(request["result"])[0]()
            return self._theirs.save(0, "result")
        return self._turn(self._theirs.calls(request["turn"]), request["seconds"])

    def _turn(self, calls, seconds):
        times = []
        self._one(calls)
        end = time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            times.append(self._one(calls))
        return times

    def _one(self, calls):
        call = calls[self._number % len(calls)]
        self._number += 1
        start = time.perf_counter_ns()
        call()
        return (time.perf_counter_ns() - start) * 1e-9


def main():
    # Whatever a library prints is not an answer.
    answers, sys.stdout = sys.stdout, sys.stderr

    def answer(value):
        print(json.dumps(value), file=answers, flush=True)

    try:
        turns = Turns(theirs := contender(sys.argv[1], int(sys.argv[2])))
        answer({"ok": theirs.version})
        for line in sys.stdin:
            answer({"ok": turns.answer(json.loads(line))})
    except Exception as error:  # noqa: BLE001 - the driver says what went wrong, whatever it was
        answer({"error": f"{type(error).__name__}: {error}"})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
