"""Write the pictures of the documentation, in headless Chromium, and check on the way that the page of documentation works.

    python docs/screenshots.py

It needs Chromium (Debian's package `chromium`, or another one in `CHROMIUM`), and the packages of the tests.
"""

import base64
import contextlib
import html
import json
import os
import select
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pyarrow as pa

from trivet import Client

IMAGES = Path(__file__).resolve().parent / "images"
MOST_BYTES = 150_000
WITHIN_S = 60.0
SIZE = (900, 1700)
ROWS = [{"tenure": 1, "charge": 99.0}, {"tenure": 70, "charge": 25.0}, {"tenure": 12, "charge": 60.5}]
PACKAGE = {
    "trivet.yaml": """
framework: python
input_schema: {tenure: int64, charge: float64}
output_schema: {score: float64}
example:
  - {tenure: 12, charge: 60.5}
""",
    "requirements.txt": "",
    "step.py": """
import numpy as np


def process_data(rows):
    return {"score": np.minimum(0.1 * rows["charge"] / np.maximum(rows["tenure"], 1), 1)}
""",
}
NOTEBOOK = """<!doctype html><meta charset="utf-8"><style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 1rem; width: 860px; }
pre { background: #f4f4f4; border: 1px solid #ddd; padding: .5rem; font: 13px/1.4 ui-monospace, monospace; margin: .8rem 0 .3rem; }
.out { margin-left: 1rem; } table { border-collapse: collapse; font-size: 13px; } td, th { padding: .2rem .6rem; text-align: left; }
tr:nth-child(even) { background: #f7f7f7; }
</style>"""


class Browser:
    """A page of headless Chromium, over the pipe of its DevTools protocol.

    Args:
        program: Chromium.
        profile: an empty folder.
    """

    def __init__(self, program: str, profile: Path) -> None:
        their_in, self._write = os.pipe()
        self._read, their_out = os.pipe()
        width, height = SIZE
        self._pid = os.posix_spawn(
            program,
            [
                program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                "--remote-debugging-pipe", f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank",
            ],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, their_in, 3),
                (os.POSIX_SPAWN_DUP2, their_out, 4),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
        )  # fmt: skip
        os.close(their_in)
        os.close(their_out)
        self._left = b""
        self._count = 0
        self._session: str | None = None
        self.errors: list[str] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(each["targetId"] for each in targets if each["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer of Chromium to a command."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            came = self._message()
            if came.get("method") == "Log.entryAdded" and came["params"]["entry"]["level"] == "error":
                self.errors.append(came["params"]["entry"]["text"])
            if came.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(came["params"]["exceptionDetails"]))
            if came.get("id") == self._count:
                if "error" in came:
                    sys.exit(f"{method}: {came['error']}")
                return came.get("result", {})  # type: ignore[no-any-return]

    def run(self, script: str) -> Any:
        """The value of a script in the page."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            sys.exit(f"{script}: {done['exceptionDetails']}")
        return done["result"].get("value")

    def wait(self, script: str) -> None:
        """Wait until the value of a script is true."""
        end = time.monotonic() + WITHIN_S
        while not self.run(script):
            if time.monotonic() > end:
                sys.exit(f"after {WITHIN_S} s not true: {script}")
            time.sleep(0.05)

    def open(self, url: str) -> None:
        """Show a page."""
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def picture(self, name: str) -> None:
        """Write the shown part of the page to a file of the documentation."""
        height = min(SIZE[1], self.run("Math.ceil(document.body.getBoundingClientRect().bottom + 16)"))
        clip = {"x": 0, "y": 0, "width": SIZE[0], "height": height, "scale": 1}
        content = base64.b64decode(self.call("Page.captureScreenshot", format="png", clip=clip)["data"])
        if len(content) > MOST_BYTES:
            sys.exit(f"{name} has {len(content):,} bytes; a picture may have {MOST_BYTES:,}")
        (IMAGES / name).write_bytes(content)
        print(f"{name}: {len(content):,} bytes")

    def close(self) -> None:
        """End it."""
        self._session = None
        self.call("Browser.close")
        os.waitpid(self._pid, 0)
        os.close(self._write)
        os.close(self._read)

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            if not select.select([self._read], [], [], WITHIN_S)[0]:
                sys.exit(f"Chromium has not answered within {WITHIN_S} s")
            piece = os.read(self._read, 2**20)
            if not piece:
                sys.exit("Chromium has ended")
            self._left += piece
        message, _, self._left = self._left.partition(b"\0")
        return json.loads(message)  # type: ignore[no-any-return]


def show_docs_page(browser: Browser, url: str) -> None:
    """Send a row, a value that does not fit, and files with the forms of a page, and take a picture of the row's answer."""
    answer = "document.querySelector('.answer').textContent"
    browser.open(f"{url}/docs")
    send = "document.querySelector('form button').click()"
    browser.run(f"document.querySelector('[data-field=tenure]').value = '2.5'; {send}")
    browser.wait(f"""{answer}.includes('tenure: "2.5" is not a whole number')""")
    browser.run(f"document.querySelector('[data-field=tenure]').value = '3'; {send}")
    browser.wait(f"{answer}.startsWith('200 in') && {answer}.includes('score')")
    browser.picture("docs-page.png")
    frame = pd.DataFrame(ROWS)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, pa.Table.from_pandas(frame).schema) as writer:
        writer.write_table(pa.Table.from_pandas(frame))
    for name, content, expected in (
        ("rows.csv", frame.to_csv(index=False).encode(), "200 in"),
        ("rows.json", json.dumps(ROWS).encode(), "200 in"),
        ("rows.arrow", sink.getvalue().to_pybytes(), "200 in"),
        ("rows.parquet", b"PAR1....", "Parquet files are not taken here"),
        ("bad.csv", b"tenure,charge\n1,2\nx,3\n", "row 2, column tenure"),
        ("other.json", b'[{"tenure": "many", "charge": 1}]', "400 in"),
    ):
        encoded = base64.b64encode(content).decode()
        browser.run(
            "{ document.querySelector('.answer').replaceChildren(); const moved = new DataTransfer();"
            f"moved.items.add(new File([Uint8Array.from(atob('{encoded}'), (c) => c.charCodeAt(0))], '{name}'));"
            "document.querySelector('.drop').dispatchEvent(new DragEvent('drop', {dataTransfer: moved, bubbles: true})); }"
        )
        browser.wait(f"{answer}.includes({json.dumps(expected)})")
    if unexpected := [each for each in browser.errors if "400" not in each]:
        sys.exit(f"the page has errors: {unexpected}")


def show_notebook(browser: Browser, cells: list[tuple[str, Any]], folder: Path) -> None:
    """Take a picture of what a notebook shows of objects."""
    parts = [NOTEBOOK]
    for source, value in cells:
        draw: Callable[[], str] | None = getattr(value, "_repr_html_", None)
        shown = f"<pre>{html.escape(repr(value))}</pre>" if draw is None else draw()
        parts.append(f"<pre>{html.escape(source)}</pre><div class='out'>{shown}</div>")
    page = folder / "notebook.html"
    page.write_text("".join(parts), encoding="utf-8")
    browser.open(page.as_uri())
    browser.picture("notebook.png")


@contextlib.contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A page of the browser for the length of a `with` block."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        sys.exit("Chromium is missing: install Debian's package chromium, or name one in CHROMIUM")
    browser = Browser(program, folder / "profile")
    try:
        yield browser
    finally:
        browser.close()


def take_pictures() -> None:
    """Deploy a small model, and write all pictures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="trivet-screenshots-") as name, Client.local(quiet=True) as client:
        folder = Path(name)
        package = folder / "churn"
        package.mkdir()
        for file, text in PACKAGE.items():
            (package / file).write_text(text)
        model = client.upload_model("churn", package)
        pipeline = client.build_pipeline("churn").add_model_step(model).deploy()
        answers = pipeline.infer(pd.DataFrame(ROWS))
        url = urlsplit(pipeline.url())
        with chromium(folder) as browser:
            cells = [
                ("client", client),
                ('model = client.get_model("churn")\nmodel', model),
                ('pipeline = client.get_pipeline("churn")\npipeline', pipeline),
                ("pipeline.infer(df)", answers),
                ("pipeline.logs()", pipeline.logs()),
            ]
            show_notebook(browser, cells, folder)
            show_docs_page(browser, f"{url.scheme}://{url.netloc}")


if __name__ == "__main__":
    take_pictures()
