"""docker-compose.yml and the Dockerfile, as far as they can be checked without an engine."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from control_api.cli.main import make_app
from deploy.compose_secrets import make, values
from deploy.stack import kafka, postgres
from deploy.stack.credentials import KEY_BYTES, master_key
from deploy.stack.endpoints import kafka_from_environment, postgres_from_environment, s3_from_environment
from deploy.stack.jars import listed
from deploy.stack.roster import MEMORY, SERVICES
from tests.containers import images, kafka_environment

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


def services() -> dict[str, Any]:
    found = COMPOSE["services"]
    assert isinstance(found, dict)
    return found


def test_the_same_services_as_the_embedded_stack() -> None:
    assert set(services()) == {"kafka", "postgres", "s3", *SERVICES}


@pytest.mark.parametrize("name", sorted(services()))
def test_every_service_is_pinned_watched_and_restarted(name: str) -> None:
    service = services()[name]
    tag = service["image"].partition(":")[2]
    assert re.search(r"\d+\.\d+", tag), f"{service['image']} names no version"
    check = service["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)
    assert service["restart"] == "unless-stopped"
    assert "no-new-privileges:true" in service["security_opt"]


@pytest.mark.parametrize("name", SERVICES)
def test_our_services_wait_for_healthy_servers_and_run_commands_that_exist(name: str) -> None:
    service = services()[name]
    assert service["depends_on"] == {server: {"condition": "service_healthy"} for server in ("kafka", "postgres", "s3")}
    commands = {command.name for command in make_app().registered_commands}
    assert service["command"] == [name]
    assert name in commands
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


def test_only_the_api_is_published_and_that_on_loopback() -> None:
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert list(published) == ["api"]
    assert all(port.startswith("127.0.0.1:") for port in published["api"])


def test_secrets_are_files_and_none_stands_in_the_compose_file() -> None:
    """Compose gives a container that is read-only no secret that is not a file."""
    secrets = COMPOSE["secrets"]
    assert secrets == {name: {"file": f"${{METAL_SECRETS:-.secrets}}/{name}"} for name in values()}
    assert ".secrets*" in (ROOT / ".gitignore").read_text().splitlines()
    # Of a secret that is a file compose ignores uid, gid and mode, so that only a name is told.
    used = {name for service in services().values() for name in service.get("secrets", [])}
    assert used == set(secrets)
    text = re.sub(r"(?m)^ *#.*", "", (ROOT / "docker-compose.yml").read_text())
    for line in text.splitlines():
        if re.search(r"(?i)(password|secret|credential|identity)\w*\s*[:=]", line):
            assert re.search(r"run/secrets|METAL_SECRETS|secrets:|\$\$", line), line
    assert not re.search(r"//[^/@\s]+:[^/@\s]+@", text)


def test_secrets_are_made_once_and_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert not set(values().values()) & set(values().values())
    folder = tmp_path / "secrets"
    command = [sys.executable, "-m", "deploy.compose_secrets", str(folder)]
    subprocess.run(command, check=True)
    assert folder.stat().st_mode & 0o777 == 0o700
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(made) == set(values())
    # Each server reads them as a user of its own.
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}
    with pytest.raises(SystemExit, match="exists"):
        make(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == made
    assert list(tmp_path.iterdir()) == [folder]
    monkeypatch.setenv("METAL_MASTER_KEY", made["master_key"])
    assert len(master_key()) == KEY_BYTES


def test_the_api_has_the_files_of_tasks_as_connect_has_and_its_commands_find_it() -> None:
    api, connect = services()["api"], services()["connect"]
    data = [volume for volume in connect["volumes"] if ":/data" in volume]
    assert data
    assert set(data) <= set(api["volumes"])
    assert api["environment"] == {**connect["environment"], "METAL_API": "http://127.0.0.1:8080"}


def test_our_settings_are_understood(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in services()["worker"]["environment"].items():
        monkeypatch.delenv(name.removesuffix("_FILE"), raising=False)
        if name.endswith("_FILE"):
            path = tmp_path / Path(value).name
            path.write_text("of-the-file")
            value = str(path)
        monkeypatch.setenv(name, value)
    broker, database, store = kafka_from_environment(), postgres_from_environment(), s3_from_environment()
    assert broker is not None
    assert broker.confluent()["sasl.password"] == "of-the-file"
    assert database is not None
    assert database.url == "postgresql://metal:of-the-file@postgres:5432/metal"
    assert store is not None
    assert (store.endpoint, store.secret) == ("http://s3:8080", "of-the-file")


def test_the_servers_have_the_settings_of_the_embedded_ones() -> None:
    environment = services()["kafka"]["environment"]
    for name, value in kafka.SETTINGS.items():
        variable = f"KAFKA_{name.upper().replace('.', '_')}"
        if variable in environment and "PROTOCOL_MAP" not in variable:
            assert str(environment[variable]) == str(value), variable
    assert {"KAFKA_MESSAGE_MAX_BYTES", "KAFKA_AUTO_CREATE_TOPICS_ENABLE"} <= set(environment)
    for option in services()["postgres"]["command"][1:]:
        name, _, value = option.removeprefix("-c").partition("=")
        assert postgres.SETTINGS.get(name, value) == value, name


def test_the_servers_have_the_versions_of_the_embedded_ones() -> None:
    versions = {jar.artifact.split(":")[1]: jar.artifact.split(":")[2] for jar in listed("kafka") + listed("s3")}
    assert services()["kafka"]["image"].endswith(f":{versions['kafka_2.13']}")
    assert services()["s3"]["image"].endswith(f"-{versions['s3proxy']}")
    assert services()["postgres"]["image"].startswith(f"postgres:{postgres.VERSION}.")


def test_shell_commands_of_the_compose_file_parse(tmp_path: Path) -> None:
    for name in ("kafka", "s3"):
        shell, option, script = services()[name]["command"]
        assert (shell, option) == ("bash", "-c")
        assert shlex.split(script)
        subprocess.run(["bash", "-n", "-c", script.replace("$$", "$")], check=True)
    script = services()["kafka"]["command"][2].replace("$$", "$")
    (tmp_path / "password").write_text("s3cr3t")
    script = script.replace("/run/secrets/kafka_password", str(tmp_path / "password")).replace(
        "exec /etc/kafka/docker/run", "printenv KAFKA_LISTENER_NAME_CLIENT_PLAIN_SASL_JAAS_CONFIG"
    )
    told = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    assert told == (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        'username="metal" password="s3cr3t" user_metal="s3cr3t";'
    )


def test_the_image_is_pinned_hashed_and_not_root() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert all(re.search(r":\d+\.\d+\.\d+-", base) for base in bases)
    installs = re.findall(r"pip (?:install|sync)[^\n]*", DOCKERFILE)
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)
    users = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    assert users == ["10001:10001"]
    assert "HEALTHCHECK" in DOCKERFILE


def test_the_image_holds_what_the_services_need_as_the_lock_pins_it() -> None:
    def pinned(path: Path) -> dict[str, str]:
        return dict(re.findall(r"^([\w.-]+)(==(?:.|\n)*?)(?:\n    # via|\Z)", path.read_text(), re.MULTILINE))

    everything, image = pinned(ROOT / "requirements.lock"), pinned(ROOT / "deploy" / "image.lock")
    assert {name: everything.get(name) for name in image} == image
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def named(requirements: list[str]) -> set[str]:
        return {re.split(r"[\[=<>~]", line)[0].lower() for line in requirements}

    assert named(project["dependencies"]) <= set(image)
    for extra in project["optional-dependencies"].values():
        assert not named(extra) & set(image)
    assert re.findall(r"COPY --from=build (\S+)", DOCKERFILE) == ["/opt/metal"]
    assert not re.search(r"/opt/metal/bin/(?:uv|pip|python -m pip)", DOCKERFILE)


def test_what_the_image_copies_exists_and_is_not_ignored() -> None:
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert source.partition("/")[0] in allowed, source


def test_containers_of_the_tests_take_the_images_of_the_compose_file() -> None:
    assert images() == {name: services()[name]["image"] for name in ("kafka", "postgres")}
    environment = kafka_environment(1234)
    assert environment["KAFKA_ADVERTISED_LISTENERS"] == "CLIENT://localhost:1234"
    assert not any("SASL" in name for name in environment)


@pytest.fixture
def server() -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 503)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made.server_port
        made.shutdown()
        thread.join()


def test_the_health_check_tells_well_from_unwell(server: int) -> None:
    def ask(path: str, port: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "deploy.healthcheck", path]
        environment = {**os.environ, "METAL_PORT": str(port)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert ask("/healthz", server).returncode == 0
    assert ask("/ready", server).stderr == "/ready answers 503\n"
    assert ask("/healthz", 9).returncode == 1


def test_compose_itself_accepts_the_file() -> None:
    """Where the compose plugin is installed it has the last word; elsewhere YAML was read above."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        return
    command = [docker, "compose", "--file", str(ROOT / "docker-compose.yml"), "config", "--quiet"]
    subprocess.run(command, check=True)


def test_services_of_the_image_hold_memory_as_those_of_the_embedded_stack() -> None:
    told = dict(word.split("=", 1) for word in shlex.split(DOCKERFILE) if "=" in word)
    assert {name: told.get(name) for name in MEMORY} == MEMORY


def test_polars_keeps_the_memory_of_frames_as_long_as_it_is_told() -> None:
    told = {**os.environ, **MEMORY}
    told["_RJEM_MALLOC_CONF"] += ",stats_print:true"
    done = subprocess.run(
        [sys.executable, "-c", "import polars; polars.Series([1]).sort()"], env=told, capture_output=True
    )
    assert b"opt.dirty_decay_ms: 60000 " in done.stdout + done.stderr
