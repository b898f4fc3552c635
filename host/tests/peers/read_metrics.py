"""Reads two pages of the same metrics by prometheus_client's parsers, the text format and OpenMetrics, and prints their
samples as JSON: {"text": {sample: value}, "openmetrics": …, "types": {metric: [type, unit]}}."""

import json
import sys

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client import parser as text


def samples(families):
    found = {}
    for family in families:
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def main():
    with open(sys.argv[1], encoding="utf-8") as page:
        from_text = list(text.text_fd_to_metric_families(page))
    with open(sys.argv[2], encoding="utf-8") as page:
        from_openmetrics = list(openmetrics.text_fd_to_metric_families(page))
    types = {family.name: [family.type, family.unit] for family in from_openmetrics}
    json.dump({"text": samples(from_text), "openmetrics": samples(from_openmetrics), "types": types}, sys.stdout)


main()
