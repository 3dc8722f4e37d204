"""`trivet up`, `trivet down`, and what is left behind however they end."""

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from trivet.disk.processes import started_at
from trivet.domain.encoding import encode
from trivet.domain.routes import WorkerAddress
from trivet.workers.records import WorkerRecord, handle_of
from trivet_tests import old_kernel
from trivet_tests.waiting import eventually

TRIVET = Path(sys.executable).with_name("trivet")


def trivet(*words: str | Path, home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TRIVET, *words, "--home", home],
        env={**os.environ, **environ}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def gone(pids: list[int], *, within_s: float = 60.0) -> bool:
    deadline = time.monotonic() + within_s
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_detached_platform_is_ready_on_return_and_ends_with_down(free_home: Path):
    said = trivet("up", "--port", "0", "--http-port", "0", "--detach", home=free_home)
    try:
        assert said.returncode == 0, said.stderr
        info = json.loads((free_home / "run" / "platform.json").read_text())
        assert said.stdout == f"Ready: {info['control_url']} (control), {info['infer_url']} (predictions)\n"
        assert "sandbox: models " in said.stderr
        assert requests.get(info["control_url"] + "/readyz", timeout=60).status_code == 200
        assert requests.get(info["infer_url"] + "/readyz", timeout=60).status_code == 200
    finally:
        ended = trivet("down", home=free_home)
    assert (ended.returncode, ended.stdout) == (0, "Stopped.\n")
    assert gone([info["pid"]])
    assert trivet("down", home=free_home).stdout == f"Nothing runs from {free_home}.\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_detached_start_that_is_broken_off_leaves_nothing_running(free_home: Path, number: signal.Signals):
    def of_this_home() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("TRIVET_HOME") == str(free_home):
                    found.append(process)
        return found

    with subprocess.Popen(
        [TRIVET, "up", "--detach", "--home", free_home, "--port", "0", "--http-port", "0"], stderr=subprocess.PIPE
    ) as starting:
        deadline = time.monotonic() + 60
        while not of_this_home():
            assert starting.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        starting.send_signal(number)
        _, said = starting.communicate(timeout=60)
    assert starting.returncode not in {0, 1}
    assert b"Traceback" not in said
    assert not psutil.wait_procs(of_this_home(), timeout=30)[1]


def test_a_second_platform_in_the_same_home_is_refused_and_harms_nothing(shared_platform: Any):
    said = trivet("up", "--port", "0", "--http-port", "0", home=shared_platform.home)
    assert said.returncode == 1
    assert "a platform already runs from" in said.stderr
    assert "trivet down" in said.stderr
    assert requests.get(shared_platform.control_url + "/readyz", timeout=60).status_code == 200


def test_a_port_that_is_taken_is_named(shared_platform: Any, tmp_path: Path):
    port = shared_platform.infer_url.rpartition(":")[2]
    said = trivet("up", "--port", "0", "--http-port", port, home=tmp_path / "other")
    assert said.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in said.stderr
    assert "--http-port" in said.stderr


def test_it_does_not_listen_beyond_loopback_without_tls(tmp_path: Path):
    said = trivet("up", "--host", "0.0.0.0", "--port", "0", "--http-port", "0", home=tmp_path / "home")
    assert said.returncode == 1
    assert "without encryption" in said.stderr
    assert "--tls-cert" in said.stderr


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Of this machine, signed by itself."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    try:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert),
            ],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        pytest.skip("no openssl that makes a certificate")
    return cert, key


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_certificate_and_token_are_renewed_without_a_restart(
    platform_in: Callable[..., Any], certificate: tuple[Path, Path], tmp_path: Path
):
    old = Path(shutil.copy(certificate[0], tmp_path / "old.pem"))
    (tmp_path / "new").mkdir()
    new = make_certificate(tmp_path / "new")
    cert, key = (Path(shutil.copy(path, tmp_path / path.name)) for path in certificate)
    # Beyond loopback the gateway asks for the token as well.
    platform = platform_in(TRIVET_HOST="0.0.0.0", TRIVET_TLS_CERT=str(cert), TRIVET_TLS_KEY=str(key)).start()
    urls = [f"https://127.0.0.1:{url.rpartition(':')[2]}" for url in (platform.control_url, platform.infer_url)]

    def status(url: str, trusted: Path, token: str) -> int | None:
        headers = {"Authorization": f"Bearer {token}"}
        try:
            return requests.get(f"{url}/models", headers=headers, verify=str(trusted), timeout=60).status_code
        except requests.exceptions.SSLError:
            return None

    token = platform.token
    assert [status(url, old, token) for url in urls] == [404, 200]
    shutil.copy(new[0], cert)
    said = platform.trivet_process("reload")
    assert (said.returncode, said.stdout) == (1, "")
    assert f"the key in {key} does not belong to the certificate in {cert}" in said.stderr
    # A process that starts meanwhile has the certificate that was used before.
    platform.kill_role("gateway")
    eventually(lambda: requests.get(urls[0] + "/readyz", verify=str(old), timeout=60).ok, platform.log)
    assert [status(url, old, token) for url in urls] == [404, 200]
    # Once both files are there they are used, without a command.
    shutil.copy(new[1], key)
    eventually(lambda: [status(url, new[0], token) for url in urls] == [404, 200], platform.log)
    assert [status(url, old, token) for url in urls] == [None, None]
    (platform.home / "token").write_text("another-token-of-this-owner")
    said = platform.trivet_process("reload")
    assert (said.returncode, said.stdout) == (0, "Reloaded: certificate and token.\n"), said.stderr
    eventually(lambda: [status(url, new[0], token) for url in urls] == [401, 401], platform.log)
    assert [status(url, new[0], platform.token) for url in urls] == [404, 200]


@pytest.mark.parametrize(("words", "folder"), [((), "run"), (("--detach",), "logs")])
def test_a_home_that_is_not_writable_is_refused_at_the_start(tmp_path: Path, words: tuple[str, ...], folder: str):
    # Where a folder must be, there is a file; the user of the tests may write to read-only folders.
    (tmp_path / folder).touch()
    said = trivet("up", *words, "--port", "0", "--http-port", "0", home=tmp_path)
    assert (said.returncode, "Traceback" in said.stderr) == (1, False)
    assert f"error: {tmp_path} cannot be read from or written to: File exists\n  fix " in said.stderr


@pytest.mark.parametrize(
    ("sandbox", "message"),
    [
        ("off", "No space left in {home}: File too large\n  fix free some space there"),
        # It is tried in the system's temporary folder.
        ("on", "cannot be read from or written to: No usable temporary directory found"),
    ],
)
def test_a_full_disk_is_named_at_the_start(tmp_path: Path, sandbox: str, message: str):
    # No file may grow: as on a full disk, folders can be made and files not written.
    full = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); os.execv(sys.argv[1], sys.argv[1:])"
    home = tmp_path / "home"
    said = subprocess.run(
        [sys.executable, "-c", full, TRIVET, "up", "--home", home, "--port", "0", "--http-port", "0"],
        env={**os.environ, "TRIVET_SANDBOX": sandbox},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (said.returncode, "Traceback" in said.stderr) == (1, False)
    assert message.format(home=home) in said.stderr


def test_a_certificate_that_cannot_be_served_is_refused_at_the_start(tmp_path: Path, certificate: tuple[Path, Path]):
    (tmp_path / "other").mkdir()
    _, key = make_certificate(tmp_path / "other")
    home = tmp_path / "home"
    words = ("--tls-cert", certificate[0], "--tls-key", key, "--port", "0", "--http-port", "0")
    said = trivet("up", *words, home=home)
    assert said.returncode == 1
    assert f"error: the key in {key} does not belong to the certificate in {certificate[0]}\n" in said.stderr
    assert trivet("reload", home=home).stderr == f"error: no platform runs from {home}\n  fix start it: `trivet up`\n"


def test_beyond_loopback_both_listeners_speak_tls_and_want_the_token(
    platform_in: Callable[..., Any], certificate: tuple[Path, Path], times: Any
):
    cert, key = map(str, certificate)
    platform = platform_in(TRIVET_HOST="0.0.0.0", TRIVET_TLS_CERT=cert, TRIVET_TLS_KEY=key).start()
    ports = [url.rpartition(":")[2] for url in (platform.control_url, platform.infer_url)]
    control, gateway = (f"https://127.0.0.1:{port}" for port in ports)
    assert platform.control_url.startswith("https://")
    assert requests.get(f"{control}/v1/models", verify=cert, timeout=60).status_code == 401
    assert requests.get(f"{control}/v1/models", headers=platform.headers, verify=cert, timeout=60).status_code == 200
    assert requests.post(f"{gateway}/pipelines/none/infer", json=[{}], verify=cert, timeout=60).status_code == 401
    asked = requests.post(
        f"{gateway}/pipelines/none/infer", json=[{}], headers=platform.headers, verify=cert, timeout=10
    )
    assert asked.status_code == 404
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{ports[0]}/healthz", timeout=60)
    here = {"TRIVET_URL": control, "TRIVET_TOKEN": platform.token}
    assert "cannot be reached" in platform.trivet_process("models", **here).stderr
    assert platform.trivet_process("models", SSL_CERT_FILE=cert, **here).stdout == "(no models)\n"
    assert "holds no certificates" in platform.trivet_process("models", SSL_CERT_FILE=key, **here).stderr
    # Clients that keep an idle connection do not hold up the end: TLS would wait half a minute for each one's goodbye.
    with requests.Session() as asking:
        for url in (control, gateway):
            assert asking.get(f"{url}/healthz", headers=platform.headers, verify=cert, timeout=60).status_code == 200
        platform.process.send_signal(signal.SIGTERM)
        assert platform.process.wait(timeout=60) == 0, platform.log()


def test_the_home_and_the_token_are_their_owners_alone(shared_platform: Any):
    assert stat.S_IMODE(shared_platform.home.stat().st_mode) == 0o700
    assert stat.S_IMODE((shared_platform.home / "token").stat().st_mode) == 0o600
    for path in (shared_platform.home / "run").glob("*.sock"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_no_secret_is_in_an_argument_list_or_a_log(platform_in: Callable[..., Any], free_home: Path):
    database = f"sqlite:///{free_home}/catalog-xyzzy.db"
    platform = platform_in(TRIVET_DATABASE_URL=database, TRIVET_TOKEN="plugh-plugh-plugh-plugh").start()
    shown = [word for process in platform.processes() for word in process.cmdline()]
    assert not [word for word in shown if "xyzzy" in word or "plugh" in word]
    assert requests.get(platform.control_url + "/v1/models", timeout=60).status_code == 401
    known = {"Authorization": "Bearer plugh-plugh-plugh-plugh"}
    assert requests.get(platform.control_url + "/v1/models", headers=known, timeout=60).status_code == 200
    assert "plugh" not in platform.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_however_the_platform_ends_no_process_is_left(
    platform_in: Callable[..., Any], number: signal.Signals, step_times: Any, step_schema: Any
):
    platform = platform_in().start()
    step = platform.upload(
        "step", step_times(7), framework="python", input_schema=step_schema, output_schema=step_schema
    )
    platform.deploy("steps", step)
    pids = [process.pid for process in platform.processes()]
    assert len(pids) >= 5
    platform.process.send_signal(number)
    code = platform.process.wait(timeout=60)
    assert code == (-number if number == signal.SIGKILL else 0), platform.log()
    assert gone(pids)


def test_a_platform_whose_run_folder_is_removed_ends_with_the_reason(platform_in: Callable[..., Any], free_home: Path):
    platform = platform_in().start()
    pids = [process.pid for process in platform.processes()]
    shutil.rmtree(free_home / "run")
    assert platform.process.wait(timeout=60) == 1, platform.log()
    assert f"error: {free_home / 'run'} was removed while the platform ran from it" in platform.log()
    assert "start the platform again: `trivet up`" in platform.log()
    assert "Traceback" not in platform.log()
    assert gone(pids)
    assert platform.start().stop() == 0


@pytest.fixture(scope="module")
def triple(shared_platform: Any, times: Callable[[float], Path]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two versions of the shared platform, which answer three and four times their input."""
    return shared_platform.upload("triple", times(3)), shared_platform.upload("triple", times(4))


def answers(platform: Any, pipeline: str, factor: float) -> None:
    # A request that comes while the gateway starts again waits for it.
    answer = platform.infer(pipeline, [{"x": [1.0, 2.0]}])
    assert answer.status_code == 200, answer.text
    assert answer.json()[0]["out"]["y"] == [factor, 2 * factor]


@pytest.mark.parametrize("role", ["control", "supervisor", "gateway"])
def test_a_process_that_is_killed_is_started_again_and_predictions_go_on(
    shared_platform: Any, triple: tuple[dict[str, Any], dict[str, Any]], times: Callable[[float], Path], role: str
):
    platform, pipeline = shared_platform, f"without-{role}"
    platform.deploy(pipeline, triple[0])
    before = platform.kill_role(role)
    answers(platform, pipeline, 3.0)

    def is_back() -> bool:
        with contextlib.suppress(LookupError, requests.RequestException):
            return platform.pid(role) != before and requests.get(platform.control_url + "/readyz", timeout=60).ok
        return False

    eventually(is_back, platform.log)
    uploaded = platform.upload(f"after-{role}", times(4))
    assert platform.deploy(pipeline, uploaded)["status"]["state"] == "Running"
    answers(platform, pipeline, 4.0)


@pytest.mark.usefixtures("own_environments")
def test_what_was_deployed_is_back_after_the_platform_was_killed(
    platform_in: Callable[..., Any], times: Any, step_times: Any, step_schema: Any, free_home: Path
):
    platform = platform_in().start()
    step = platform.upload(
        "step", step_times(7), framework="python", input_schema=step_schema, output_schema=step_schema
    )
    deployed = platform.deploy("both", step, platform.upload("triple", times(3)))
    environments = {path: path.stat().st_mtime for path in (free_home / "envs" / "environments").iterdir()}
    platform.kill()
    platform.start()
    deadline = time.monotonic() + 60
    while (answer := platform.infer("both", [{"x": [1.0, 2.0]}])).status_code != 200:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)
    assert answer.json()[0]["out"]["y"] == [21.0, 42.0]
    assert platform.call("GET", "/v1/pipelines/both/deployment")["deployment"]["id"] == deployed["id"]
    assert {path: path.stat().st_mtime for path in (free_home / "envs" / "environments").iterdir()} == environments


def test_processes_restart_without_a_database_and_recover_when_it_is_back(
    shared_platform: Any, triple: tuple[dict[str, Any], dict[str, Any]]
):
    platform, home = shared_platform, shared_platform.home
    platform.deploy("patient", triple[0])
    away = home / "away"
    away.mkdir()
    for path in home.glob("catalog.db*"):
        path.rename(away / path.name)
    (home / "catalog.db").mkdir()
    for role in ("control", "supervisor"):
        platform.kill_role(role)

    def is_without() -> bool:
        with contextlib.suppress(requests.RequestException):
            models = requests.get(platform.control_url + "/v1/models", headers=platform.headers, timeout=60)
            return models.status_code == 503
        return False

    eventually(is_without, platform.log)
    assert "database" in requests.get(platform.control_url + "/readyz", timeout=60).text
    pids = {role: platform.pid(role) for role in ("control", "supervisor")}
    answers(platform, "patient", 3.0)
    time.sleep(2)
    assert {role: platform.pid(role) for role in pids} == pids
    (home / "catalog.db").rmdir()
    for path in away.iterdir():
        path.rename(home / path.name)
    eventually(lambda: requests.get(platform.control_url + "/readyz", timeout=60).ok, platform.log)
    assert platform.deploy("patient", triple[1])["status"]["state"] == "Running"
    answers(platform, "patient", 4.0)


def record_of_worker(process: subprocess.Popen[bytes]) -> bytes:
    """What a supervisor writes down about a worker, for a process that is none of the catalog's."""
    worker = WorkerAddress(
        id="0" * 16,
        location="grpc+unix:///nowhere/s",
        handle=handle_of(process.pid, started_at(process.pid) or 0),
        token="0" * 64,
        ca="",
    )
    record = WorkerRecord(
        worker=worker, model_pid=process.pid, fleet="99-0", name="m", log="/dev/null", log_start=0, folder="/nowhere"
    )
    return encode(record)


@pytest.mark.slow
def test_a_copied_home_leaves_the_workers_of_the_first_one_alone(free_home: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    sleeps = [sys.executable, "-c", "import time; time.sleep(1000)"]

    def up_and_down(home: Path) -> None:
        said = trivet("up", "--port", "0", "--http-port", "0", "--detach", home=home)
        ended = trivet("down", home=home)
        assert (said.returncode, ended.returncode) == (0, 0), said.stderr

    with subprocess.Popen(sleeps, start_new_session=True) as worker:
        try:
            up_and_down(free_home)
            record = free_home / "run" / "workers" / "0.json"
            record.parent.mkdir(exist_ok=True)
            record.write_bytes(record_of_worker(worker))
            subprocess.run(["cp", "-a", free_home, copy], check=True)
            up_and_down(copy)
            assert worker.poll() is None
            assert record.exists()
            up_and_down(free_home)
            assert worker.wait(60) < 0  # a home adopts its own workers, and ends those that nothing needs
        finally:
            worker.kill()


def test_a_required_sandbox_that_is_missing_refuses_the_start(free_home: Path):
    old = subprocess.run(
        [sys.executable, old_kernel.__file__, TRIVET, "up", "--port", "0", "--http-port", "0"],
        env={**os.environ, "TRIVET_HOME": str(free_home), "TRIVET_SANDBOX": "required"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (old.returncode, old.stdout) == (1, "")
    assert "TRIVET_SANDBOX is `required`, and this kernel has no Landlock" in old.stderr
    assert not (free_home / "run").exists()
