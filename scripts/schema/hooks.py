"""What schemathesis has to know of the running platform: real keys as examples, who asks, what not to do.

The document is not loosened: examples are added to it, so that every operation is asked at least once about something
that is there. What is drawn at random stays random.
"""

import json
import os

import schemathesis

with open(os.environ["MOTORCADE_SCHEMA_EXAMPLES"], encoding="utf-8") as file:
    PREPARED = json.load(file)
# The farewells are said in a run of their own, each by an account of its own.
FAREWELL = PREPARED["farewell"] if os.environ.get("MOTORCADE_SCHEMA_FAREWELL") else None
EXAMPLES = FAREWELL["examples"] if FAREWELL else PREPARED["examples"]
METHODS = ["get", "post", "patch", "delete"]


@schemathesis.hook
def before_load_schema(context, raw_schema):
    for path, item in raw_schema["paths"].items():
        for method in METHODS:
            examples = EXAMPLES.get(f"{method.upper()} {path}")
            if method not in item or examples is None:
                continue
            operation = item[method]
            told = set()
            for parameter in operation.get("parameters", []):
                if parameter["name"] in examples:
                    parameter["example"] = examples[parameter["name"]]
                    told.add(parameter["name"])
            if "body" in examples:
                operation["requestBody"]["content"]["application/json"]["example"] = examples["body"]
                told.add("body")
            # An example for nothing is a sign that this list and the document went apart.
            assert told == set(examples), f"{method} {path} takes no {set(examples) - told}"


@schemathesis.hook
def before_call(context, case, kwargs):
    if not FAREWELL:
        spare_the_examiner(case)
    if case.operation.path == "/api/v1/events":
        end_soon(case)
    if case.method.upper() == "PATCH" and case.operation.path == "/api/v1/terminals/{id}/servers":
        spare_the_fleet(case)


def spare_the_examiner(case):
    """Keys that replies named are asked about too. What would end the login that everything else is asked with, or
    its rights, is done to the example instead."""
    if case.method.upper() not in ("PATCH", "DELETE") or not case.path_parameters:
        return
    for noun, key in PREPARED["examiner"].items():
        if case.operation.path == f"/api/v1/{noun}/{{id}}" and str(case.path_parameters.get("id")) == str(key):
            case.path_parameters["id"] = EXAMPLES[f"{case.method.upper()} {case.operation.path}"]["id"]


def spare_the_fleet(case):
    """A terminal that is told to dial somewhere else is lost to the rest of the test: keys of others become the
    example's."""
    example = EXAMPLES.get("PATCH /api/v1/terminals/{id}/servers")
    if example and case.path_parameters and str(case.path_parameters.get("id")).isdecimal():
        case.path_parameters["id"] = example["id"]


def end_soon(case):
    """An event stream lasts as long as it is asked to: one second here, unless the length itself is wrong."""
    if not isinstance(case.query, dict):
        return
    length = case.query.get("max_seconds")
    try:
        lasts = length is None or 1 <= int(str(length)) <= 86400
    except ValueError:
        lasts = False
    if lasts:
        case.query["max_seconds"] = 1


@schemathesis.auth()
class Login:
    """The token of whoever asks this operation."""

    def get(self, case, context):
        if FAREWELL:
            return FAREWELL["tokens"][f"{case.operation.method.upper()} {case.operation.path}"]
        return PREPARED["token"]

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"
