"""Prove the Slurm profile on a real one-node Slurm: `python -m benchmarks.slurm`.

Installs Debian's Slurm where it is missing, starts it on this machine alone, and removes what it installed. One clone
of the repository makes the tiny edition here, in one piece; another makes it as Slurm jobs, two at a time, each frozen
pass in three parts. There one part is cancelled while it works, the command is killed while notebooks run, and the
same command is given again. Then every file that may not differ is compared, and the outcome kept in
`recorded/slurm`. Needs root, `apt-get` and the project's
environment; it proves what is committed.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import yaml

from deepcovid_lib import files, records, runs

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("slurm-wlm", "munge")
CONFIGURED = Path("/etc/slurm/slurm.conf")
SHARDS, JOBS, CORES = 3, 2, os.cpu_count()
PATIENCE = 1800
CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=sched_interval=2
KillWait=2
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd.log
SlurmctldPort=16817
SlurmdPort=16818
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def say(line):
    print(f"{datetime.now():%H:%M:%S} {line}", flush=True)


def output(*command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout


@contextmanager
def installed():
    """Have Slurm's programs while the block runs; yield the environment that holds Snakemake's plugin for them."""
    missing = [name for name in PACKAGES if subprocess.run(["dpkg", "-s", name], capture_output=True).returncode]
    if missing:
        say(f"installing {', '.join(missing)}")
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["apt-get", "install", "-y", "-qq", *missing], check=True, stdout=subprocess.DEVNULL, env=quiet)
    try:
        yield
    finally:
        if missing:
            say("removing what was installed")
            subprocess.run(["apt-get", "purge", "-y", "-qq", "--auto-remove", *missing], stdout=subprocess.DEVNULL)


@contextmanager
def cluster(place):
    """Run Slurm's daemons on the loopback while the block runs."""
    if CONFIGURED.exists():
        raise SystemExit(f"this machine has a Slurm already: {CONFIGURED}")
    host = output("hostname", "-s").strip()
    for name in ("state", "spool"):
        (place / name).mkdir(parents=True)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    text = CONFIGURATION.format(host=host, place=place, cpus=JOBS * CORES, memory=memory)
    CONFIGURED.parent.mkdir(exist_ok=True)
    CONFIGURED.write_text(text, encoding="utf-8")  # here, since jobs get none of the submitter's variables for Slurm
    started, quiet = [], {"stderr": subprocess.DEVNULL}
    try:
        if subprocess.run("munge -n | unmunge", shell=True, capture_output=True).returncode:
            Path("/run/munge").mkdir(exist_ok=True)
            shutil.chown("/run/munge", "munge", "munge")
            started.append(
                subprocess.Popen(["runuser", "-u", "munge", "--", "/usr/sbin/munged", "--foreground"], **quiet)
            )
        for name in ("slurmctld", "slurmd"):  # they write logs of their own
            started.append(subprocess.Popen([f"/usr/sbin/{name}", "-D"], **quiet))
        for _ in range(60):
            if subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True).stdout.strip() == "idle":
                break
            time.sleep(1)
        else:
            raise SystemExit(f"Slurm does not start; see {place}")
        yield
    finally:
        for daemon in reversed(started):
            daemon.terminate()
            daemon.wait(30)
        CONFIGURED.unlink()


def clone(place):
    """Clone the repository with the environment it was made with; return its folder."""
    subprocess.run(["git", "clone", "-q", ROOT, place], check=True)
    (place / ".venv").symlink_to(ROOT / ".venv")
    return place


def started(folder, log, *options, site=None):
    """Start `deepcovid reproduce` of the tiny edition in a clone."""
    command = [".venv/bin/python", "-m", "deepcovid_lib.cli", "reproduce", "--edition", "tiny", *options]
    paths = [str(folder), *([str(site)] if site else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with open(log, "a", encoding="utf-8") as stream:
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )


def profile(place):
    """Return the project's Slurm profile, with as many threads to a job as a job has on this machine without Slurm."""
    settings = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8"))
    made = place / "profile" / "config.yaml"
    made.parent.mkdir(exist_ok=True)
    made.write_text(yaml.safe_dump({**settings, "max-threads": CORES}), encoding="utf-8")
    return made.parent


def queue():
    """Return Slurm's running jobs as (number, rule)."""
    told = output("squeue", "-h", "-t", "R", "-o", "%i|%k")
    lines = [line.split("|", 1) for line in told.splitlines()]
    return [(number, re.sub(r"^rule_|_wildcards.*$", "", comment)) for number, comment in lines]


def await_rule(wanted, process):
    """Wait until a job of one of these rules runs; return its number and rule."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends and process.poll() is None:
        for number, rule in queue():
            if rule in wanted:
                return number, rule
        time.sleep(0.5)
    raise SystemExit(f"no job of {', '.join(wanted)} was seen at work")


def finished(process, log):
    if process.wait(PATIENCE):
        raise SystemExit(f"the command failed:\n{log.read_text(encoding='utf-8')[-2000:]}")


def digests(folder):
    """Return the SHA-256 of every file of a run that two equal runs share, by kind."""
    kinds = {
        "manifest": ["results/tiny/manifest.csv"],
        "features": ["cache/features/**/*.safetensors"],
        "lists of features": ["results/tiny/features/*.csv"],
        "heads": ["results/tiny/fits/**/head.safetensors"],
        "scores": ["results/tiny/fits/**/scores.csv"],
        "tables": ["results/tiny/tables/*.csv"],
        "figures' data": ["results/tiny/figures/*.csv"],
    }
    return {
        kind: {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for pattern in patterns
            for path in sorted(folder.glob(pattern))
        }
        for kind, patterns in kinds.items()
    }


def proof(place):
    """Make the run here and on Slurm with its two accidents; return what happened, and by kind how many files agree."""
    site = place / "site"
    subprocess.run(
        [ROOT / ".venv/bin/uv", "pip", "install", "-q", "--target", site, "--no-deps"]
        + ["snakemake-executor-plugin-slurm", "snakemake-executor-plugin-slurm-jobstep", "throttler"],
        check=True,
    )
    began = time.monotonic()
    here, there = clone(place / "here"), clone(place / "there")
    log = place / "here.log"
    say("the tiny edition on this machine, in one piece")
    finished(started(here, log), log)
    alone = time.monotonic() - began
    with cluster(place / "slurm"):
        say(f"the same as Slurm jobs, {JOBS} at a time, each pass in {SHARDS} parts")
        began, log = time.monotonic(), place / "there.log"
        options = ("--profile", str(profile(place)), "--shards", str(SHARDS), "--jobs", str(JOBS))
        process = started(there, log, *options, site=site)
        cancelled, rule = await_rule(("part",), process)
        time.sleep(4)
        subprocess.run(["scancel", cancelled], check=True)
        say(f"cancelled job {cancelled}, a {rule}")
        killed_at, rule = await_rule(("calibration", "scores", "thresholds", "reliability"), process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        say(f"killed the command with -9 while job {killed_at}, {rule}, was at work; the same command again")
        before = (there / "results/tiny/log.txt").read_text(encoding="utf-8")
        process = started(there, log, *options, site=site)
        finished(process, log)
        after = (there / "results/tiny/log.txt").read_text(encoding="utf-8")
        version = output("sinfo", "--version").split()[-1]
        seconds = time.monotonic() - began
    mine, theirs = digests(here), digests(there)
    told = {
        "slurm": version,
        "shards": SHARDS,
        "jobs_at_a_time": JOBS,
        "submitted": [len(re.findall(r"submitted with SLURM jobid", text)) for text in (before, after)],
        "restarted": len(re.findall(r"Trying to restart job", before)),
        "killed_at": rule,
        "seconds_in_one_piece": round(alone),
        "seconds_on_slurm": round(seconds),
    }
    compared = [
        {"kind": kind, "files": len(files), "equal": sum(theirs[kind].get(name) == files[name] for name in files)}
        for kind, files in mine.items()
    ]
    return told, pd.DataFrame(compared)


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if os.geteuid() or not shutil.which("apt-get"):
        raise SystemExit("this needs root on a Debian machine: it installs Slurm and removes it again")
    place = ROOT / "_build" / "slurm"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    started, began = datetime.now(UTC), time.monotonic()
    with installed():
        told, compared = proof(place)
    print(json.dumps(told, indent=1), compared.to_string(index=False), sep="\n")
    if not told["restarted"] or not all(told["submitted"]) or (compared["files"] == 0).any():
        raise SystemExit("not proven: no job was tried again, no job came after the kill, or a kind of file is missing")
    folder = records.folder() / "slurm"
    files.write_csv(compared, folder / "compared.csv")
    files.write_json(
        {"slurm": {**runs.circumstances(started, time.monotonic() - began), **told}}, folder / "facts.json"
    )
    records.seal(folder)
    shutil.rmtree(place)


if __name__ == "__main__":
    main()
