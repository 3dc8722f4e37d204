"""A worker that dies or hangs fails what it had in hand, with the reason, and nothing else."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

# `how` is what the row asks the model to do to itself.
DOOMED = """
    import ctypes, logging, os, signal, sys, threading, time

    def process_data(d):
        for how, value in zip(d["how"], d["x"]):
            print("asked for", how, flush=True)
            if how == "sleep":
                time.sleep(value)
            elif how == "spin":
                while True:
                    pass
            elif how == "deadlock":
                lock = threading.Lock()
                lock.acquire()
                lock.acquire()
            elif how == "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            elif how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            elif how == "term":
                os.kill(os.getpid(), signal.SIGABRT)
            elif how == "segfault":
                ctypes.string_at(0)
            elif how == "_exit":
                os._exit(3)
            elif how == "_exit 0":
                os._exit(0)
            elif how == "sys.exit":
                sys.exit("done here")
            elif how == "interrupt":
                raise KeyboardInterrupt
            elif how == "eat":
                eaten = bytearray(int(value))
            elif how == "open":
                files = [open("/dev/null") for _ in range(int(value))]
            elif how == "fork":
                import subprocess
                subprocess.Popen(["sleep", "1000"], start_new_session=True)
            elif how == "raise":
                raise ValueError("no such value")
        return {"y": d["x"]}
"""
SETTINGS = {"input_schema": "how: string; x: float64", "output_schema": "y: float64"}


@pytest.fixture
def doomed(shell, make, tmp_path):
    def serve(*flags, **settings):
        return shell.serve(make.step(tmp_path / "doomed", DOOMED, **SETTINGS | settings), *flags)

    return serve


def ask(server, how: str, x: float = 0.0):
    return server.post([{"how": how, "x": x}])


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("kill", "killed by SIGKILL (signal 9)"),
        ("term", "killed by SIGABRT (signal 6)"),
        ("segfault", "killed by SIGSEGV (signal 11)"),
        ("_exit", "exit code 3"),
        ("_exit 0", "exit code 0"),
    ],
)
def test_a_request_that_ends_its_worker_gets_the_reason_and_others_answers(doomed, how, said):
    with doomed() as server:
        answer = ask(server, how)
        assert (answer.status_code, answer.json()["reason"]) == (503, "worker_died"), answer.text
        assert said in answer.json()["error"]
        assert f"asked for {how}" not in answer.text
        assert f"asked for {how}" in server.log()
        assert answer.json()["fix"]
        assert answer.headers["retry-after"]
        assert server.outputs([{"how": "answer", "x": 4.0}]) == [{"y": 4.0}]
        assert 'trivet_worker_exits_total{pipeline="step"} 1.0' in server.get("/metrics").text


@pytest.mark.parametrize(("how", "error"), [("sys.exit", "SystemExit"), ("interrupt", "KeyboardInterrupt")])
def test_sys_exit_is_an_error_of_the_model_and_not_the_end_of_its_worker(doomed, how, error):
    with doomed() as server:
        before = [process.pid for process in server.model_processes()]
        answer = ask(server, how)
        assert (answer.status_code, answer.json()["reason"]) == (500, "model_error")
        assert error in answer.json()["error"]
        assert [process.pid for process in server.model_processes()] == before


def test_limits_from_the_settings_hold(doomed):
    with doomed(resources={"memory": "1Gi", "open_files": 128}) as server:
        answer = ask(server, "eat", 2**31)
        assert (answer.status_code, answer.json()["reason"]) == (500, "model_error")
        assert "MemoryError" in answer.json()["error"]
        answer = ask(server, "open", 500)
        assert "Too many open files" in answer.json()["error"]
        assert ask(server, "eat", 1000).status_code == ask(server, "open", 5).status_code == 200


@pytest.mark.parametrize("how", ["sleep", "spin", "deadlock", "stop"])
def test_a_call_that_hangs_is_cut_at_its_deadline_and_the_worker_replaced(doomed, make, how):
    with doomed("--timeout", "3") as server:
        before = [process.pid for process in server.model_processes()]
        answer = ask(server, how, 1000.0)
        assert (answer.status_code, answer.json()["reason"]) == (504, "deadline_exceeded")
        assert "no answer within 3 s" in answer.json()["error"]
        assert answer.json()["fix"]
        # On a busy machine the next worker may need longer to start than a request may wait.
        make.eventually(lambda: ask(server, "answer", 4.0).status_code == 200)
        after = [process.pid for process in server.model_processes()]
        assert len(after) == 1
        assert set(before).isdisjoint(after)


def test_a_worker_killed_under_load_fails_only_what_it_had_in_hand(doomed, make):
    asked = [float(number) for number in range(400)]
    with doomed("--workers", "2", "--batch-config", "single") as server:
        victim = server.model_processes()[0]

        def one(number: float):
            if number == 100:
                victim.send_signal(signal.SIGKILL)
            return number, server.post([{"how": "answer", "x": number}])

        with ThreadPoolExecutor(16) as clients:
            answers = list(clients.map(one, asked))
        failed = [(number, answer) for number, answer in answers if answer.status_code != 200]
        # One call at a time, so one request at most was in the dead worker's hands.
        assert len(failed) <= 1
        for _, answer in failed:
            assert (answer.status_code, answer.json()["reason"]) == (503, "worker_died")
            assert "killed by SIGKILL (signal 9)" in answer.json()["error"]
        for number, answer in answers:
            if answer.status_code == 200:
                assert [row["out"] for row in answer.json()] == [{"y": number}]
        assert server.is_ready()
        make.eventually(lambda: len(server.model_processes()) == 2)


def test_requests_of_a_lost_call_get_an_error_and_waiting_ones_answers(doomed, make):
    with doomed() as server, ThreadPoolExecutor(8) as clients:
        first = clients.submit(ask, server, "sleep", 30.0)
        make.eventually(lambda: "asked for sleep" in server.log())
        waiting = [clients.submit(ask, server, "answer", float(number)) for number in range(5)]
        make.eventually(lambda: 'trivet_requests_in_flight{pipeline="step"} 6.0' in server.get("/metrics").text)
        server.model_processes()[0].send_signal(signal.SIGKILL)
        lost = first.result()
        assert (lost.status_code, lost.json()["reason"]) == (503, "worker_died")
        assert "killed by SIGKILL (signal 9)" in lost.json()["error"]
        for number, answer in enumerate(waiting):
            assert answer.result().json()[0]["out"] == {"y": float(number)}


def test_while_there_is_no_worker_the_server_is_not_ready(doomed, make):
    with doomed() as server:
        assert server.is_ready()
        server.model_processes()[0].send_signal(signal.SIGKILL)
        not_ready = make.eventually(
            lambda: [page.json() for page in [server.get("/readyz")] if page.status_code == 503]
        )
        assert not_ready[0]["reason"] in {"unavailable", "worker_died"}
        assert server.get("/healthz").status_code == 200
        make.eventually(server.is_ready)
        assert server.outputs([{"how": "answer", "x": 1.0}]) == [{"y": 1.0}]


def test_a_guardian_that_is_killed_takes_its_model_with_it(doomed, make):
    with doomed() as server:
        guardian = server.root.children()[0]
        model = server.model_processes()[0]
        guardian.send_signal(signal.SIGKILL)
        make.eventually(lambda: not model.is_running())
        assert server.outputs([{"how": "answer", "x": 1.0}]) == [{"y": 1.0}]


def test_programs_that_a_model_started_end_with_it(doomed, make):
    with doomed() as server:
        assert ask(server, "fork").status_code == 200
        program = make.eventually(server.model_processes()[0].children)[0]
        assert program.name() == "sleep"
        assert ask(server, "_exit").status_code == 503
        make.eventually(lambda: not program.is_running())


def test_a_model_that_stops_loading_is_retried_with_back_off_and_recovers(shell, make, tmp_path, flag_file):
    code = f"""
        import os, pathlib
        print("one more start", flush=True)
        if pathlib.Path({str(flag_file)!r}).exists():
            os._exit(9)
        def process_data(d):
            return {{"y": d["x"].sum(axis=1)}}
    """
    with shell.serve(make.step(tmp_path / "step", code), "--timeout", "1") as server:
        flag_file.touch()
        server.model_processes()[0].send_signal(signal.SIGKILL)
        make.eventually(lambda: server.log().count("one more start") >= 4)
        begun = time.monotonic()
        page = server.get("/readyz")
        assert (page.status_code, page.json()["status"]) == (503, "not ready")
        answer = server.post([{"x": [1, 2, 3]}])
        assert answer.status_code in {503, 504}
        assert server.get("/healthz").status_code == 200
        # The pauses double from 0.1 s on: a loop without them starts several times a second.
        assert server.log().count("one more start") <= 5 + (time.monotonic() - begun) / 0.8
        flag_file.unlink()
        make.eventually(server.is_ready)
        assert server.outputs([{"x": [1, 2, 3]}]) == [{"y": 6.0}]


def test_an_exception_in_the_model_is_reported_and_its_worker_stays(doomed):
    with doomed() as server:
        before = [process.pid for process in server.model_processes()]
        answer = ask(server, "raise")
        assert (answer.status_code, answer.json()["reason"]) == (500, "model_error")
        assert answer.json()["error"] == "ValueError: no such value"
        assert "Traceback" in server.log()
        assert [process.pid for process in server.model_processes()] == before
