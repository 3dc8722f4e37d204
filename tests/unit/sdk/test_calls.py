"""Single calls: paths, errors that come back as errors, what is asked again and what is not."""

import json
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trivet.errors
from trivet.errors import Internal, Invalid, ModelUploadError, NotFound, TrivetError, Unavailable
from trivet.sdk import operations, uploads
from trivet.sdk.calls import Reply, SyncDriver, checked, document


def refusal(status, **body):
    return Reply(status=status, content=json.dumps({"code": status, "status": "error", **body}).encode())


def test_an_error_of_the_platform_is_the_same_error_here():
    said = {
        "error": "this: that", "what": "this", "why": "that", "fix": "mend it", "path": "steps[0]", "reason": "odd",
        "class": "Conflict",
    }  # fmt: skip
    with pytest.raises(trivet.errors.Conflict) as caught:
        checked(refusal(409, **said))
    error = caught.value
    assert (error.what, error.why, error.fix, error.path, error.reason) == (
        "this",
        "that",
        "mend it",
        "steps[0]",
        "odd",
    )


NOT_RAISED = {"Kind", "TrivetError", "UNSAFE_CHARACTERS", "visible"}


@pytest.mark.parametrize("name", [name for name in trivet.errors.__all__ if name not in NOT_RAISED])
def test_every_kind_of_error_comes_back_as_itself(name):
    with pytest.raises(getattr(trivet.errors, name), match="what it is"):
        checked(refusal(400, what="what it is", **{"class": name}))


def test_a_class_that_is_not_an_error_is_not_raised():
    with pytest.raises(NotFound):
        checked(refusal(404, what="gone", **{"class": "StrEnum"}))


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'"text"', b"\xff"])
def test_an_answer_of_something_else_in_between_is_an_error_all_the_same(content):
    with pytest.raises(Unavailable, match="status 503"):
        checked(Reply(status=503, content=content))


def test_a_redirection_is_not_a_success():
    with pytest.raises(TrivetError, match="status 307"):
        document(Reply(status=307))


def test_an_answer_that_is_not_json_is_an_internal_error():
    with pytest.raises(Internal, match="answer is not JSON"):
        document(Reply(status=200, content=b"<html>"))


@given(st.text(min_size=1).filter(lambda name: name not in {".", ".."}))
def test_a_name_stays_one_part_of_a_path(name):
    path = operations.at("pipelines", name, "url")
    head, mid, kind, quoted, tail = path.split("/")
    assert (head, mid, kind, tail) == ("", "v1", "pipelines", "url")
    assert unquote(quoted, errors="surrogatepass") == name
    assert "?" not in path
    assert "#" not in path


@pytest.mark.parametrize("name", ["", ".", "..", None, 7])
def test_what_cannot_be_a_name_is_refused_here(name):
    with pytest.raises(Invalid, match="is not a name"):
        operations.at("pipelines", name)


def test_a_question_that_was_lost_is_asked_again_once(talk):
    left = [Unavailable("lost"), {"models": []}]
    here = talk(lambda _call: left.pop(0))
    assert here.run(operations.call("GET", "/v1/models")) == {"models": []}


def test_an_order_that_was_lost_is_not_given_twice(talk):
    here = talk(lambda _call: Unavailable("lost"))
    with pytest.raises(Unavailable):
        here.run(operations.call("POST", "/v1/pipelines", body={}))
    assert len(here.calls) == 1


def test_an_upload_that_is_refused_is_a_model_upload_error(talk, tmp_path):
    file = tmp_path / "model.zip"
    file.write_bytes(b"no zip")

    def answer(call):
        if call.path == "/v1/uploads":
            assert call.body == {"name": "m", "framework": "custom", "file_name": "model.zip", "size": 6}
            return {"id": "1", "url": "/v1/uploads/1/content"}
        return refusal(400, what="Not a valid ZIP file", reason="not_a_zip", **{"class": "BadPackage"})

    here = talk(answer)
    said = {"name": "m", "framework": "custom", "python": None}
    with pytest.raises(ModelUploadError) as caught:
        here.run(uploads.upload(file=file, file_name="model.zip", fields=said, progress=None, timeout_s=5))
    assert caught.value.what == "Model failed to upload: [400] Bad request: Not a valid ZIP file."
    assert caught.value.reason == "not_a_zip"


def test_a_wrong_token_at_an_upload_is_not_the_models_fault(talk, tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"x")
    here = talk(lambda _call: refusal(401, what="the token is missing", reason="unauthorized"))
    with pytest.raises(TrivetError) as caught:
        here.run(uploads.upload(file=file, file_name="m", fields={}, progress=None, timeout_s=5))
    assert not isinstance(caught.value, ModelUploadError)
    assert caught.value.reason == "unauthorized"


def test_rows_are_retried_while_unavailable_up_to_the_given_limit(talk):
    from trivet.sdk.calls import Call

    here = talk(lambda _call: refusal(503, what="starting", **{"class": "Unavailable"}))
    with pytest.raises(Unavailable):
        here.run(operations.ask(Call(method="POST", path="http://x/infer"), retries=2))
    assert len(here.calls) == 3


def test_a_driver_does_not_show_its_token():
    assert "secret" not in repr(SyncDriver("http://x", "secret", None))
