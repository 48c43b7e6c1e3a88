"""The commands of the Dockerfile, executed outside of a container, and what its files name."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from tests.support.app.server import ROOT, find_free_port, wait_for_health

DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", "")  # continued lines are one
CLOUD = ROOT / "deploy" / "community_cloud" / "requirements.txt"
LEFT_OUT = {"onnx", "onnxscript", "onnxruntime", "umap-learn"}


def read_command(instruction: str) -> list[str]:
    """Return the last command in JSON form after an instruction of the Dockerfile."""
    return list(json.loads(re.findall(rf"{instruction}[^[]*(\[.*\])", DOCKERFILE)[0]))


def test_the_server_starts_and_is_healthy(tmp_path: Path) -> None:
    port, log = find_free_port(), tmp_path / "log"
    program, *options = [part.replace("8501", str(port)) for part in read_command(r"\nCMD ")]
    check = [part.replace("8501", str(port)) for part in read_command("HEALTHCHECK")]
    environment = {
        **os.environ,
        "LORALAB_HOME": str(tmp_path / "home"),
        "LORALAB_MODE": "classroom",
    }
    assert (program, check[0]) == ("streamlit", "python")

    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "streamlit", *options],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        wait_for_health(f"http://127.0.0.1:{port}", log)
        healthy = subprocess.run([sys.executable, *check[1:]], check=False)
    finally:
        server.terminate()
        server.wait()
    stopped = subprocess.run([sys.executable, *check[1:]], check=False, capture_output=True)

    assert (healthy.returncode, stopped.returncode) == (0, 1)


def list_copied() -> list[str]:
    """List the files and folders that the image contains."""
    return [
        name for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.M) for name in line.split()[:-1]
    ]


def test_the_copied_files_are_enough_for_a_page(tmp_path: Path) -> None:
    for name in list_copied():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(ROOT / name)
    home = (
        f"from streamlit.testing.v1 import AppTest; page = AppTest.from_file('{tmp_path}/Home.py')"
    )
    drawn = (
        "page.run(timeout=60); problems = [*page.error, *page.exception];"
        " assert page.title and not problems, problems"
    )

    subprocess.run(
        [sys.executable, "-c", f"{home}; {drawn}"],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "LORALAB_HOME": str(tmp_path / "home"), "PYTHONPATH": str(tmp_path)},
    )


def test_all_copied_files_exist_and_are_sent_to_the_build() -> None:
    copied = list_copied()
    sent = (ROOT / ".dockerignore").read_text()

    assert {"Home.py", "core", "pages", "ui"} <= set(copied)
    for name in copied:
        assert (ROOT / name).exists()
        assert f"\n!{name}" in sent


def test_only_the_proxy_can_be_reached_and_is_believed() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    app, proxy = services["app"], services["proxy"]
    address = proxy["networks"]["lab"]["ipv4_address"]

    assert "ports" not in app
    assert app["environment"]["FORWARDED_ALLOW_IPS"] == address
    assert proxy["environment"]["LORALAB_APP"].startswith(app["networks"]["lab"]["ipv4_address"])


def test_the_requirements_of_community_cloud_have_the_same_versions() -> None:
    everything, cloud = (
        dict(re.findall(r"^([\w-]+)==(\S+)", path.read_text(), re.M))
        for path in (ROOT / "requirements.txt", CLOUD)
    )

    assert {name: cloud[name].removesuffix("+cpu") for name in cloud} == {
        name: version for name, version in everything.items() if name not in LEFT_OUT
    }
