"""Every way in which a server ends: what it still answers, its exit code, and that nothing is left of it."""

import contextlib
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import requests

SLEEPER = """
    import time

    def process_data(d):
        print("sleeping", flush=True)
        time.sleep(float(d["x"].max()))
        return {"y": d["x"].sum(axis=1)}
"""
LOADING = """
    import subprocess, time
    program = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    print("loading now", flush=True)
    time.sleep(1000)

    def process_data(d):
        return {"y": d["x"].sum(axis=1)}
"""


def calls(server) -> int:
    """How often the model was called; the first is the row of zeros before it is ready."""
    return server.log().count("sleeping\n")


def listens(server) -> bool:
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def everything_of(server) -> list[psutil.Process]:
    return [server.root, *server.root.children(recursive=True)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_flight_finish_and_the_exit_code_is_0(shell, make, tmp_path, number):
    with (
        shell.serve(make.step(tmp_path / "step", SLEEPER, batching="joined")) as server,
        ThreadPoolExecutor(8) as clients,
    ):
        # Two calls: one in the model's hands and what waits for the next.
        sent = [clients.submit(server.post, [{"x": [1, 0, 0]}])]
        make.eventually(lambda: calls(server) == 2)
        sent += [clients.submit(server.post, [{"x": [1, 0, index]}]) for index in (0, 0, 1)]
        make.eventually(lambda: 'trivet_requests_in_flight{pipeline="step"} 4.0' in server.get("/metrics").text)
        began = time.monotonic()
        server.signal(number)
        assert [answer.result().status_code for answer in sent] == [200] * 4
        assert server.wait() == 0
        assert time.monotonic() - began < 15
        with pytest.raises(requests.ConnectionError):
            server.get("/healthz")


def test_idle_connections_do_not_hold_up_a_stop(shell, make, tmp_path):
    with shell.serve(make.step(tmp_path / "step")) as server, requests.Session() as session:
        assert session.get(f"{server.url}/healthz", timeout=10).status_code == 200
        with socket.create_connection(("127.0.0.1", server.port)):
            began = time.monotonic()
            server.signal(signal.SIGTERM)
            assert server.wait() == 0
            assert time.monotonic() - began < 10


def test_a_second_signal_cuts_what_is_in_flight(shell, make, tmp_path):
    with (
        shell.serve(make.step(tmp_path / "step", SLEEPER, batching="joined")) as server,
        ThreadPoolExecutor(1) as client,
    ):
        sent = client.submit(server.post, [{"x": [1000, 0, 0]}])
        make.eventually(lambda: calls(server) == 2)
        server.signal(signal.SIGTERM)
        make.eventually(lambda: not listens(server))
        assert server.process.poll() is None
        server.signal(signal.SIGTERM)
        assert server.wait(within_s=15) == 0
        with contextlib.suppress(requests.ConnectionError):
            assert sent.result().status_code == 503


def test_a_stop_waits_for_a_request_only_as_long_as_it_may(shell, make, tmp_path):
    step = make.step(tmp_path / "step", SLEEPER, batching="joined")
    with shell.serve(step, TRIVET_DRAIN_S="1") as server, ThreadPoolExecutor(1) as client:
        sent = client.submit(server.post, [{"x": [1000, 0, 0]}])
        make.eventually(lambda: calls(server) == 2)
        server.signal(signal.SIGTERM)
        assert server.wait(within_s=15) == 0
        with contextlib.suppress(requests.ConnectionError):
            assert sent.result().status_code == 503


def test_a_stopping_server_reports_not_ready_and_still_answers(shell, make, tmp_path):
    with shell.serve(make.step(tmp_path / "step"), TRIVET_STOP_DELAY_S="2") as server:
        server.signal(signal.SIGTERM)
        make.eventually(lambda: server.get("/readyz").status_code == 503)
        assert server.get("/readyz").json() == {"status": "stopping"}
        assert server.post([{"x": [1, 2, 3]}]).status_code == 200
        assert server.wait() == 0


def test_a_stop_while_a_worker_is_being_replaced_leaves_nothing(shell, make, tmp_path):
    with shell.serve(make.step(tmp_path / "step", SLEEPER, batching="joined"), "--workers", "2") as server:
        for process in server.model_processes():
            process.send_signal(signal.SIGKILL)
        make.eventually(lambda: not server.is_ready())
        server.signal(signal.SIGTERM)
        assert server.wait(within_s=15) == 0


def test_a_killed_server_leaves_no_process_and_no_folder(shell, make, tmp_path):
    with (
        shell.serve(make.step(tmp_path / "step", SLEEPER, batching="joined"), "--workers", "2") as server,
        ThreadPoolExecutor(1) as client,
    ):
        sent = client.submit(server.post, [{"x": [1000, 0, 0]}])
        make.eventually(lambda: calls(server) == 2)
        processes = everything_of(server)
        assert len(processes) == 7
        server.process.kill()
        assert server.wait() == -signal.SIGKILL
        psutil.wait_procs(processes[1:], timeout=15)
        assert not any(process.is_running() for process in processes)
        server.assert_nothing_left()
        with pytest.raises(requests.ConnectionError):
            sent.result()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_server_that_ends_while_its_model_loads_leaves_nothing(shell, make, tmp_path, number):
    with shell.start(make.step(tmp_path / "step", LOADING)) as server:
        make.eventually(lambda: "loading now" in server.log())
        processes = everything_of(server)
        server.signal(number)
        assert server.wait(within_s=15) == (-signal.SIGKILL if number == signal.SIGKILL else 0)
        assert server.lines == []
        psutil.wait_procs(processes, timeout=15)
        assert not any(process.is_running() for process in processes)
        server.assert_nothing_left()


def test_a_model_that_never_loads_is_given_up(shell, make, tmp_path):
    ended = shell.run("check", make.step(tmp_path / "step", LOADING), TRIVET_LOAD_TIMEOUT_S="1.5")
    assert ended.code == 1
    assert "the worker of step was not ready within 1.5 s" in ended.stderr
    assert "loading now" in ended.stderr
    assert "\n  fix " in ended.stderr


def test_the_next_server_works_after_any_end(shell, make, tmp_path):
    step = make.step(tmp_path / "step")
    with shell.serve(step) as server:
        server.process.kill()
        server.wait()
    with shell.serve(step) as server:
        assert server.outputs([{"x": [1, 2, 3]}]) == [{"y": 6.0}]
