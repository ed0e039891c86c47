# The order of things: sources -> manifest -> features -> head -> scores -> tables & figures -> book.
# Started by `deepcovid reproduce`; by hand, after the run was begun once: snakemake --profile profiles/laptop --config run=tiny
import json
import sys
from pathlib import Path

from deepcovid_lib import lineage, runs

RUN = runs.reopen(config["run"])
ASKED = RUN.edition.model_dump(mode="json")
AUDIENCE = config.get("audience", "local")
BUILT = "local" if RUN.edition.publish_films else AUDIENCE  # films that may be shown: one book for everybody
SHARDS = int(config.get("shards", 1))
PY = sys.executable
OUT = f"results/{RUN.name}"
MODELS = RUN.edition.models
FIT = f"{OUT}/fits/{{model}}/{RUN.edition.recipe.name}/seed-{RUN.edition.seed}"
SCORES = expand(f"{FIT}/scores.csv", model=MODELS)


def asked(*keys):
    """The part of the edition a rule depends on, as text: a changed value reruns it."""
    return json.dumps({key: ASKED[key] for key in keys}, sort_keys=True)


def figures(*slugs):
    return [f"{OUT}/figures/{slug}.{kind}" for slug in slugs for kind in ("svg", "png", "pdf", "csv", "json")]


def tables(*slugs):
    return [f"{OUT}/tables/{slug}.{kind}" for slug in slugs for kind in ("csv", "json")]


def values(*names):
    return [f"{OUT}/values/{name}.json" for name in names]


def notebook(name):
    """A notebook and the library's files that its numbers hang on: a changed one reruns it."""
    path = Path(f"notebooks/{name}.ipynb")
    return [str(path), *lineage.notebook(path)]


def executed(name):
    return f"{OUT}/notebooks/{name}.ipynb"


def per_model(slug):
    return [f"{slug}-{model}" for model in MODELS]


NOTEBOOKS = """
    dataset architectures augmentation scores thresholds reliability roc-and-confusion paper-versus-run recorded
    audit claims shortcuts positive-control saliency uncertainty calibration recipes model-card speed
""".split()
RUNNER = f"{PY} -m deepcovid_lib.runner {{params.name}} {RUN.name} --asked {{params.asked:q}} --made-from {{input}} --expect {{output}}"
PASS = lineage.library("backbones", "features"), asked("copies", "seed", "preset", "weights", "engine")
THREADS = 4  # or all, where there are fewer
WHAT_COUNTS = lineage.ASKED_FOR_CURATION

wildcard_constraints:
    model="|".join(MODELS),
    part="[1-9][0-9]*",
    sweep="copies|crop|densenet161|drift|whole",


if BUILT != AUDIENCE:

    rule published:
        input:
            f"{OUT}/book-{BUILT}.txt",
        output:
            f"{OUT}/book-{AUDIENCE}.txt",
        localrule: True
        shell: "cp {input} {output} && echo 'deepcovid: done published 0'"


rule book:
    input:
        [executed(name) for name in NOTEBOOKS],
        [executed(f"finetune-{model}") for model in MODELS],
        sorted(str(path) for path in Path("book").rglob("*") if path.is_file()),
        "index.md", "_toc.yml", "_config.yml", "CITATION.cff", "CHANGELOG.md",
        SCORES,
        sorted(str(path) for path in Path("tests").rglob("*.py")),
        sorted(str(path) for path in Path("deepcovid_lib").rglob("*.*") if path.is_file() and path.suffix != ".pyc"),
        sorted(str(path) for path in Path("recorded").rglob("*.*")),
    output:
        f"{OUT}/book-{BUILT}.txt",
    params:
        asked=asked("title", "about", "publish_films"),
    localrule: True
    shell:
        f"{PY} -m deepcovid_lib.cli book --run {RUN.name} --audience {BUILT}"


rule curate:
    input:
        lineage.library(*lineage.CURATING), "deepcovid_lib/stages.py",
    output:
        [f"{OUT}/{name}" for name in ("manifest.csv", "funnel.csv", "rejected.csv", "curated.json")],
    params:
        asked=asked(*WHAT_COUNTS),
    threads: THREADS
    priority: 1  # what takes all cores goes first, so that the rest fills them in pairs
    resources: mem_mb=3000, runtime=60
    shell: f"{PY} -m deepcovid_lib.cli curate --run {RUN.name}"


rule dataset:
    input:
        notebook("dataset"), f"{OUT}/manifest.csv", f"{OUT}/curated.json", f"{OUT}/funnel.csv",
    output:
        tables("tab-dataset", "tab-funnel"), figures("fig-marked-areas", "fig-samples"), executed("dataset"), values("dataset"),
    params:
        name="dataset",
        asked=asked("copies", "preset", "tests_paper"),
    resources: mem_mb=2000, runtime=20
    shell: RUNNER


rule architectures:
    input:
        notebook("architectures"),
    output:
        figures("fig-architecture-resnet18", "fig-architecture-squeezenet", "fig-architecture-densenet121"),
        tables("tab-architectures"), executed("architectures"), values("architectures"),
    params:
        name="architectures",
        asked=asked("models"),
    resources: mem_mb=2000, runtime=20
    shell: RUNNER


rule augmentation:
    input:
        notebook("augmentation"), f"{OUT}/manifest.csv",
    output:
        figures("fig-augmentation"), executed("augmentation"), values("augmentation"),
    params:
        name="augmentation",
        asked=asked("copies", "seed", "preset"),
    resources: mem_mb=2000, runtime=20
    shell: RUNNER


rule part:
    input:
        f"{OUT}/manifest.csv", PASS[0],
    output:
        f"{OUT}/features/parts/{{model}}-{{part}}-of-{SHARDS}.csv",
    params:
        asked=PASS[1],
    threads: THREADS
    priority: 1
    resources: mem_mb=4000, runtime=240
    shell: f"{PY} -m deepcovid_lib.cli extract --run {RUN.name} --model {{wildcards.model}} --shard {{wildcards.part}}/{SHARDS}"


rule extract:  # all images; with shards, what these left to do: to look whether every feature is there
    input:
        f"{OUT}/manifest.csv", PASS[0],
        [f"{OUT}/features/parts/{{model}}-{part}-of-{SHARDS}.csv" for part in range(1, SHARDS + 1) if SHARDS > 1],
    output:
        f"{OUT}/features/{{model}}.csv",
    params:
        asked=PASS[1],
    threads: THREADS
    priority: 1
    resources: mem_mb=4000, runtime=240
    shell: f"{PY} -m deepcovid_lib.cli extract --run {RUN.name} --model {{wildcards.model}}"


rule finetune:
    input:
        notebook("finetune"), f"{OUT}/manifest.csv", f"{OUT}/features/{{model}}.csv", lineage.library(*lineage.TRAINING),
    output:
        f"{FIT}/head.safetensors", f"{FIT}/history.csv", f"{FIT}/scores.csv",
        figures("fig-training-{model}", "fig-learned-{model}"), executed("finetune-{model}"), values("finetune-{model}"),
    params:
        name="finetune",
        asked=asked("recipe", "seed"),
    resources: mem_mb=4000, runtime=120
    shell: RUNNER + " --model {wildcards.model}"


rule scores:
    input:
        notebook("scores"), SCORES,
    output:
        figures(*per_model("fig-scores")), executed("scores"), values("scores"),
    params:
        name="scores",
        asked=asked("models"),
    resources: mem_mb=1500, runtime=20
    shell: RUNNER


rule thresholds:
    input:
        notebook("thresholds"), SCORES,
    output:
        tables(*per_model("tab-thresholds"), *per_model("tab-paper-thresholds")), figures(*per_model("fig-thresholds")), executed("thresholds"),
    params:
        name="thresholds",
        asked=asked("models", "tests_paper"),
    resources: mem_mb=1500, runtime=20
    shell: RUNNER


rule reliability:
    input:
        notebook("reliability"), SCORES,
    output:
        tables("tab-reliability"), figures("fig-intervals"), executed("reliability"), values("reliability"),
    params:
        name="reliability",
        asked=asked("models", "tests_paper"),
    resources: mem_mb=1500, runtime=20
    shell: RUNNER


rule roc_and_confusion:
    input:
        notebook("roc-and-confusion"), SCORES,
    output:
        tables("tab-auc", "tab-confusion"), figures("fig-roc", *per_model("fig-confusion")), executed("roc-and-confusion"), values("roc-and-confusion"),
    params:
        name="roc-and-confusion",
        asked=asked("models", "tests_paper"),
    resources: mem_mb=1500, runtime=20
    shell: RUNNER


rule paper_versus_run:
    input:
        notebook("paper-versus-run"), f"{OUT}/manifest.csv", f"{OUT}/funnel.csv", SCORES,
    output:
        tables("tab-paper-versus-run"), figures("fig-paper-versus-run"), executed("paper-versus-run"), values("paper-versus-run"),
    params:
        name="paper-versus-run",
        asked=asked("models", "tests_paper", "recipe", "preset", "copies", "split", "weights"),
    resources: mem_mb=1500, runtime=20
    shell: RUNNER


rule recorded:
    input:
        notebook("recorded"), sorted(str(path) for path in Path("recorded").rglob("*") if path.is_file()),
    output:
        executed("recorded"), values("recorded"),
    params:
        name="recorded",
        asked=asked(),
    resources: mem_mb=1500, runtime=20
    shell: RUNNER


rule audit:
    input:
        notebook("audit"), "deepcovid_lib/contradictions.yaml",
    output:
        tables(*(f"tab-audit-{what}" for what in ("shares", "margins", "sensitivities", "confusion", "predictive", "auc", "distinguishable", "effective", "text", "code"))),
        figures("fig-audit-intervals", "fig-audit-predictive", "fig-audit-roc"), executed("audit"), values("audit"),
    params:
        name="audit",
        asked=asked(),
    resources: mem_mb=1500, runtime=20
    shell: RUNNER


rule claims:
    input:
        notebook("claims"), f"{OUT}/manifest.csv", SCORES,
    output:
        tables("tab-claims"), executed("claims"), values("claims"),
    params:
        name="claims",
        asked=asked("models", "tests_paper", "recipe", "copies", "split", "weights"),
    resources: mem_mb=1500, runtime=20
    shell: RUNNER


rule shortcuts:
    input:
        notebook("shortcuts"), SCORES, f"{OUT}/manifest.csv", f"{OUT}/curated.json", expand(f"{OUT}/features/{{model}}.csv", model=MODELS),
        sorted(str(path) for place in Path("recorded").glob("*/tables") for path in (*place.glob("*.csv"), place.parent / "digests.json")),
    output:
        tables("tab-ladder", "tab-above-thumbnail", "tab-same-source", "tab-recorded-ladder", "tab-recorded-same-source"),
        figures("fig-ladder", "fig-recorded-ladder"), executed("shortcuts"), values("shortcuts", "recorded-shortcuts"),
    params:
        name="shortcuts",
        asked=asked("models", "seed", "preset", "weights", "engine", "folders"),
    resources: mem_mb=3000, runtime=30
    shell: RUNNER


rule positive_control:
    input:
        notebook("positive-control"), f"{OUT}/manifest.csv",
    output:
        tables("tab-positive-control"), figures("fig-positive-control"), executed("positive-control"), values("positive-control"),
    params:
        name="positive-control",
        asked=asked("seed", "options"),
    resources: mem_mb=2000, runtime=30
    shell: RUNNER


rule saliency:
    input:
        notebook("saliency"), f"{OUT}/manifest.csv", SCORES[0],
    output:
        figures("fig-evidence"), tables("tab-evidence", "tab-sanity"), executed("saliency"), values("saliency"),
    params:
        name="saliency",
        asked=asked("models", "copies", "seed", "preset", "weights", "engine", "recipe"),
    resources: mem_mb=3000, runtime=60
    shell: RUNNER


rule uncertainty:
    input:
        notebook("uncertainty"), "recorded/phantom/facts.json", f"{OUT}/manifest.csv", expand(f"{OUT}/features/{{model}}.csv", model=MODELS), SCORES,
    output:
        tables("tab-repeats", "tab-promises"), figures("fig-repeats", "fig-promises", "fig-halves"), executed("uncertainty"), values("uncertainty"),
    params:
        name="uncertainty",
        asked=asked("models", "recipe", "seed", "copies"),
    resources: mem_mb=3000, runtime=60
    shell: RUNNER


rule calibration:
    input:
        notebook("calibration"), f"{OUT}/manifest.csv", SCORES,
    output:
        tables("tab-calibration", "tab-precision", "tab-area-pairs", "tab-call-pairs"),
        figures("fig-calibration", "fig-precision-recall", "fig-net-benefit", "fig-area-pairs"), executed("calibration"), values("calibration"),
    params:
        name="calibration",
        asked=asked("models", "copies"),
    resources: mem_mb=1500, runtime=20
    shell: RUNNER


rule recipes:
    input:
        notebook("recipes"), f"{OUT}/manifest.csv", SCORES[0], sorted(str(path) for path in Path("recorded").glob("recipes-*/*")),
    output:
        figures("fig-recipes"), tables("tab-recipes", "tab-recipes-recorded"), executed("recipes"), values("recipes"),
    params:
        name="recipes",
        asked=asked("models", "copies", "seed", "preset", "weights", "engine", "recipe"),
    resources: mem_mb=3000, runtime=60
    shell: RUNNER


rule model_card:
    input:
        notebook("model-card"), f"{OUT}/manifest.csv", f"{OUT}/curated.json", SCORES,
    output:
        tables("tab-card", "tab-card-performance", "tab-card-people", "tab-card-groups"), figures("fig-card-groups"),
        executed("model-card"), values("model-card"),
    params:
        name="model-card",
        asked=asked(*WHAT_COUNTS, "copies", "models", "preset", "recipe", "tests_paper", "weights"),
    resources: mem_mb=1500, runtime=20
    shell: RUNNER


rule speed:
    input:
        notebook("speed"), sorted(str(path) for name in ("benchmarks", "slurm") for path in Path("recorded").glob(f"{name}/*")),
    output:
        tables(*(f"tab-speed-{what}" for what in ("targets", "growth", "costs", "slurm"))),
        figures("fig-speed-engines", "fig-speed-stages"), executed("speed"), values("speed"),
    params:
        name="speed",
        asked=asked(),
    resources: mem_mb=1500, runtime=20
    shell: RUNNER


# Not part of the book: every head trained 41 times. Start it by name, after the run.
rule repeats:
    input:
        expand(f"{OUT}/repeats/{{model}}.csv", model=MODELS),


rule repeat:
    input:
        f"{OUT}/manifest.csv", f"{OUT}/features/{{model}}.csv", f"{FIT}/scores.csv", lineage.library("repeats"),
    output:
        f"{OUT}/repeats/{{model}}.csv",
    params:
        asked=asked("recipe", "seed", "copies"),
    resources: mem_mb=8000, runtime=480
    shell: f"{PY} -m deepcovid_lib.repeats {RUN.name} {{wildcards.model}}"


rule sweep:  # costly, and no part of the book: snakemake results/phantom/sweeps/drift.csv --config run=phantom
    input:
        f"{OUT}/manifest.csv", lineage.library("sweeps"),
    output:
        f"{OUT}/sweeps/{{sweep}}.csv",
    params:
        asked=asked("models", "copies", "seed", "preset", "weights", "engine", "recipe"),
    resources: mem_mb=6000, runtime=240
    shell: f"{PY} -m deepcovid_lib.sweeps {RUN.name} {{wildcards.sweep}}"
