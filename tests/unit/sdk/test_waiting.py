"""Waiting for models and deployments: how long, what is said meanwhile, and what ends it."""

import asyncio
import re
import signal
import sys
import threading
import time

import httpx
import pytest

from trivet.errors import Conflict, DeadlineExceeded, NotFound, Unavailable
from trivet.sdk import waits
from trivet.sdk.calls import AsyncDriver, Pause, SyncDriver


def statuses(*names, **about):
    """Answers with these statuses, one after another; the last one stays."""
    left = list(names)
    return lambda _call: {"uuid": "u", "status": left.pop(0) if len(left) > 1 else left[0], **about}


def deployment(state, *, generation=1, seen=1, wanted="running", **status):
    return {
        "deployment": {
            "generation": generation,
            "wanted": wanted,
            "status": {"state": state, "generation": seen, "serving": None, "fault": None, **status},
        }
    }


KNOWN = {"uuid": "u", "status": ""}


def answers(*documents):
    left = list(documents)
    return lambda _call: left.pop(0) if len(left) > 1 else left[0]


def deploying(talk, *, generation=1, timeout_s=45):
    return talk.run(
        waits.wait_for_deployment(
            "fraud", workspace="default", generation=generation, timeout_s=timeout_s, say=talk.say
        )
    )


def test_the_progress_of_a_model_that_becomes_native(talk):
    here = talk(statuses("pending_load_native", "attempting_load_native", "ready"))
    assert here.run(waits.wait_until_loaded(KNOWN, timeout_s=600, say=here.say))["status"] == "ready"
    assert here.said == (
        "Waiting for model loading - this will take up to 10.0min.\n"
        "Model is pending loading to a native runtime.\n"
        "Model is attempting loading to a native runtime.successful\n"
        "\nReady\n"
    )


def test_the_status_in_the_uploads_answer_is_printed_even_if_it_changed(talk):
    here = talk(statuses("ready"))
    here.run(waits.wait_until_loaded({"uuid": "u", "status": "pending_load_container"}, timeout_s=600, say=here.say))
    assert "Model is pending loading to a container runtime.\n" in here.said
    assert here.said.endswith("\nReady\n")


def test_a_second_is_a_dot(talk):
    here = talk(statuses(*["attempting_load_container"] * 12, "ready"))
    here.run(waits.wait_until_loaded(KNOWN, timeout_s=600, say=here.say))
    waited = int(here.now - 1000)
    assert waited >= 2
    assert f"a container runtime.{'.' * waited}successful" in here.said


def test_a_model_that_cannot_be_loaded_comes_back_and_stderr_says_why(talk, capsys):
    here = talk(statuses("attempting_load_container", "error", error_summary="No Inference-inherited class found"))
    assert here.run(waits.wait_until_loaded(KNOWN, timeout_s=600, say=here.say))["status"] == "error"
    assert capsys.readouterr().err == (
        "ERROR! There was an error during model conversion: Model failed to convert: No Inference-inherited class found\n"
        "You can use model.get_upload_logs() to get more details.\n"
    )


def test_a_model_that_answered_no_made_up_row_is_ready_with_a_warning(talk, capsys):
    here = talk(
        statuses(
            "ready", answers=False, error_summary="it raised", fault={"what": "it raised", "fix": "give an example"}
        )
    )
    assert here.run(waits.wait_until_loaded(KNOWN, timeout_s=600, say=here.say))["status"] == "ready"
    assert here.said.endswith("\nReady\n")
    assert capsys.readouterr().err == "WARNING! it raised\n  fix give an example\n"


def test_waiting_for_a_model_ends_by_the_clock_whatever_a_call_takes(talk):
    here = talk(None)

    def slow(_call):
        here.now += 20
        return {"uuid": "u", "status": "attempting_load_native"}

    here.answer = slow
    with pytest.raises(DeadlineExceeded, match="not loaded within 60 s"):
        here.run(waits.wait_until_loaded(KNOWN, timeout_s=60, say=here.say))
    assert here.now - 1000 <= 81
    assert all(call.timeout_s <= waits.POLL_S for call in here.calls)


def test_a_platform_that_starts_again_meanwhile_is_asked_again(talk):
    gone = Unavailable("the platform cannot be reached")
    here = talk(answers(gone, gone, gone, deployment("Starting"), gone, gone, deployment("Running")))
    assert deploying(here)["status"]["state"] == "Running"
    assert here.said.endswith(" ok\n")


def test_a_platform_that_is_gone_for_good_says_so_in_time(talk):
    here = talk(lambda _call: Unavailable("the platform cannot be reached"))
    with pytest.raises(Unavailable, match="cannot be reached"):
        deploying(here, timeout_s=10)
    assert 10 < here.now - 1000 < 11


def test_a_deployment_that_runs_already_says_so_at_once(talk):
    here = talk(answers(deployment("Running")))
    deploying(here)
    assert here.said == "Waiting for deployment - this will take up to 45s  ok\n"
    assert here.now == 1000


def test_what_was_seen_of_an_earlier_wish_does_not_count(talk):
    here = talk(
        answers(
            deployment("Running", generation=2, seen=1),
            deployment("Error", generation=2, seen=1),
            deployment("Running", generation=2, seen=2),
        )
    )
    assert deploying(here, generation=2)["status"]["generation"] == 2
    assert len(here.calls) == 3


def test_an_update_that_fails_says_why_and_that_what_served_goes_on(talk):
    fault = {
        "error": "ModelFailed",
        "what": "the worker died",
        "why": "killed by SIGKILL",
        "fix": "give it more memory",
    }
    here = talk(answers(deployment("Error", fault=fault, serving="v1")))
    with pytest.raises(Conflict) as caught:
        deploying(here)
    assert str(caught.value) == (
        "pipeline 'fraud' could not be deployed: the worker died: killed by SIGKILL\n"
        "  fix give it more memory. The previous version still serves."
    )


def test_a_pipeline_undeployed_meanwhile_is_not_reported_as_running(talk):
    here = talk(answers(deployment("Starting"), deployment("Stopped", generation=2, seen=2, wanted="stopped")))
    with pytest.raises(Conflict, match="undeployed while you waited for it"):
        deploying(here)


def test_a_pipeline_deleted_meanwhile_is_not_found(talk):
    here = talk(answers({"deployment": None}))
    with pytest.raises(NotFound, match="not deployed"):
        deploying(here)


def test_undeploying_waits_until_nothing_runs(talk):
    here = talk(
        answers(
            deployment("Running", generation=4, seen=3, wanted="stopped"),
            deployment("Running", generation=4, seen=4, wanted="stopped"),
            deployment("Stopped", generation=4, seen=4, wanted="stopped"),
        )
    )
    here.run(waits.undeploy("fraud", workspace="default", timeout_s=45, say=here.say))
    assert [call.method for call in here.calls] == ["POST", "GET", "GET"]
    assert re.fullmatch(r"Waiting for undeployment - this will take up to 45s \.* ok\n", here.said)


def test_a_deployment_that_takes_too_long_is_reported_to_continue(talk):
    here = talk(answers(deployment("Starting")))
    with pytest.raises(DeadlineExceeded) as caught:
        deploying(here, timeout_s=3)
    assert str(caught.value) == (
        "pipeline 'fraud' did not finish within 3 s: its status is Starting\n"
        "  fix the platform continues: check pipeline.status(), or wait longer with timeout="
    )
    assert here.said.endswith("....\n") or here.said.endswith("...\n")


def test_a_model_that_cannot_be_loaded_is_reported_with_a_fix(talk, capsys):
    fault = {"what": "output is a seq(map)", "fix": "export with zipmap=False", "path": "graph.output[1]"}
    here = talk(statuses("error", error_summary="output is a seq(map)", fault=fault))
    here.run(waits.wait_until_loaded(KNOWN, timeout_s=600, say=here.say))
    assert capsys.readouterr().err.splitlines()[1:] == [
        "You can use model.get_upload_logs() to get more details.",
        "  at  graph.output[1]",
        "  fix export with zipmap=False",
    ]


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        (
            lambda say: waits.wait_until_loaded(KNOWN, timeout_s=600, say=say),
            "loading it: see get_model('fraud').status(), or `trivet models fraud`.",
        ),
        (
            lambda say: waits.wait_for_deployment("fraud", workspace="default", generation=1, timeout_s=45, say=say),
            "starting it: see get_pipeline('fraud').status(), or `trivet status fraud`.",
        ),
        (
            lambda say: waits.undeploy("fraud", workspace="default", timeout_s=45, say=say),
            "stopping it: see get_pipeline('fraud').status(), or `trivet status fraud`.",
        ),
    ],
)
def test_an_interrupted_wait_prints_that_the_platform_continues(talk, operation, told):
    under_way = {"uuid": "u", "name": "fraud", "status": "attempting_load_native", **deployment("Starting")}
    here = talk(answers(under_way, under_way, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        here.run(operation(here.say))
    assert here.said.endswith(f"\nStopped waiting. The platform continues {told}\n")


def waiting(told, *, on_pause=lambda: None):
    try:
        on_pause()
        yield Pause(seconds=60)
    except (KeyboardInterrupt, asyncio.CancelledError) as interrupt:
        told.append(type(interrupt))
        raise


def test_an_operation_hears_of_ctrl_c():
    told = []
    here = threading.get_ident()

    def interrupt():
        # Not before the operation has yielded: then the driver is in its pause, or about to be.
        while sys._current_frames()[here].f_code is not SyncDriver.run.__code__:
            time.sleep(0.01)
        signal.pthread_kill(here, signal.SIGINT)

    with httpx.Client() as http, pytest.raises(KeyboardInterrupt):
        on_pause = threading.Thread(target=interrupt).start
        SyncDriver("http://127.0.0.1:1", None, http).run(waiting(told, on_pause=on_pause))
    assert told == [KeyboardInterrupt]


def test_an_operation_hears_that_its_task_was_cancelled():
    told = []

    async def work():
        async with httpx.AsyncClient() as http:
            task = asyncio.create_task(AsyncDriver("http://127.0.0.1:1", None, http).run(waiting(told)))
            # One turn of the loop takes the task to its pause.
            await asyncio.sleep(0)
            task.cancel()
            await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work())
    assert told == [asyncio.CancelledError]
