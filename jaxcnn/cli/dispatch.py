"""From the command line to a verb, and from an error to one line and an exit code."""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from jaxcnn import __version__
from jaxcnn.cli.interrupt import at_once
from jaxcnn.config import unknown

VERBS = {
    "train": "train a network and save it as a run; the same --out resumes it",
    "sweep": "train many networks as one program, by several values of any flag, and rank them",
    "runs": "list runs, sorted and filtered",
    "compare": "put runs side by side: what they measured, and in what their configs differ",
    "report": "write a page about runs: curves, layers, predictions, filters, what shifts do",
    "verify": "check a run's folder and every checkpoint in it",
    "evaluate": "measure a run on its test set",
    "predict": "classify image files by a run, with Grad-CAM where asked",
    "export": "write a run's network as a program that JAX alone runs (StableHLO), or its weights (safetensors)",
    "summary": "list a network's layers: sizes, parameters, MACs, receptive fields, shift contracts",
    "audit": "prove or refute that a network keeps shifts of its input, and name the layer that loses them",
    "bench": "measure convolutions, pools and networks on this device, and compare",
    "models": "list the models",
    "presets": "list the ready-made configs of `jaxcnn train`",
    "data": "list, prepare or show data sets",
    "doctor": "tell what this machine has, and whether it computes right",
}
"""Each is the module of its name here, with `main(arguments) -> exit code`; imported when it is asked for."""

WRONG = (ValueError, TypeError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
"""What is raised where the arguments or the data are wrong: exit code 2. After any other error it is 1."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: The arguments after `jaxcnn`; by default those of the process.

    Returns:
        0 done; 1 it could not be done; 2 the arguments or the data are wrong; 130 / 143 interrupted.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    with at_once():  # also while libraries are imported, where an exception would be lost or break them
        return _run(argv)


def _run(argv: list[str]) -> int:
    try:
        if not argv or argv[0] in ("-h", "--help", "help"):
            print(_help())
            return 0
        if argv[0] == "--version":
            print(f"jaxcnn {__version__}")
            return 0
        if argv[0] not in VERBS:
            raise ValueError(unknown("command", argv[0], VERBS))
        if "--json" in argv:
            from jaxcnn.cli.output import reserve_stdout

            reserve_stdout()
        code = importlib.import_module(f"jaxcnn.cli.{argv[0]}").main(argv[1:])
        sys.stdout.flush()  # here, where a closed pipe is caught
        return code
    except SystemExit as end:  # after --help
        return int(end.code or 0)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `jaxcnn models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return told(error, verb=argv[0], debug="--debug" in argv)


def told(error: Exception, *, verb: str, debug: bool) -> int:
    """Print what went wrong, on one line, in the command's own words.

    Args:
        error: What was raised.
        verb: The command.
        debug: Print the traceback before.

    Returns:
        The exit code.
    """
    if debug:
        traceback.print_exception(error)
    from jaxcnn.cli.spelling import in_flags

    print(f"jaxcnn: error: {in_flags(_one_line(error), verb)}", file=sys.stderr)
    return 2 if isinstance(error, WRONG) else 1


def _help() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {line}" for verb, line in VERBS.items())
    return f"""jaxcnn {__version__}: functional convolutional networks in JAX

usage: jaxcnn COMMAND [ARGUMENTS]

{verbs}

`jaxcnn train` alone trains the preset `digits`. `jaxcnn COMMAND --help` tells the arguments of a command;
`--json` prints one JSON document and nothing else, `--debug` the traceback of an error."""


def _one_line(error: Exception) -> str:
    """Return what went wrong, on one line; an error that nobody foresaw with its type."""
    text = " ".join(str(error).split())
    foreseen = type(error).__module__.startswith("jaxcnn") or isinstance(error, (ValueError, FileNotFoundError))
    if foreseen and text:
        return text
    return f"{type(error).__name__}: {text} (--debug shows where)" if text else f"{type(error).__name__} (see --debug)"
