"""Every notebook on its own, in environments that hold nothing but the wheel: `python tests/clean_environment.py`.

For each interpreter the wheel, its dependencies and a kernel are installed in an empty environment, in the versions of
the lock; so is the sdist, in another one, where the command starts. The notebooks are dealt out among the interpreters;
name one interpreter to run all of them there. Each starts with an empty home and no checkout in sight, in a folder that
holds nothing, or nothing but the films and features that those before it drew and computed there, on the tiny edition.
Those that can start from recorded scores do so too, on the phantoms, in an empty folder. It proves that a notebook
needs nothing but the wheel, that it leaves its artefacts in the folder it was started in, that no Python code of its
kernel opens a file elsewhere for writing, and that a replay makes no image, feature or head. Papermill and the kernel's
client run in the environment that this file is started in.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import papermill

ROOT = Path(__file__).resolve().parent.parent
UV = Path(sys.executable).with_name("uv")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SPEEDS = (("retrain", "tiny"), ("replay", "phantom"))
KINDS = {"fig": ("figures", ("svg", "png", "pdf", "csv", "json")), "tab": ("tables", ("csv", "json"))}
EXECUTE = """
import json, sys
from pathlib import Path
from deepcovid_lib import problems, runner
for line in sys.stdin:
    source, target, folder, parameters = json.loads(line)
    fault = ""
    try:
        runner.execute(Path(source), Path(target), parameters, expect=[], root=Path(folder))
    except problems.Problem as problem:
        fault = str(problem)
    print(json.dumps(fault), flush=True)
"""
LISTEN = """
import os, sys
record = os.open(os.environ["DEEPCOVID_WRITES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
changes = {"os.mkdir": 0, "os.rename": 1, "os.symlink": 1, "os.link": 1}
def listen(event, told):
    if event == "open" and told[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        path = told[0]
    elif event in changes:
        path = told[changes[event]]
    else:
        return
    if not isinstance(path, int):
        os.write(record, os.fsencode(os.path.abspath(path)) + b"\\n")
sys.addaudithook(listen)
"""


def interpreters():
    """Return the running Python and the newest later one on this machine that the project supports."""
    pyenv = shutil.which("pyenv") and subprocess.check_output(["pyenv", "root"], text=True).strip()
    for minor in range(13, sys.version_info.minor, -1):
        finder = [UV, "python", "find", "--no-python-downloads", f"3.{minor}"]
        found = subprocess.run(finder, capture_output=True, text=True).stdout.split()
        found += map(str, Path(pyenv).glob(f"versions/3.{minor}.*/bin/python")) if pyenv else []
        if found:
            return [sys.executable, found[0]]
    return [sys.executable]


def prepared(python, wheel, place):
    """Make an environment with the wheel and a kernel; return its Python and the name of its version."""
    environment = place / "environment"
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    held = place / "constraints.txt"
    held.write_text("\n".join(re.findall(r"^[^\s#-].*?(?= *\\$)", lock, re.MULTILINE)), encoding="utf-8")
    own = environment / "bin" / "python"
    subprocess.run([UV, "venv", "-q", "--python", python, environment], check=True)
    subprocess.run([UV, "pip", "install", "-q", "--python", own, wheel, "ipykernel", "-c", held], check=True)
    spec = place / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (place / "hook").mkdir()
    (place / "hook" / "sitecustomize.py").write_text(LISTEN, encoding="utf-8")
    command = [str(own), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    told = {"argv": command, "display_name": "clean", "language": "python", "env": {"PYTHONPATH": str(place / "hook")}}
    (spec / "kernel.json").write_text(json.dumps(told), encoding="utf-8")
    for name in ("home", "scratch"):
        (place / name).mkdir()
    asked = "import sys, deepcovid_lib; print(sys.version.split()[0], deepcovid_lib.__file__)"
    version, file = subprocess.check_output([own, "-c", asked], text=True, cwd=place, env=surroundings(place)).split()
    assert Path(file).is_relative_to(environment), f"the library came from {file}"
    return version


def installed_from_source(python, sdist, place):
    """Install the sdist in an environment of its own and return the version that the command tells there."""
    environment = place / "from-source"
    held = place / "constraints.txt"
    subprocess.run([UV, "venv", "-q", "--python", python, environment], check=True)
    subprocess.run(
        [UV, "pip", "install", "-q", "--python", environment / "bin" / "python", sdist, "-c", held], check=True
    )
    command = [environment / "bin" / "deepcovid", "--version"]
    return subprocess.check_output(command, text=True, cwd=place, env=surroundings(place)).strip()


def surroundings(place):
    """Return the variables of a new account that knows nothing of this one."""
    kept = ("PATH", "LANG", "LC_ALL", "SSL_CERT_FILE")
    folders = {"HOME": place / "home", "TMPDIR": place / "scratch", "JUPYTER_PATH": place / "jupyter"}
    own = {"OMP_NUM_THREADS": "1", "JUPYTER_PLATFORM_DIRS": "1", "DEEPCOVID_WRITES": place / "writes.txt"}
    return {key: os.environ[key] for key in kept if key in os.environ} | {k: str(v) for k, v in (folders | own).items()}


def executed(notebook, parameters, place, runner):
    """Have one notebook executed in a folder of its own; return its seconds and what is wrong, empty if nothing is."""
    folder = Path(tempfile.mkdtemp(prefix=f"{notebook.stem}-", dir=place))
    made = place / "cache"
    if parameters.get("speed") != "replay" and made.is_dir():
        made.rename(folder / "cache")
    target = folder / "executed" / notebook.name
    writes = place / "writes.txt"
    writes.unlink(missing_ok=True)
    began = time.monotonic()
    print(json.dumps([str(notebook), str(target), str(folder), parameters]), file=runner.stdin, flush=True)
    told = runner.stdout.readline()
    seconds = time.monotonic() - began
    fault = json.loads(told) if told else "what executes it ended"
    if fault:
        return seconds, fault
    wrong = "; ".join([*lacking(folder, target, parameters), *strays(folder, place, writes)])
    if parameters.get("speed") != "replay" and (folder / "cache").is_dir():
        (folder / "cache").rename(made)
    return seconds, wrong


def lacking(folder, target, parameters):
    """List what a notebook should have left and did not, and what a replay should not have left."""
    cells = nbformat.read(target, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    told = [output.get("metadata", {}).get("deepcovid", {}) for output in outputs]
    slugs = [each["slug"] for each in told if "slug" in each]
    (results,) = (folder / "results").iterdir()
    wanted = [results / KINDS[s[:3]][0] / f"{s}.{kind}" for s in slugs for kind in KINDS[s[:3]][1]]
    wrong = [f"{path.relative_to(folder)} is not there" for path in wanted if not path.is_file()]
    wrong += [] if slugs else ["it published nothing"]
    if parameters.get("speed") == "replay":
        made = [*folder.rglob("*.safetensors"), *folder.rglob("manifest.csv"), *folder.glob("cache/*/")]
        wrong += [f"a replay made {path.relative_to(folder)}" for path in made]
    return wrong


def strays(folder, place, writes):
    """List what the kernel opened for writing elsewhere or left in the temporary folder, torch's own cache aside."""
    opened = {Path(line) for line in writes.read_text(encoding="utf-8").splitlines()}
    assert opened, "nothing was heard of what the kernel writes"
    allowed = (folder, place / "home", place / "scratch", Path("/dev"))
    wrong = [
        f"it wrote {path}"
        for path in sorted(opened)
        if not any(path.is_relative_to(top) for top in allowed)
        and not (path.is_relative_to(place / "environment") and "__pycache__" in path.parts)
    ]
    left = [path.name for path in (place / "scratch").iterdir() if not path.name.startswith("torchinductor_")]
    return wrong[:3] + [f"it left {name} in the temporary folder" for name in left]


def executions():
    """List every notebook, the parameters to run it with and its speed."""
    listed = []
    for speed, edition in SPEEDS:
        for notebook in NOTEBOOKS:
            known = papermill.inspect_notebook(str(notebook))
            if speed == "retrain" or "speed" in known:
                listed.append((notebook, {"edition": edition} | ({"speed": speed} if "speed" in known else {}), speed))
    return listed


def proof(python, wheel, sdist, place, listed):
    """Run notebooks on one interpreter; tell each as it ends, and return the lines of those that failed."""
    began = time.monotonic()
    version = prepared(python, wheel, place)
    told = installed_from_source(python, sdist, place)
    assert f"-{told}-" in wheel.name, f"the sdist's command calls itself {told}"
    print(f"Python {version}: installed in {time.monotonic() - began:.0f} s", flush=True)
    faults = []
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", EXECUTE], cwd=place, env=surroundings(place), **pipes) as runner:
        for notebook, parameters, speed in listed:
            seconds, fault = executed(notebook, parameters, place, runner)
            line = f"Python {version}: {notebook.stem}, {speed}: {fault or f'{seconds:.0f} s'}"
            print(line, flush=True)
            faults += [line] if fault else []
    return faults


def main():
    parser = argparse.ArgumentParser(description="Run every notebook where only the wheel is installed.")
    parser.add_argument("python", nargs="*", help="interpreters (default: this one and the newest later one here)")
    asked = parser.parse_args().python or interpreters()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="deepcovid-clean-") as scratch:
        scratch = Path(scratch).resolve()
        subprocess.run([UV, "build", "-q", "--out-dir", scratch / "built", ROOT], check=True)
        (wheel,), (sdist,) = ((scratch / "built").glob(kind) for kind in ("*.whl", "*.tar.gz"))
        places = [scratch / str(number) for number in range(len(asked))]
        for place in places:
            place.mkdir()
        with ThreadPoolExecutor(len(asked)) as pool:
            listed = executions()
            dealt = [listed[number :: len(asked)] for number in range(len(asked))]
            told = pool.map(proof, asked, [wheel] * len(asked), [sdist] * len(asked), places, dealt)
            faults = [fault for found in told for fault in found]
    print(*faults, sep="\n", end="\n" if faults else "")
    print(f"{len(listed) - len(faults)} of {len(listed)} executions sound, {time.monotonic() - began:.0f} s in all")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
