"""Generates the tables of inputs and outputs in the READMEs from variables.tf and outputs.tf.

`readmes.py` compares them with the files, `readmes.py --write` writes them."""

import pathlib
import re
import sys
from typing import NamedTuple

import hcl2

TERRAFORM = pathlib.Path(__file__).parent.parent
# A folder that has a README and variables has tables.
FOLDERS = ["backend-setup", "environments", "modules/*"]
BEGIN = "<!-- Inputs and outputs, written by `just terraform-readmes` -->"
END = "<!-- End of inputs and outputs -->"
# Longer ones, and those of several lines, do not fit into a table's cell.
MAX_CELL = 90


class Block(NamedTuple):
    """A block of Terraform: its name, and its arguments as in the source."""

    name: str
    arguments: dict[str, str]


def blocks(source, kind):
    """The blocks of a kind at the top of a file, such as all variables."""
    for block in hcl2.parses_to_tree(source).find_data("block"):
        head = [text(child, source) for child in block.children[:2]]
        if head[0] == kind:
            body = next(child for child in block.children if getattr(child, "data", None) == "body")
            pairs = [(child.children[0], child.children[-1]) for child in body.children if getattr(child, "data", None) == "attribute"]
            yield Block(head[1].strip('"'), {text(name, source): text(value, source) for name, value in pairs})


def text(node, source):
    """The source of a node of the syntax tree."""
    tokens = [node] if hasattr(node, "end_pos") else list(node.scan_values(lambda _: True))
    return source[tokens[0].start_pos : tokens[-1].end_pos].strip()


def sentence(value):
    """A description as the text of a table cell."""
    return re.sub(r"\\(.)", r"\1", value.strip('"')).replace("|", "\\|")


def fits(value):
    return "\n" not in value and len(value) <= MAX_CELL


def outline(kind):
    """A type without its objects' attributes, such as map(object)."""
    before = kind.split("object(")[0]
    return f"{before}object{')' * before.count('(')}"


def code(value):
    return f"`{value}`".replace("|", "\\|")


def inputs(source):
    declared = list(blocks(source, "variable"))
    lines = ["| input | type | default | description |", "|---|---|---|---|"]
    below = []
    for name, arguments in declared:
        kind, default = arguments["type"], arguments.get("default")
        cells = [code(name), code(kind if fits(kind) else outline(kind))]
        cells.append("required" if default is None else code(default) if fits(default) else "below")
        lines.append(f"| {' | '.join([*cells, sentence(arguments['description'])])} |")
        below += [f"Type of `{name}`:\n\n```hcl\n{dedented(kind)}\n```"] if not fits(kind) else []
        below += [f"Default of `{name}`:\n\n```hcl\n{dedented(default)}\n```"] if default is not None and not fits(default) else []
    return "\n\n".join(["\n".join(lines), *below]) if declared else ""


def dedented(value):
    """An argument of a block without the block's indentation."""
    return re.sub(r"(?m)^  ", "", value)


def outputs(source):
    declared = list(blocks(source, "output"))
    lines = ["| output | description |", "|---|---|"]
    lines += [f"| {code(name)} | {sentence(arguments['description'])} |" for name, arguments in declared]
    return "\n".join(lines) if declared else ""


def tables(folder):
    """The text between the markers of a folder's README."""
    parts = [make((folder / file).read_text()) for file, make in [("variables.tf", inputs), ("outputs.tf", outputs)] if (folder / file).exists()]
    return "\n\n".join([BEGIN, "## Inputs and outputs", *filter(None, parts), END])


def expected(folder):
    """The folder's README with the current tables."""
    readme = (folder / "README.md").read_text()
    if BEGIN not in readme:
        return f"{readme.rstrip()}\n\n{tables(folder)}\n"
    before, _, rest = readme.partition(BEGIN)
    return before + tables(folder) + rest.partition(END)[2]


def main():
    folders = [folder for pattern in FOLDERS for folder in sorted(TERRAFORM.glob(pattern)) if (folder / "README.md").exists()]
    assert len(folders) > 2, f"no READMEs in {TERRAFORM}"
    outdated = [folder for folder in folders if expected(folder) != (folder / "README.md").read_text()]
    for folder in outdated:
        if "--write" in sys.argv[1:]:
            (folder / "README.md").write_text(expected(folder))
        else:
            print(f"{folder / 'README.md'}: its tables differ from variables.tf and outputs.tf. Run `just terraform-readmes`.", file=sys.stderr)
    sys.exit(bool(outdated) and "--write" not in sys.argv[1:])


if __name__ == "__main__":
    main()
