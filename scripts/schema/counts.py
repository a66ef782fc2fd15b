"""Counts from the platform's own request log how each operation of the document was answered.

Arguments: the document, the log (JSON lines), the byte in it where the test began. Fails where an operation was never
answered 2xx (or, of what a platform of one node refuses, never 409), or anything was answered 5xx.
"""

import collections
import json
import sys

METHODS = ["get", "post", "patch", "delete"]
# What a node that is alone refuses to whoever may ask it: there is no other to drain it to.
REFUSED_ALONE = {("POST", "/api/v1/nodes/{node}/drain"), ("POST", "/api/v1/nodes/{node}/undrain")}


def main(document, log, begin):
    with open(document, encoding="utf-8") as file:
        paths = json.load(file)["paths"]
    operations = [(method.upper(), path) for path, item in paths.items() for method in METHODS if method in item]
    answers = {operation: collections.Counter() for operation in operations}
    broken = []
    with open(log, "rb") as lines:
        lines.seek(begin)
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("target") != "motorcade::request":
                continue
            fields = entry["fields"]
            operation = (fields["http.method"], fields["http.route"])
            if operation in answers:
                answers[operation][fields["http.status"]] += 1
            if fields["http.status"] >= 500:
                broken.append(fields)
    print(f"{'':6} {'operation':58} {'2xx':>6} {'4xx':>6} {'5xx':>6}  by status")
    unanswered = []
    for operation in operations:
        by_status = answers[operation]
        by_class = collections.Counter()
        for status, count in by_status.items():
            by_class[status // 100] += count
        if not (by_status[409] if operation in REFUSED_ALONE else by_class[2]):
            unanswered.append(operation)
        detail = " ".join(f"{status}:{count}" for status, count in sorted(by_status.items()))
        method, path = operation
        print(f"{method:6} {path:58} {by_class[2]:6} {by_class[4]:6} {by_class[5]:6}  {detail}")
    total = sum(count for by_status in answers.values() for count in by_status.values())
    print(f"{len(operations)} operations, {total} requests, {len(broken)} answered 5xx, {len(unanswered)} never answered as they should")
    for method, path in unanswered:
        print(f"never answered as it should: {method} {path}", file=sys.stderr)
    for fields in broken:
        print(f"answered 5xx: {fields['message']} (request {fields['request.id']})", file=sys.stderr)
    sys.exit(1 if unanswered or broken else 0)


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
