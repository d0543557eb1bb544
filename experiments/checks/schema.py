#!/usr/bin/env python3
"""Holds the experiments and the broken files of the tests against the published JSON Schema.

    python3 experiments/checks/schema.py

Needs the package jsonschema and Python 3.11. Exits with 1 if a good file is refused, or one of the broken files
that a schema can see through is taken.
"""

import json
import pathlib
import sys
import tomllib

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOOD = [f"experiments/{name}.toml" for name in ("smoke", "iter3", "iter4", "iter5", "iter6", "peers")] + ["cli/tests/good.toml"]
BROKEN = [
    "bad_pruned", "bad_choice", "cannot_report", "experiment_name", "missing_input", "missing_key", "missing_kind",
    "no_stages", "unknown_input_port", "unknown_key_in_stage", "unknown_kind", "unknown_top_key", "wrong_type",
    "wrong_type_of_each", "wrong_type_of_inputs",
]

schema = json.loads((ROOT / "docs/experiment.schema.json").read_text())
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)
wrong = 0
for path in GOOD + [f"cli/tests/broken/{name}.toml" for name in BROKEN]:
    errors = list(validator.iter_errors(tomllib.loads((ROOT / path).read_text())))
    if bool(errors) == (path in GOOD):
        wrong += 1
        print(f"{path}: {errors[0].message[:200] if errors else 'taken'}")
print(f"{len(GOOD)} good and {len(BROKEN)} broken files against the schema, {wrong} wrong")
sys.exit(1 if wrong else 0)
