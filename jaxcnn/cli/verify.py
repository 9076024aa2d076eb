"""`jaxcnn verify`: a run's folder and every checkpoint in it, byte by byte."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from jaxcnn.cli.arguments import Common, parse
from jaxcnn.cli.output import emit_json, quiet, show_facts


@dataclass(frozen=True)
class Arguments(Common):
    """Check a run's files, and every byte of its checkpoints; exit with 1 where anything is damaged."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Folder of the run."""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = parse(Arguments, argv, verb="verify")
    quiet(debug=arguments.debug)
    from jaxcnn.runs.verify import verify

    findings = verify(arguments.run)
    damaged = sum(not finding.whole for finding in findings)
    if arguments.json:
        found = [{"name": finding.name, "problem": finding.problem, "note": finding.note} for finding in findings]
        emit_json({"run": arguments.run, "damaged": damaged, "findings": found})
    else:
        told = {
            finding.name: f"damaged: {finding.problem}" if finding.problem else finding.note or "whole"
            for finding in findings
        }
        show_facts(told)
        print(f"{damaged} of {len(findings)} damaged" if damaged else f"all {len(findings)} whole")
    return 1 if damaged else 0
