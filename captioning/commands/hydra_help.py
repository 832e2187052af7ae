"""The help of a verb that Hydra configures: its groups and what is in them, read from conf/ when help is asked for."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

from typer.core import TyperCommand

from captioning.commands.hydra import conf_folder, experiments, groups_of

GROUP = re.compile(r"^ *- (?:override )?/?(\w+)(?:@[\w.]+)?:", re.MULTILINE)
FLAGS = """\
KEY=VALUE sets any key of conf/{verb}.yaml or of a group; +KEY=VALUE adds one. --cfg job prints the whole configuration
and runs nothing, -m runs once for each of KEY=A,B, --config-dir DIR adds groups of your own."""


class HydraCommand(TyperCommand):
    """A verb whose help ends with the groups of its configuration."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        formatter.write("\n" + groups_help(str(self.name)))


def groups_help(verb: str) -> str:
    """The groups that conf/VERB.yaml takes a name of each from, and the names."""
    folder = conf_folder()
    named = set(GROUP.findall(Path(folder, f"{verb}.yaml").read_text(encoding="utf-8")))
    groups = {group: names for group, names in groups_of(folder).items() if group in named}
    if "experiment" in groups:
        groups["experiment"] = list(experiments())
    width = max(map(len, groups), default=0)
    lines = ["Groups (GROUP=NAME):"]
    for group, names in groups.items():
        indent = " " * (width + 4)
        lines += textwrap.wrap(", ".join(names), 100, initial_indent=f"  {group:<{width}}  ", subsequent_indent=indent)
    return "\n".join([*lines, "", FLAGS.format(verb=verb), ""])
