"""A page for people that shows what pipelines take and answer, with a form to try each. It loads nothing else."""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Final

import pyarrow as pa

from trivet.engine.pipeline import ServedPipeline
from trivet.gateway.doors.reference_addresses import INFER, full_path
from trivet.gateway.doors.reference_openapi import example_row
from trivet.gateway.http.docs_form import form_of, type_text
from trivet.gateway.pipelines import Place

__all__ = ["CONTENT_SECURITY_POLICY", "docs_page", "locked_page"]

SCRIPT: Final = files("trivet.gateway.http").joinpath("docs_page.js").read_text(encoding="utf-8")
# A script that a name or a value brought into the page would have another digest, and does not run.
DIGEST: Final = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{DIGEST}'; connect-src 'self'; form-action 'none'; "
    "frame-ancestors 'none'; base-uri 'none'"
).encode()

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; }} td, th {{ text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top; }}
pre {{ background: #f4f4f4; padding: .8rem; overflow-x: auto; }} code {{ font-family: ui-monospace, monospace; }}
input, select, textarea, button {{ font: inherit; color: inherit; background: transparent; border: 1px solid gray; padding: .1rem .4rem; }}
textarea {{ width: 26rem; max-width: 100%; }} option {{ color: black; background: white; }} :disabled {{ opacity: .4; }}
button {{ cursor: pointer; border-radius: .3rem; padding: .3rem .9rem; }} #token {{ -webkit-text-security: disc; width: 20rem; }}
.drop {{ border: 2px dashed gray; border-radius: .3rem; padding: .8rem; }} .drop input {{ border: 0; }} .over {{ border-color: #2a7; }}
.good {{ color: seagreen; }} .bad {{ color: #b21; }}
@media (prefers-color-scheme: dark) {{
body {{ background: #1b1b1b; color: #ddd; }} pre {{ background: #2a2a2a; }} a {{ color: #9cf; }}
.good {{ color: #6d9; }} .bad {{ color: #f98; }} }}
</style></head><body>
{token}
<main>
{body}
</main>
<script>{script}</script>
</body></html>
"""

# Without a form and a password's type, so that no browser offers to keep it.
ASKING = """<p><label>Token <input id="token" autocomplete="off" spellcheck="false" autocapitalize="off"></label>{button}</p>
<div id="state" role="status"></div>
"""
OPEN = ' <button id="open">Open</button>'

END = """<p>This is <code>{url}</code>, Trivet's gateway for predictions.</p>
<p>Choose parts with <code>?dataset[]=out</code>; send and get Arrow with
<code>application/vnd.apache.arrow.file</code> or <code>.stream</code>.</p>
<p><a href="/openapi.json">OpenAPI</a> · <a href="/pipelines">pipelines</a> · <a href="/models">models</a> ·
<a href="/readyz">ready?</a> · <a href="/metrics">metrics</a></p>
"""

SECTION = """<h1>{name}</h1>
{steps}
<h2>Takes</h2><table>{inputs}</table>
<h2>Answers</h2><table>{outputs}</table>
<h2>Ask it</h2><pre><code>{curl}</code></pre>
{form}
"""

STEP = "<p>{what} model, {runtime} runtime, version <code>{version}</code>, sha256 <code>{sha}</code></p>"
LONGEST_ROW = 600


def docs_page(pipelines: Sequence[ServedPipeline], *, url: str, needs_token: bool) -> bytes:
    """What goes in, what comes out, a command and a form to try: for each pipeline that answers at this address.

    Args:
        pipelines: in the order of the page.
        url: of the server.
        needs_token: whether requests must carry a token, for which the page has a field.
    """
    title = pipelines[0].name if len(pipelines) == 1 else "Deployed pipelines"
    body = "".join(_section(pipeline, url) for pipeline in pipelines) or "<h1>Nothing is deployed</h1>"
    return _page(title, body + END.format(url=html.escape(url)), token=ASKING.format(button="") if needs_token else "")


def locked_page() -> bytes:
    """What a browser without a token gets: a field for it, and nothing of the server."""
    body = "<p>Requests to this server need a token. It stays in this page, and is gone when the page is closed.</p>"
    return _page("Trivet", body, token=ASKING.format(button=OPEN))


def _page(title: str, body: str, *, token: str) -> bytes:
    return PAGE.format(title=html.escape(title), body=body, token=token, script=SCRIPT).encode()


def _section(pipeline: ServedPipeline, url: str) -> str:
    example = example_row(pipeline)
    row = json.dumps([example])
    if len(row) > LONGEST_ROW:
        row = row[:LONGEST_ROW] + " …"
    path = full_path(Place.of(pipeline)) or INFER
    curl = f"curl -X POST {url}{path} \\\n  -H 'Content-Type: application/json; format=pandas-records' \\\n  -d '{row}'"
    alone = len(pipeline.steps) == 1
    steps = [
        STEP.format(
            what=html.escape(step.framework if alone else f"{step.name}: {step.framework}"),
            runtime=html.escape(step.runtime),
            version=html.escape(step.version),
            sha=html.escape(step.sha),
        )
        for step in pipeline.steps
    ]
    inputs = pipeline.runner.input_schema
    return SECTION.format(
        name=html.escape(pipeline.name),
        steps="\n".join(steps),
        inputs=_table(inputs),
        outputs=_table(pipeline.runner.output_schema),
        curl=html.escape(curl),
        form=form_of(inputs, example, path=path),
    )


def _table(schema: pa.Schema) -> str:
    return "".join(
        f"<tr><td><code>{html.escape(field.name)}</code></td><td><code>{html.escape(type_text(field))}</code></td></tr>"
        for field in schema
    )
