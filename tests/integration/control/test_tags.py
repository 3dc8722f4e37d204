"""Tags are stored, bounded, and found with what has them."""

import pytest

from trivet.domain.tags import MOST_OF_ONE, MOST_TAGS


def create(api, text: str) -> dict:
    return api.call("POST", "/v1/tags", json={"tag": text})


def change(api, method: str, path: str) -> None:
    api.call(method, path)


def test_a_tag_has_model_versions_and_pipelines(api) -> None:
    version = api.ready()
    pipeline = api.call("POST", "/v1/pipelines", json={"name": "pipe"})
    tag = create(api, "  of the bank ")
    assert tag == {"id": tag["id"], "tag": "of the bank", "models": [], "pipelines": []}
    for _ in range(2):
        change(api, "PUT", f"/v1/tags/{tag['id']}/models/{version['id']}")
        change(api, "PUT", f"/v1/tags/{tag['id']}/pipelines/{pipeline['id']}")
    (listed,) = api.call("GET", "/v1/tags")["tags"]
    assert listed["models"] == [{"id": version["id"], "name": "fraud", "uuid": version["uuid"]}]
    assert listed["pipelines"] == [{"id": pipeline["id"], "name": "pipe"}]
    assert (pipeline["tags"], api.call("GET", "/v1/pipelines/pipe")["tags"]) == ([], ["of the bank"])
    change(api, "DELETE", f"/v1/tags/{tag['id']}/models/{version['id']}")
    change(api, "DELETE", f"/v1/tags/{tag['id']}/pipelines/{pipeline['id']}")
    assert api.call("GET", "/v1/tags")["tags"] == [tag]


def test_the_same_text_is_the_same_tag(api) -> None:
    assert create(api, "one") == create(api, "one") != create(api, "One")


def test_what_is_deleted_has_no_tag_any_more(api) -> None:
    version = api.ready()
    pipeline = api.call("POST", "/v1/pipelines", json={"name": "pipe"})
    tag = create(api, "one")
    change(api, "PUT", f"/v1/tags/{tag['id']}/models/{version['id']}")
    change(api, "PUT", f"/v1/tags/{tag['id']}/pipelines/{pipeline['id']}")
    change(api, "DELETE", "/v1/models/fraud")
    change(api, "DELETE", "/v1/pipelines/pipe")
    assert api.call("GET", "/v1/tags")["tags"] == [tag]


@pytest.mark.parametrize("text", ["", "  ", "x" * 201, "a\nb", "a\x1bb"], ids=ascii)
def test_a_text_that_cannot_be_a_tag_is_refused(api, text: str) -> None:
    assert api.refused(400, "POST", "/v1/tags", json={"tag": text})["reason"] == "bad_tag"


def test_an_unknown_tag_version_or_pipeline_is_not_found(api) -> None:
    version, tag = api.ready(), create(api, "one")
    assert api.refused(404, "PUT", f"/v1/tags/9/models/{version['id']}")["reason"] == "unknown_tag"
    api.refused(404, "PUT", f"/v1/tags/{tag['id']}/models/{version['id'] + 1}")
    api.refused(404, "PUT", f"/v1/tags/{tag['id']}/pipelines/1")


def test_there_are_not_too_many_tags(api) -> None:
    catalog = api.control.catalog
    version = api.ready()
    numbers = [catalog.tags.create(f"tag {number}") for number in range(MOST_OF_ONE)]
    for number in numbers:
        catalog.tags.add_to_model(number, version["id"])
    one_more = catalog.tags.create("one more")
    refusal = api.refused(409, "PUT", f"/v1/tags/{one_more}/models/{version['id']}")
    assert (refusal["reason"], refusal["error"]) == ("too_many_tags", "it has 100 tags, the most")
    assert MOST_TAGS == 1000
