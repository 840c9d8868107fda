"""What the judges in Python share: one line for each check, and the exit code."""

import os
import sys
import traceback

URL = os.environ["JUDGE_URL"]
TOKEN = os.environ["JUDGE_TOKEN"]

_failed = 0


def check(name, ok, seen=""):
    global _failed
    _failed += not ok
    print(f"{'pass' if ok else 'FAIL'}  {name}" + ("" if ok else f": {seen}"), flush=True)


def equal(name, found, expected):
    check(name, found == expected, f"{found!r} is not {expected!r}")


def raises(name, kind, work):
    try:
        work()
    except kind as error:
        check(name, True)
        return error
    except Exception as error:
        check(name, False, f"{type(error).__name__}: {error}")
    else:
        check(name, False, "nothing was raised")


def run(name, work):
    """Runs some checks; what they do not catch is one that failed."""
    try:
        work()
    except Exception:
        check(name, False, traceback.format_exc(limit=-3))


def end():
    sys.exit(1 if _failed else 0)
