"""The files of deploy/: valid for what reads them, at the versions of constraints.txt, with flags that exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml

from study import cluster
from study.arguments import parser
from study.cluster import auth

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
            and not line.startswith("#"))


def test_set_up_knows_what_is_of_the_cluster_alone() -> None:
    """`make setup` takes what stands before that line (sed's pattern is the comment's words)."""
    before, line, after = (ROOT / "constraints.txt").read_text().partition("extra `cluster`")
    assert line and line in (ROOT / "Makefile").read_text()
    assert "torch==" in before and all(f"\n{name}==" in after for name in ("grpcio", "opencensus", "virtualenv"))


def loaded(path: str) -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / path).read_text()))


def text(path: str) -> str:
    return (DEPLOY / path).read_text()


def fields(required: tuple[str, ...] = (), **types: Any) -> dict[str, Any]:
    """A closed JSON schema: a misspelt field is an error. The types of the RayJob's are those of the CRD ray.io/v1."""
    properties = {name: {"type": kind} if isinstance(kind, str) else kind for name, kind in types.items()}
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


WORDS = {"type": "object", "additionalProperties": {"type": "string"}}
RAYJOB = fields(("apiVersion", "kind", "metadata", "spec"), apiVersion={"const": "ray.io/v1"}, kind={"const": "RayJob"},
                metadata=fields(("name",), name={"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$",
                                                 "maxLength": 47}),
                spec=fields(
    ("entrypoint", "rayClusterSpec"), entrypoint="string", backoffLimit={"type": "integer", "minimum": 0},
    shutdownAfterJobFinishes="boolean", ttlSecondsAfterFinished={"type": "integer", "minimum": 0},
    rayClusterSpec=fields(
        ("headGroupSpec", "workerGroupSpecs"), rayVersion="string",
        authOptions=fields(mode={"enum": ["disabled", "token"]}),
        headGroupSpec=fields(("template",), rayStartParams=WORDS, template="object"),
        workerGroupSpecs={"type": "array", "items": fields(
            ("groupName", "minReplicas", "maxReplicas", "template"), groupName="string", replicas="integer",
            minReplicas="integer", maxReplicas="integer", rayStartParams=WORDS, template="object")})))


@pytest.fixture(scope="module")
def rayjob() -> dict[str, Any]:
    return loaded("kuberay/rayjob.yaml")


@pytest.fixture(scope="module")
def groups(rayjob: dict[str, Any]) -> list[dict[str, Any]]:
    """Head, then workers."""
    cluster = rayjob["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def test_rayjob_has_the_fields_of_its_definition(rayjob: dict[str, Any]) -> None:
    jsonschema.validate(rayjob, RAYJOB)
    assert rayjob["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}, "an open Ray is a remote shell"


def test_its_pods_are_pods(groups: list[dict[str, Any]]) -> None:
    for group in groups:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": group["template"]["spec"]}
        kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
        [container] = group["template"]["spec"]["containers"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert container["envFrom"] == [{"secretRef": {"name": "study-storage"}}], "the driver and every worker"


def test_only_workers_train(groups: list[dict[str, Any]]) -> None:
    head, worker = groups
    assert head["rayStartParams"]["num-cpus"] == "0"
    limits = [group["template"]["spec"]["containers"][0]["resources"]["limits"] for group in groups]
    assert ["nvidia.com/gpu" in limit for limit in limits] == [False, True]
    assert worker["minReplicas"] <= worker["replicas"] <= worker["maxReplicas"]


def test_ray_start_knows_their_parameters(groups: list[dict[str, Any]]) -> None:
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    assert {f"--{name}" for group in groups for name in group["rayStartParams"]} <= known


def test_its_entrypoint_is_a_launch_of_this_release(rayjob: dict[str, Any]) -> None:
    words = shlex.split(rayjob["spec"]["entrypoint"])
    assert words[:3] == ["python", "-m", "study.launch"]
    arguments = parser().parse_args(words[3:])
    assert arguments.address == "auto" and arguments.storage.startswith("s3://")
    assert (ROOT / Path(arguments.space).relative_to("/app")).is_file(), "where the image has it"
    assert not set("&|;<>$`") & set(rayjob["spec"]["entrypoint"]), "KubeRay pastes it into a shell"


def test_what_a_driver_asks_ray_for_is_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a job of `ray job submit`, as KubeRay makes one, Ray copies it; a module in it ends the launch."""
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(ray, "init", lambda **words: asked.append(words))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(auth, "check_access", lambda address, insecure: (address, None))
    with cluster.running("10.0.0.1:6379", 2, modules=["/lab/mylab"]):
        [environment] = [words["runtime_env"] for words in asked]
    assert json.loads(json.dumps(environment))["py_modules"] == [
        str(ROOT / "models"), str(ROOT / "study"), "/lab/mylab"]


def test_versions_are_those_that_were_tested(rayjob: dict[str, Any]) -> None:
    assert rayjob["spec"]["rayClusterSpec"]["rayVersion"] == PINS["ray"]
    release = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert release is not None
    tags = re.findall(r"ebm-study(?:-mlflow)?:(\S+)", text("Dockerfile") + text("kuberay/rayjob.yaml"))
    assert len(tags) >= 3 and set(tags) == {release[1]}
    assert re.findall(r"^FROM python:(\S+)-slim", text("Dockerfile"), re.M) == ["3.11"], "as CI has"


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """(instruction, arguments) of a Dockerfile, comments and line continuations resolved."""
    lines = "\n".join(line for line in dockerfile.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    return [(word.upper(), rest) for word, _, rest in (line.partition(" ") for line in lines.splitlines() if line)]


def test_the_images_install_what_was_tested_and_run_as_nobody_special() -> None:
    found = instructions(text("Dockerfile"))
    assert {word for word, _ in found} <= {"FROM", "ENV", "RUN", "COPY", "WORKDIR", "USER", "EXPOSE"}
    installs = [rest for word, rest in found if word == "RUN" and "pip install" in rest]
    assert len(installs) == 2 and all("pip install -c constraints.txt " in rest for rest in installs)
    stages = [rest.partition(" AS ")[2] for word, rest in found if word == "FROM"]
    assert stages == ["base", "mlflow", "study"]
    assert [rest for word, rest in found if word == "USER"] == ["study", "study"]
    for package in ("mlflow", "psycopg2-binary", "boto3", "ray"):
        assert package in PINS


def test_what_the_images_copy_is_there_and_not_ignored() -> None:
    copies = [rest.split() for word, rest in instructions(text("Dockerfile")) if word == "COPY"]
    copied = [source for *sources, _ in copies for source in sources]
    kept = {line.removeprefix("!") for line in text("Dockerfile.dockerignore").splitlines() if line.startswith("!")}
    assert set(copied) == kept and all((ROOT / name).exists() for name in kept)
    assert {"study", "models", "analysis"} <= kept


def flags(command: click.Command, words: list[str]) -> dict[str, Any]:
    """What the tool itself makes of its command line; click ends the test on a flag that it does not know."""
    return command.make_context(command.name or "", list(words)).params


COMPOSE = fields(
    ("name", "services"), name="string",
    secrets={"type": "object", "additionalProperties": fields(("file",), file="string")},
    volumes={"type": "object", "additionalProperties": {"type": "null"}},
    services={"type": "object", "additionalProperties": fields(
        image="string", build=fields(context="string", dockerfile="string", target="string"),
        restart={"enum": ["no", "always", "on-failure", "unless-stopped"]},
        depends_on={"type": "object", "additionalProperties": fields(condition={"enum": ["service_healthy"]})},
        environment={"type": "object", "additionalProperties": {"type": ["string", "null"]}},
        secrets={"type": "array", "items": {"type": "string"}}, command={"type": "array", "items": {"type": "string"}},
        ports={"type": "array", "items": {"type": "string"}}, volumes={"type": "array", "items": {"type": "string"}},
        healthcheck=fields(("test",), test={"type": "array", "items": {"type": "string"}}, interval="string",
                           start_period="string", retries="integer"))})


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return loaded("mlflow/compose.yaml")


def interpolated(value: str, **environment: str) -> str:
    """As compose does it: ${NAME:-default}, and $$ for a dollar sign."""
    def replace(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else environment.get(found[1], found[2])

    return re.sub(r"\$\$|\$\{(\w+):-([^}]*)\}", replace, value)


def server(compose: dict[str, Any], **environment: str) -> dict[str, Any]:
    """How the server would start."""
    with warnings.catch_warnings(action="ignore"):  # importing all of MLflow says this and that
        from mlflow.cli import server as command

    shell, option, line = compose["services"]["mlflow"]["command"]
    assert (shell, option) == ("sh", "-c")
    words = shlex.split(interpolated(line, **environment))
    at = words.index("mlflow")
    assert words[at:at + 2] == ["mlflow", "server"] and words[at - 1] == "exec", "so that it is what is stopped"
    return flags(command, words[at + 2:])


def test_compose_file_has_the_fields_of_its_specification(compose: dict[str, Any]) -> None:
    jsonschema.validate(compose, COMPOSE)
    used = {volume.partition(":")[0] for service in compose["services"].values() for volume in service["volumes"]}
    assert used == set(compose["volumes"])
    build = compose["services"]["mlflow"]["build"]
    folder = (DEPLOY / "mlflow" / build["context"]).resolve()
    assert folder == ROOT and (folder / build["dockerfile"]).is_file()
    assert f" AS {build['target']}\n" in text("Dockerfile")


@pytest.mark.slow  # imports all of MLflow
def test_the_server_is_for_this_machine_unless_told(compose: dict[str, Any]) -> None:
    from mlflow.server.security_utils import is_allowed_host_header

    def allows(host: str, **environment: str) -> bool:
        return is_allowed_host_header(server(compose, **environment)["allowed_hosts"].split(","), host)

    [port] = compose["services"]["mlflow"]["ports"]
    assert interpolated(port) == "127.0.0.1:5000:5000" and "ports" not in compose["services"]["postgres"]
    assert allows("127.0.0.1:5000") and allows("localhost:5000")
    assert not allows("mlflow.example.org") and not allows("10.0.0.5:5000")
    assert allows("mlflow.example.org", MLFLOW_NAME="mlflow.example.org")
    assert allows("10.0.0.5:5000", MLFLOW_BIND="10.0.0.5")
    origins = server(compose, MLFLOW_NAME="mlflow.example.org")["cors_allowed_origins"].split(",")
    assert "https://mlflow.example.org" in origins, "else the proxied pages could change nothing"


@pytest.mark.slow
def test_the_server_keeps_runs_in_postgresql_and_hands_artifacts_through(compose: dict[str, Any]) -> None:
    started = server(compose)
    assert started["backend_store_uri"] == "postgresql+psycopg2://mlflow@postgres/mlflow"
    assert (started["serve_artifacts"], started["artifacts_destination"]) == (True, "/artifacts")
    assert server(compose, MLFLOW_ARTIFACTS="s3://b/mlflow")["artifacts_destination"] == "s3://b/mlflow"
    assert any(volume.endswith(":/artifacts") for volume in compose["services"]["mlflow"]["volumes"])
    assert "install -d -o study /artifacts" in text("Dockerfile"), "a new volume takes the owner of what it covers"


def literals(found: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(key, value) of every string in a YAML file."""
    if isinstance(found, str):
        yield key, found
    elif isinstance(found, dict):
        for name, value in found.items():
            yield from literals(value, name)
    elif isinstance(found, list):
        for value in found:
            yield from literals(value, key)


@pytest.mark.parametrize("path", ["kuberay/rayjob.yaml", "mlflow/compose.yaml"])
def test_no_file_holds_a_secret(path: str) -> None:
    """They come from Kubernetes, from the shell, or from a file that git ignores."""
    for key, value in literals(loaded(path)):
        assert not re.search(r"://[^/]*:[^/]*@", value)
        if re.search("(?i)password|access_key|token", key):
            assert value.startswith(("/run/secrets/", "./")), key
    assert "/deploy/mlflow/postgres_password" in (ROOT / ".gitignore").read_text().splitlines()


SCRIPT = "slurm/study.sbatch"


def symmetric_run() -> tuple[list[str], list[str], list[str]]:
    """(its own words, those for `ray start`, the command) of the script's `ray symmetric-run`, with stand-ins."""
    line = text(SCRIPT).replace("\\\n", " ")
    [found] = re.findall(r"^srun .* ray symmetric-run (.*) &$", line, re.M)
    known = {"$head": "10.0.0.1:6379", "$SLURM_CPUS_PER_TASK": "8", "${SLURM_GPUS_PER_TASK:-0}": "1",
             "$space": "jko.yaml", "${STORAGE:-file://$PWD/runs}": "file:///shared/runs", ' "$@"': ""}
    for name, value in known.items():
        found = found.replace(name, value)
    assert "$" not in found
    words = shlex.split(found)
    at, own = words.index("--"), 2
    return words[:own], words[own:at], words[at + 1:]


def test_ray_knows_the_words_of_the_slurm_script() -> None:
    from ray.scripts.scripts import start
    from ray.scripts.symmetric_run import curate_and_validate_ray_start_args
    from ray.scripts.symmetric_run import symmetric_run as command

    own, more, launch = symmetric_run()
    assert flags(command, own) == {"address": "10.0.0.1:6379", "min_nodes": None, "ray_args_and_entrypoint": ()}
    assert curate_and_validate_ray_start_args([*own, *more]) == more
    started = flags(start, ["--head", *more])
    assert (started["num_cpus"], started["num_gpus"]) == (8, 1)
    assert launch[:3] == ["python", "-m", "study.launch"]
    arguments = parser().parse_args(launch[3:])
    assert (arguments.address, arguments.storage) == ("10.0.0.1:6379", "file:///shared/runs")


def test_the_slurm_script_is_bash(tmp_path: Path) -> None:
    checked = subprocess.run(["bash", "-n", DEPLOY / SCRIPT], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    if shellcheck := shutil.which("shellcheck"):
        checked = subprocess.run([shellcheck, "--exclude=SC1091", DEPLOY / SCRIPT], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout


def test_slurm_reads_every_directive() -> None:
    """It reads none after the first command, and takes what follows an option on its line as a part of it."""
    head = text(SCRIPT)[:text(SCRIPT).index("set -euo")]
    directives = re.findall(r"^#SBATCH (.*)$", head, re.M)
    assert len(directives) == text(SCRIPT).count("#SBATCH")
    assert all(re.fullmatch(r"--[a-z-]+(=\S+)?", directive) for directive in directives)
    assert {"--exclusive", "--requeue"} <= set(directives)
