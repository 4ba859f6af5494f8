"""Tests the generated tables of inputs and outputs, and that outdated READMEs are detected."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

import readmes

VARIABLES = '''# Comment
variable "name" {
  description = "Prefix of all names, such as \\"dev\\" or a|b"
  type        = string

  validation {
    condition     = length(var.name) > 1
    error_message = "name has two characters or more."
  }
}

variable "releases" {
  description = "Releases by colour"
  type = map(object({
    tag  = string
    size = optional(object({ min = number, max = number }), { min = 1, max = 1 })
  }))
  default = {
    # The first one.
    blue = { tag = "1.0.0" }
  }
}

variable "zone" {
  description = "Zone"
  type        = string
  default     = null
}
'''

TABLES = """| input | type | default | description |
|---|---|---|---|
| `name` | `string` | required | Prefix of all names, such as "dev" or a\\|b |
| `releases` | `map(object)` | below | Releases by colour |
| `zone` | `string` | `null` | Zone |

Type of `releases`:

```hcl
map(object({
  tag  = string
  size = optional(object({ min = number, max = number }), { min = 1, max = 1 })
}))
```

Default of `releases`:

```hcl
{
  # The first one.
  blue = { tag = "1.0.0" }
}
```"""


class Readmes(unittest.TestCase):
    def test_inputs_are_shown_as_declared(self):
        self.assertEqual(readmes.inputs(VARIABLES), TABLES)

    def test_outputs_are_shown_with_their_descriptions(self):
        source = 'output "address" {\n  description = "Address"\n  value       = "description = none"\n}\n'
        self.assertEqual(readmes.outputs(source), "| output | description |\n|---|---|\n| `address` | Address |")

    def test_text_around_the_tables_is_preserved(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "variables.tf").write_text(VARIABLES)
            (folder / "README.md").write_text("# module\n\nText.\n")
            (folder / "README.md").write_text(readmes.expected(folder) + "\nMore text.\n")
            written = readmes.expected(folder)
            self.assertEqual(written, (folder / "README.md").read_text())
            self.assertEqual(written, f"# module\n\nText.\n\n{readmes.BEGIN}\n\n## Inputs and outputs\n\n{TABLES}\n\n{readmes.END}\n\nMore text.\n")
            (folder / "variables.tf").write_text(VARIABLES.replace('"Zone"', '"Availability zone"'))
            self.assertNotEqual(readmes.expected(folder), written)

    def test_the_repository_s_readmes_are_up_to_date(self):
        done = subprocess.run([sys.executable, readmes.__file__], text=True, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
