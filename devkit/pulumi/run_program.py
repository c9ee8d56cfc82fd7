# ruff: noqa: PTH100, PTH112, PTH120 - os.path as the SDK does it; and sys.path must be right before anything is imported
"""Runs a Pulumi program in a Python of its own; started by the language host, needs nothing but the Pulumi SDK.

The settings come as one line of JSON on the standard input. When the standard input ends, the host is gone, and so is this
process.
"""

import sys

sys.path.pop(0)  # this file's own folder: its neighbours must not be taken for modules of the standard library

import asyncio
import json
import logging
import os
import runpy
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import pulumi
import pulumi.runtime

TOLD_THE_USER = 32  # exit code: the error has been logged, there is nothing to add


def user_traceback(error: BaseException, program: str) -> str:
    """The traceback from the first frame that is the user's own."""
    root = program if os.path.isdir(program) else os.path.dirname(program)
    tb = error.__traceback__
    while tb is not None:
        file = tb.tb_frame.f_code.co_filename
        if not file.startswith("<") and os.path.abspath(file).startswith(root + os.sep):
            break
        tb = tb.tb_next
    return "".join(traceback.format_exception(type(error), error, tb or error.__traceback__))


def end_with_the_host(stdin: int) -> None:
    while os.read(stdin, 4096):
        pass
    os._exit(1)


def main() -> int:
    stdin = os.dup(0)
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(stdin, 1)
        if not part:
            return 1
        line += part
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=end_with_the_host, args=[stdin], daemon=True).start()
    given = json.loads(line)
    program = given["program"]

    pulumi.runtime.set_all_config(given["config"], given["secret_keys"])
    pulumi.runtime.configure(pulumi.runtime.Settings(**given["settings"]))
    sys.argv = [program, *given["args"]]
    os.chdir(given["pwd"])
    logging.getLogger("asyncio").setLevel(
        logging.CRITICAL
    )  # futures nobody awaits are normal when a program is cut short
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(max_workers=max(given["settings"]["parallel"], 1) * 4)
    loop.set_default_executor(executor)

    def run() -> None:
        try:
            runpy.run_path(program, run_name="__main__")
        except ImportError as e:
            frames = traceback.extract_tb(e.__traceback__)
            if frames[-1].filename in (runpy.__file__, "<frozen runpy>"):
                pulumi.log.error(f"unable to find main python program `__main__.py` in `{program}`")
                sys.exit(TOLD_THE_USER)
            raise

    code = 1
    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(run))
        code = 0
    except pulumi.RunError as e:
        pulumi.log.error(str(e))
    except KeyboardInterrupt:  # the engine has ended the update: what failed was told there
        os._exit(1)
    except Exception as e:
        pulumi.log.error("Program failed with an unhandled exception:\n" + user_traceback(e, os.path.abspath(program)))
        code = TOLD_THE_USER
    finally:
        executor.shutdown(wait=True)
        loop.close()
        sys.stdout.flush()
        sys.stderr.flush()
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        os._exit(1)
