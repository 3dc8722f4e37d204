"""What a model does beside predicting disturbs nobody, and many requests leave nothing behind."""

import random

import psutil
import pytest
import requests

NOISY = """
    import logging, os, sys, threading, warnings

    logging.basicConfig(level=logging.DEBUG, force=True)
    print("imported, and said so")
    print("Ready: http://127.0.0.1:1")
    sys.stderr.write("no line end here")
    os.chdir("/")

    def process_data(d):
        print("x" * 200_000)
        logging.getLogger().warning("a warning of the model's")
        warnings.warn("another", stacklevel=1)
        os.write(1, b"raw bytes \\xff on descriptor 1\\n")
        os.chdir("/")
        sys.stdout = open(os.devnull, "w") if d["x"][0, 0] > 100 else sys.stdout
        return {"y": d["x"].sum(axis=1)}
"""


def test_output_logs_and_changes_of_a_model_do_no_harm(shell, make, tmp_path):
    with shell.serve(make.step(tmp_path / "step", NOISY)) as server:
        for value in (1, 2, 101, 3):
            assert server.outputs([{"x": [value, 0, 0]}]) == [{"y": float(value)}]
        assert server.lines == [f"Ready: {server.url}\n"]
        make.eventually(lambda: "raw bytes" in server.log())
        for text in ("imported, and said so", "no line end here", "a warning of the model's", "another"):
            assert text in server.log()
            # A warning of Python's that was raised while the model was loaded and tried is shown.
            assert (text in server.stderr) == (text == "another")


def open_files(server) -> int:
    return sum(process.num_fds() for process in [server.root, *server.root.children(recursive=True)])


def test_thousands_of_requests_leave_no_open_files_and_no_processes(shell, make, tmp_path):
    drawn = random.Random(7)
    with shell.serve(make.step(tmp_path / "step")) as server:

        def ask(count: int) -> None:
            with requests.Session() as session:
                for index in range(count):
                    value = drawn.randrange(1000)
                    body = [{"x": [value, 0, 1]}] if index % 10 else [{"x": "wrong"}]
                    # Every fourth on a connection of its own.
                    ask_on = session if index % 4 else requests
                    answer = ask_on.post(f"{server.url}/infer?dataset[]=out", json=body, timeout=60)
                    if index % 10:
                        assert answer.json() == [{"out": {"y": float(value + 1)}}]
                    else:
                        assert answer.status_code == 400

        ask(200)
        files, processes = open_files(server), len(server.root.children(recursive=True))
        memory = server.root.memory_info().rss
        ask(2000)
        make.eventually(lambda: open_files(server) <= files + 2)
        assert len(server.root.children(recursive=True)) == processes
        assert server.root.memory_info().rss < memory + 40 * 2**20


@pytest.mark.conformance
def test_a_native_model_keeps_no_memory_and_no_files_either(shell, conformance, make):
    row = {"dense_input": [0.5] * 29}
    with shell.serve(conformance / "onnx" / "ccfraud.onnx") as server, requests.Session() as session:

        def ask(count: int) -> None:
            for _ in range(count):
                assert session.post(f"{server.url}/infer", json=[row], timeout=60).status_code == 200

        ask(200)
        files, memory = open_files(server), server.root.memory_info().rss
        ask(2000)
        assert open_files(server) <= files + 2
        assert server.root.memory_info().rss < memory + 40 * 2**20
        assert psutil.Process(server.process.pid).children() == []
