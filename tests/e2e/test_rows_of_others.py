"""The answers to a request do not depend on the requests that arrive with it."""

import socket
import textwrap
from contextlib import ExitStack
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

CLIENTS, ROUNDS = 40, 5
BODY = b'[{"score": [0.0]}, {"score": [0.0]}]'
REQUEST = (
    b"POST /infer?dataset[]=out HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    % len(BODY)
)
SOFTMAX_STEP = """
import numpy as np

def process_data(input_data):
    powers = np.exp(input_data["score"])
    return {"share": powers / powers.sum()}
"""


def write_softmax(folder: Path) -> Path:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Softmax", ["score"], ["share"], axis=0)],
        "softmax over the rows of a request",
        [value("score", TensorProto.FLOAT, ["candidates", 1])],
        [value("share", TensorProto.FLOAT, ["candidates", 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, folder / "ranking.onnx")
    return folder / "ranking.onnx"


def write_step(folder: Path) -> Path:
    folder = folder / "step"
    folder.mkdir()
    (folder / "step.py").write_text(textwrap.dedent(SOFTMAX_STEP))
    (folder / "trivet.yaml").write_text("input_schema: 'score: float32[1]'\noutput_schema: 'share: float32[1]'\n")
    return folder


def answers_to_many(port: int) -> set[str]:
    """The different answers to the same request from many clients at once."""
    found = set()
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 60)) for _ in range(CLIENTS)]
        for _ in range(ROUNDS):
            for client in clients:
                client.sendall(REQUEST + BODY)
            for client in clients:
                answer = b""
                while not answer.endswith(b"}]"):
                    got = client.recv(4096)
                    assert got, answer
                    answer += got
                found.add(answer.partition(b"\r\n\r\n")[2].decode())
    return found


@pytest.mark.parametrize("write", [write_softmax, write_step], ids=["native", "in a worker"])
def test_requests_that_arrive_together_do_not_change_each_other(shell, tmp_path, write):
    with shell.serve(write(tmp_path)) as server:
        assert "note: requests do not share calls: the answer to a row changes with the rows beside it" in server.stderr
        (answer,) = answers_to_many(server.port)
        assert answer.count('"share":[0.5]') == 2


def test_check_says_what_is_a_call_and_why(shell, tmp_path):
    path = write_softmax(tmp_path)
    found = "batching: whole: the answer to a row changes with the rows beside it: 'share' is [1.] and "
    assert found in shell.run("check", path).stdout
    assert "batching: joined: its configuration says so" in shell.run("check", path, "--batch-config", "joined").stdout
