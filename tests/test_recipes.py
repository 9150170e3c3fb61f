"""The README's ways to deploy a keyring, each run as far as one machine can: what is read is the README itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from ruamel.yaml import YAML

from sessionkit.exceptions import KeyringError
from sessionkit.keyring.file import DEFAULT_LIFETIME
from sessionkit.keyring.keyring import Keyring
from sessionkit.keyring.reloader import UNWATCHED_INTERVAL, watch_folder
from tests.keyring.rings import A, B, C, text
from tests.middleware.hosting import Stage, until

if TYPE_CHECKING:
    from collections.abc import Callable

README = (Path(__file__).resolve().parent.parent / "README.md").read_text("utf-8")
RECIPES = {
    name: code for name, _, code in re.findall(r"<!-- recipe: ([\w-]+) -->\n```(\w+)\n(.*?)```", README, re.DOTALL)
}


def recipe(name: str) -> Any:
    """Return what a recipe in YAML says."""
    return YAML(typ="safe", pure=True).load(RECIPES[name])


class Kubelet:
    """Writes a Secret volume as the kubelet does: a new folder, links to it, and one rename that turns them all.

    In the order of kubernetes' ``pkg/volume/util/atomic_writer.go``: what applications see is a link ``keyring.yaml``
    to ``..data/keyring.yaml``, and ``..data`` is a link to a folder named after the time.

    Args:
        folder: the volume's mount point.
        mode: of its files.
    """

    def __init__(self, folder: Path, mode: int) -> None:
        folder.mkdir()
        self._folder = folder
        self._mode = mode
        self._written = 0

    def write(self, files: dict[str, str]) -> None:
        """Publish another content of the Secret."""
        before = self._folder / "..data"
        old = before.resolve() if before.is_symlink() else None
        self._written += 1
        new = self._folder / f"..2026_11_25_13_00_{self._written:02}.{self._written}"
        new.mkdir(mode=0o755)
        for name, content in files.items():
            (new / name).write_text(content)
            (new / name).chmod(self._mode)
        turned = self._folder / "..data_tmp"
        turned.symlink_to(new.name)
        turned.rename(before)
        for name in files:
            if not (self._folder / name).is_symlink():
                (self._folder / name).symlink_to(Path("..data") / name)
        if old is not None:
            shutil.rmtree(old)


@pytest.mark.real_time
async def test_kubernetes_secret_volume(tmp_path: Path) -> None:
    """Two publishes through a Secret volume take over under load: every visit counted, nothing refused."""
    spec = recipe("kubernetes")["spec"]
    [volume], [container] = spec["volumes"], spec["containers"]
    assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"]]
    assert not any("subPath" in mount for mount in container["volumeMounts"])
    # YAML 1.2 reads 0440 as decimal; Kubernetes reads YAML 1.1, where it is octal.
    kubelet = Kubelet(tmp_path / "sessionkit", int(str(volume["secret"]["defaultMode"]), 8))
    kubelet.write({"keyring.yaml": text(5, a="active", b="staged")})
    stage = Stage(keyring=tmp_path / "sessionkit" / "keyring.yaml", watch=watch_folder)
    visits = 0

    async def visit_until(generation: int) -> None:
        nonlocal visits
        with anyio.fail_after(30):
            while stage.service.stats()["generation"] != generation:
                visits += 1
                assert await stage.count() == str(visits)
                await anyio.sleep(0.01)

    async with stage.client.lifespan():
        kubelet.write({"keyring.yaml": text(6, a="retired", b="active", c="staged")})
        await visit_until(6)
        visits += 1
        assert await stage.count() == str(visits)
        kubelet.write({"keyring.yaml": text(7, b="active", c="staged")})
        await visit_until(7)
        visits += 1
        assert await stage.count() == str(visits)
    assert stage.log.named("keyring.reload_failed") == []
    assert stage.log.named("session.rejected") == []


def test_kubernetes_default_mode_is_refused(tmp_path: Path) -> None:
    """A Secret volume without ``defaultMode`` is readable by everybody; the error says what to set."""
    Kubelet(tmp_path / "sessionkit", 0o644).write({"keyring.yaml": text(5, a="active", b="staged")})
    with pytest.raises(KeyringError, match="defaultMode: 0440"):
        Keyring.load(tmp_path / "sessionkit" / "keyring.yaml")


def test_systemd_credentials(tmp_path: Path) -> None:
    """A ring in /etc opens with the files ``LoadCredentialEncrypted`` leaves, under the names that the unit gives."""
    names = re.findall(r"^LoadCredentialEncrypted=([\w-]+):", RECIPES["systemd"], re.MULTILINE)
    credentials = tmp_path / "run" / "credentials" / "shop.service"
    credentials.mkdir(parents=True)
    for number, name in enumerate(names):
        (credentials / name).write_text(b64encode(bytes([number]) * 32).decode())
        (credentials / name).chmod(0o400)
    credentials.chmod(0o500)
    path = tmp_path / "keyring.yaml"
    path.write_text(RECIPES["systemd-keyring"].replace("/run/", f"{tmp_path}/run/"))
    assert [key.label for key in Keyring.load(path)] == ["2026-11", "2026-12"]


def test_docker_secrets(tmp_path: Path) -> None:
    """A ring that names files below /run/secrets opens with what Docker mounts: mode 0444, a line break behind."""
    compose = recipe("docker")
    names = compose["services"]["shop"]["secrets"]
    assert set(names) == set(compose["secrets"])
    secrets = tmp_path / "run" / "secrets"
    secrets.mkdir(parents=True)
    for number, name in enumerate(names):
        (secrets / name).write_text(b64encode(bytes([number]) * 32).decode() + "\n")
        (secrets / name).chmod(0o444)
    said = re.search(r"secret: (\{file: .*?\})", RECIPES["docker"])
    assert said is not None
    path = tmp_path / "keyring.yaml"
    entries = {"active": said[1], "staged": said[1].replace(names[0], names[1])}
    lines = [f"  - {{label: {state}, state: {state}, secret: {secret}}}" for state, secret in entries.items()]
    path.write_text("version: 1\nkeys:\n" + "\n".join(lines).replace("/run/", f"{tmp_path}/run/") + "\n")
    assert len(Keyring.load(path)) == len(names)


def test_age(tmp_path: Path) -> None:
    """With age itself: the README's commands make the secrets, its ring loads them, and no plaintext is on disk."""
    host = tmp_path / "host.key"
    subprocess.run(["age-keygen", "--output", str(host)], check=True, capture_output=True)
    recipient = re.search(r"^# public key: (\S+)$", host.read_text(), re.MULTILINE)
    assert recipient is not None
    (tmp_path / "hosts.txt").write_text(recipient[1] + "\n")
    for line in RECIPES["age"].splitlines():
        subprocess.run(["bash", "-euo", "pipefail", "-c", line.removeprefix("$ ")], cwd=tmp_path, check=True)
    path = tmp_path / "keyring.yaml"
    path.write_text(RECIPES["age-keyring"])
    ring = Keyring.load(path)
    assert (len(ring), ring.policy.token_lifetime) == (2, DEFAULT_LIFETIME)
    assert all(file.read_bytes().startswith(b"age-encryption.org/") for file in tmp_path.glob("*.age"))


def test_age_without_its_identity(tmp_path: Path) -> None:
    """Where the host's key is missing, the error names the key's label, the line and the command."""
    path = tmp_path / "keyring.yaml"
    path.write_text(RECIPES["age-keyring"])
    with pytest.raises(KeyringError, match=r"keyring\.yaml:6.*'2026-11'.*age failed with exit status 1"):
        Keyring.load(path)


def _environment(set_: Callable[[str, str], None], **secrets: bytes) -> None:
    for name, secret in secrets.items():
        set_(name, b64encode(secret).decode())


async def test_environment_variables_take_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring that names a variable the process was not started with is refused, named, and taken after a restart."""
    path = tmp_path / "keyring.yaml"
    path.write_text(text(5, a="active:{env: SESSIONKIT_A}", b="staged:{env: SESSIONKIT_B}"))
    _environment(monkeypatch.setenv, SESSIONKIT_A=A, SESSIONKIT_B=B)
    stage = Stage(keyring=path)
    assert await stage.count() == "1"
    path.write_text(
        text(6, a="retired:{env: SESSIONKIT_A}", b="active:{env: SESSIONKIT_B}", c="staged:{env: SESSIONKIT_C}")
    )
    stage.clock.advance(UNWATCHED_INTERVAL)
    assert await stage.count() == "2"
    await until(lambda: stage.service.stats()["reload_failures"] > 0)
    [failed] = stage.log.named("keyring.reload_failed")
    assert (failed["generation"], "SESSIONKIT_C is not set" in str(failed["problem"])) == (5, True)
    _environment(monkeypatch.setenv, SESSIONKIT_C=C)
    restarted = Stage(keyring=path)
    restarted.client.jar = stage.client.jar
    assert await restarted.count() == "3"
    assert restarted.service.stats()["generation"] == 6
