"""Reads docker-compose.yml as the Compose specification has it, and prints it as JSON, with merges and defaults filled in.

Fails on what is not in the specification (compose_spec knows no key that is not), and where a service names a network, volume or
secret that is not there.
"""

import json
import re
import sys

import compose_spec
import yaml


def filled_in(text: str) -> str:
    """`${NAME:-default}` with its default; `$$` stands for `$`."""
    bare = re.sub(r"\$\$|\$\{\w+:-[^}]*\}", "", text)
    if "$" in bare:
        sys.exit(f"a variable without a default: {text}")
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text).replace("$$", "$")


def interpolated(value):
    if isinstance(value, dict):
        return {key: interpolated(member) for key, member in value.items()}
    if isinstance(value, list):
        return [interpolated(member) for member in value]
    return filled_in(value) if isinstance(value, str) else value


with open(sys.argv[1], encoding="utf-8") as file:
    document = interpolated(yaml.safe_load(file))
compose_spec.PyCompose.from_json(json.dumps(document)).validate()
print(json.dumps(document))
