"""The container's files say what keeps it safe.  Nothing is built here."""

import re
from pathlib import Path

import pytest
import yaml

from utils.service.settings import Settings

ROOT = Path(__file__).parents[2]
FILE = (ROOT / "service" / "Containerfile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def service():
    compose = (ROOT / "service" / "compose.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(compose)["services"]["lookalike"]


def steps(name):
    joined = FILE.replace("\\\n", " ")
    return re.findall(rf"(?m)^{name} (.*)$", joined)


def test_it_is_built_by_pip_alone_at_the_tested_versions():
    assert all("pip install" in step for step in steps("RUN"))
    assert "-c constraints.txt" in steps("RUN")[0]
    assert not re.search(r"apt|curl|wget|ADD http", FILE)


def test_what_is_copied_is_there_and_not_ignored():
    ignored = (ROOT / ".containerignore").read_text(encoding="utf-8")
    for step in steps("COPY"):
        for name in step.split()[:-1]:
            assert (ROOT / name).exists()
            assert f"!{name}\n" in ignored


def test_it_does_not_run_as_root_and_does_not_write_outside_tmp(service):
    assert steps("USER") == ["10001:10001"]
    assert re.match(r"\$\{LOOKALIKE_USER:-[1-9]", service["user"])
    assert service["read_only"] is True
    assert service["tmpfs"][0].startswith("/tmp:size=")
    for name in ("HOME", "LOOKALIKE_CACHE", "MPLCONFIGDIR"):
        assert re.search(rf"\b{name}=/tmp", FILE)
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(volume.endswith(":ro") for volume in service["volumes"])


def test_it_is_published_on_this_computer_only(service):
    assert service["ports"] == ["127.0.0.1:8000:8000"]


def test_its_health_is_asked_and_what_it_has_accepted_is_finished(service):
    assert "/readyz" in steps("HEALTHCHECK")[0]
    assert steps("STOPSIGNAL") == ["SIGTERM"]
    seconds = int(service["stop_grace_period"].removesuffix("s"))
    assert seconds > Settings.model_fields["answer_seconds"].default
    assert steps("ENTRYPOINT")[0].startswith('["python", "-m", "utils.service"')
