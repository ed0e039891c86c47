"""The `deepcovid` command."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path

from deepcovid_lib import __version__, editions, runs
from deepcovid_lib.problems import Misuse, Problem

NO_DEVICE = "This is research code and no medical device: a score is no diagnosis and must not guide care."
EXAMPLES = """\
examples:
  deepcovid doctor
  deepcovid reproduce                                   the default edition, up to _build/html
  deepcovid reproduce --edition tiny --set seed=7       another edition and seed, as run tiny-seed-7
  deepcovid reproduce --edition open-cxr --set weights=random --set folders.cohen=/data/covid-chestxray-dataset
  deepcovid reproduce --edition open-cxr --shards 8 --profile slurm
  deepcovid compare tiny recorded/phantom               what differs between two runs, as one page
  deepcovid predict film.png --head results/phantom/fits/resnet18/paper/seed-2020/head.safetensors
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0 when done, 1 when it failed, 2 on wrong use."""
    asked = _parser().parse_args(arguments)
    try:
        return asked.do(asked) or 0
    except Problem as problem:
        if asked.debug:
            raise
        print(f"deepcovid: {problem}", file=sys.stderr)
        return 2 if isinstance(problem, Misuse) else 1
    except OSError as fault:
        if asked.debug:
            raise
        place = f" ({fault.filename})" if fault.filename else ""
        print(
            f"deepcovid: {fault.strerror or fault}{place}; nothing was left half written, run the command again",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("deepcovid: stopped; run the same command again to go on", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deepcovid",
        description="Rerun Deep-COVID (Minaee et al., 2020): data, networks, numbers, book. " + NO_DEVICE,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    debug = argparse.ArgumentParser(add_help=False)
    debug.add_argument("--debug", action="store_true", help="show the traceback of an error")
    which = argparse.ArgumentParser(add_help=False, parents=[debug])
    which.add_argument("--edition", "-e", help=f"one of {', '.join(editions.names())} (default: phantom)")
    which.add_argument("--run", help="the run's name (default: the edition's, or one made from --set)")
    which.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of the edition; repeatable"
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")

    def verb(name: str, do, description: str, parent=which) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=description, description=description, parents=[parent])
        added.set_defaults(do=do)
        return added

    reproduce = verb("reproduce", _reproduce, "run everything of an edition, up to the book in _build/html")
    reproduce.add_argument(
        "--jobs",
        "-j",
        type=int,
        metavar="N",
        help="processor cores to use, on a cluster jobs at a time (default: the profile's)",
    )
    reproduce.add_argument(
        "--profile", default="laptop", help="where the work is done: laptop, slurm, or a folder (default: laptop)"
    )
    reproduce.add_argument(
        "--shards", type=int, default=1, metavar="N", help="parts of each frozen pass, for a cluster (default: 1)"
    )
    _device(reproduce)
    _audience(reproduce)
    curate = verb("curate", _curate, "choose the images and write manifest.csv and funnel.csv")
    curate.add_argument(
        "--from",
        dest="basis",
        choices=("files", "labels"),
        default="files",
        help="labels: plan from the label files alone, without images",
    )
    extract = verb("extract", _extract, "pass every image through a frozen backbone, once, into the cache")
    extract.add_argument("--model", required=True)
    extract.add_argument("--shard", default="1/1", metavar="I/N", help="only this part of the images (default: 1/1)")
    _device(extract)
    finetune = verb("finetune", _finetune, "train a head on cached features and score the test images")
    finetune.add_argument("--model", required=True)
    book = verb("book", _book, "build the book of a run whose notebooks are there")
    _audience(book)
    predict = verb("predict", _predict, f"score image files with a trained head. {NO_DEVICE}", debug)
    predict.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    predict.add_argument("--head", required=True, type=Path, help="a head.safetensors of a run")
    predict.add_argument("--format", choices=("table", "csv", "json"), default="table")
    compare = verb("compare", _compare, "write one page of what differs between two runs, and print the verdict", debug)
    which_run = "a run's folder, or its name: under results/ first, then recorded/"
    compare.add_argument("a", metavar="RESULTS_A", help=which_run)
    compare.add_argument("b", metavar="RESULTS_B", help=which_run)
    compare.add_argument("--out", type=Path, metavar="FILE", help="the page (default: results/compare/A-vs-B.html)")
    compare.epilog = "example: deepcovid compare results/phantom recorded/phantom --out mine-and-recorded.html"
    fetch = verb("fetch", _fetch, "download a collection at its pinned version, or say how to obtain it", debug)
    fetch.add_argument("collection", help="cohen, chexpert, nih or released")
    fetch.add_argument("--folder", type=Path, help="where to (default: where the editions look for it)")
    verb("record", _record, "keep a run's numbers under recorded/, without paths, names or images")
    verb("doctor", _doctor, "show device, weights, data, disk and versions, and what each edition still needs", debug)
    return parser


def _device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")


def _audience(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--audience", choices=("local", "public"), default="local", help="public: keep patients' films out of the book"
    )


def _run(asked: argparse.Namespace) -> runs.Run:
    if asked.run and not asked.edition and not asked.set:
        return runs.reopen(asked.run)
    return runs.begin(asked.edition or "phantom", name=asked.run, settings=editions.parse_settings(asked.set))


def _reproduce(asked: argparse.Namespace) -> int:
    from deepcovid_lib import pipeline

    for option in ("jobs", "shards"):
        if getattr(asked, option) is not None and getattr(asked, option) < 1:
            raise Misuse(f"--{option} must be 1 or more")
    _set_device(asked)
    run = _run(asked)
    index = pipeline.reproduce(
        run, audience=asked.audience, jobs=asked.jobs, profile=asked.profile, shards=asked.shards
    )
    print(f"The book of run '{run.name}' is at {index}")
    return 0


def _curate(asked: argparse.Namespace) -> None:
    from deepcovid_lib import owners, stages

    run = _run(asked)
    owners.serve(run.root)
    stage = "curate" if asked.basis == "files" else "plan"
    began = time.monotonic()
    with nullcontext() if run.manifest.is_file() else runs.timed(run, stage, kept=stages.drawn_before(run)):
        stages.manifest(run) if asked.basis == "files" else stages.plan(run)
    print(f"deepcovid: done {stage} {time.monotonic() - began:.2f}", file=sys.stderr)
    print((run.folder / "funnel.csv").read_text(encoding="utf-8"), end="")
    print(f"in {run.folder}", file=sys.stderr)


def _extract(asked: argparse.Namespace) -> None:
    from deepcovid_lib import engines, owners, stages

    _set_device(asked)
    engines.device()  # said before anything is made
    run = _run(asked)
    owners.serve(run.root)
    part, parts = shard = _shard(asked.shard)
    stage = f"extract-{asked.model}" if parts == 1 else f"part-{asked.model}-{part}-of-{parts}"
    with runs.timed(run, stage) as facts:
        counts = stages.extract(run, asked.model, shard=shard)
        facts |= counts._asdict()
    print(f"{counts.computed} features computed, {counts.kept} found in the cache", file=sys.stderr)
    print(f"deepcovid: done {stage} {runs.facts_of(run)[stage]['seconds']}", file=sys.stderr)


def _finetune(asked: argparse.Namespace) -> None:
    from deepcovid_lib import stages

    run = _run(asked)
    there = (run.fit(asked.model) / "head.safetensors").is_file()
    with nullcontext() if there else runs.timed(run, f"finetune-{asked.model}"):
        stages.scores(run, asked.model)
    print(f"head, history and scores are in {run.fit(asked.model)}")


def _book(asked: argparse.Namespace) -> None:
    from deepcovid_lib import owners, site
    from deepcovid_lib.files import replacing

    run = _run(asked)
    owners.serve(run.root)
    written = site.written(run)
    with runs.timed(run, "book"):
        made = site.build(run, audience=asked.audience)
    with replacing(run.folder / f"book-{asked.audience}.txt") as temporary:
        temporary.write_text(f"{made.relative_to(run.root)}\n{written}\n", encoding="utf-8")
    print(f"deepcovid: done book {runs.facts_of(run)['book']['seconds']}", file=sys.stderr)
    print(f"built in {made}; reproduce puts it at _build/html")


def _predict(asked: argparse.Namespace) -> int:
    from deepcovid_lib import predict

    print(NO_DEVICE, file=sys.stderr)
    if not predict.of_this_code(asked.head):
        print("note: this head was trained by other code than is installed, so its scores may differ", file=sys.stderr)
    nature = predict.trained_on(asked.head)
    print(f"note: this head was trained on {' and '.join(nature) or 'what it does not tell'}", file=sys.stderr)
    scored, refused = predict.score_files(asked.images, asked.head)
    print("note: a run scores its films in batches, by its engine, so the last digits may differ", file=sys.stderr)
    if asked.format == "csv":
        print(scored.to_csv(index=False, lineterminator="\n"), end="")
    elif asked.format == "json":
        print(json.dumps(scored.to_dict("records"), indent=1))
    elif len(scored):
        print(scored.to_string(index=False, float_format=str))  # every digit: neither 0 nor 1 by rounding
    for problem in refused:
        print(f"deepcovid: {problem}", file=sys.stderr)
    return 1 if refused else 0


def _compare(asked: argparse.Namespace) -> None:
    from deepcovid_lib import comparison, comparison_page, sides

    a, b = sides.read(asked.a), sides.read(asked.b)
    path = asked.out or runs.root() / "results" / "compare" / f"{sides.stem(a)}-vs-{sides.stem(b)}.html"
    if path.is_dir():
        raise Misuse(f"--out {path} is a folder", remedy="name a file")
    compared = comparison.compare(a, b)
    comparison_page.write(compared, path)
    for one in (a, b):
        told = [*editions.nature(one.asked), *filter(None, [sides.untold(one)])]
        print(f"{sides.stem(one)}: {', '.join(told) if one.scores else 'no scores'}")
    if comparison.shared(a, b):
        print(comparison_page.summary(compared.areas))
    print(compared.conclusion)
    print(f"The page is {path}")


def _fetch(asked: argparse.Namespace) -> None:
    from deepcovid_lib import downloads

    known = {name: folder for edition in editions.names() for name, folder in editions.resolve(edition).folders.items()}
    folder = asked.folder or runs.root() / known.get(asked.collection, f"data/{asked.collection}")
    print(f"{asked.collection} is in {downloads.obtain(asked.collection, folder)}")


def _record(asked: argparse.Namespace) -> None:
    from deepcovid_lib import records, runner, stages

    run = _run(asked)
    if run.speed == "retrain":  # refuse what was changed since it was made
        stages.all_scores(run)
        stages.funnel(run)
        runner.check_all(run)
    kept = {"ladder": records.folder() / run.name / "tables", "sweeps": records.folder() / f"recipes-{run.name}"}
    before = [name for name, folder in kept.items() if folder.is_dir()]
    print(f"kept in {records.keep(run)}")
    for name in before:
        if not kept[name].is_dir():
            print(f"note: the {name} measured from the former scores went with them; measure again", file=sys.stderr)


def _doctor(asked: argparse.Namespace) -> None:
    from deepcovid_lib import doctor

    for line in doctor.report():
        print(line)


def _set_device(asked: argparse.Namespace) -> None:
    if asked.device:
        os.environ["DEEPCOVID_DEVICE"] = asked.device  # `engines.DEVICE`; that module would load torch


def _shard(text: str) -> tuple[int, int]:
    part, _, whole = text.partition("/")
    if not (part.isdigit() and whole.isdigit() and 1 <= int(part) <= int(whole)):
        raise Misuse(f"--shard {text} is not I/N", remedy="write e.g. --shard 2/8")
    return int(part), int(whole)


if __name__ == "__main__":
    sys.exit(main())
