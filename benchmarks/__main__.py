"""`python -m benchmarks [PART ...]`: measure, tell, keep."""

import argparse
import sys
import time
import traceback
from datetime import UTC, datetime

from benchmarks import curation, decoding, growth, heads, intervals, passes, rebuilds, report, whole
from deepcovid_lib import speeds

PARTS = {
    "whole": whole,
    "passes": passes,
    "decoding": decoding,
    "heads": heads,
    "intervals": intervals,
    "curation": curation,
    "growth": growth,
    "rebuilds": rebuilds,
}
EXAMPLES = """\
examples:
  python -m benchmarks                             all parts, about half an hour on two cores
  python -m benchmarks heads intervals             two parts
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure speed and memory beside their targets, and keep the outcome in recorded/benchmarks. "
        "Nothing else should be at work on the machine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)} (default: all)")
    asked = parser.parse_args()
    unknown = [part for part in asked.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part '{unknown[0]}': choose from {', '.join(PARTS)}")
    failed = False
    for part in asked.parts or PARTS:
        print(f"{part} ...", flush=True)
        started, began = datetime.now(UTC), time.monotonic()
        try:
            outcome = PARTS[part].measure()
        except Exception:
            traceback.print_exc()
            failed = True
            continue
        report.keep(part, outcome, started, time.monotonic() - began)
        for target in outcome.targets:
            verdict = speeds.verdict(target.value, target.bound, target.at)
            bound = f"at {target.at} {target.bound:g}"
            print(f"  {verdict:13} {target.what}: {target.value:.4g} {target.unit} ({bound}); {target.how}")
        print(f"  {time.monotonic() - began:.0f} s, {outcome.films}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
