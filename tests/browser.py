"""Pages as Chromium shows them, without a network."""

import html
import json
import re
import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import SimpleQueue
from threading import Thread

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

_ASK = """<script>
const troubles = [];
addEventListener("error", function (event) { troubles.push(String(event.message)); });
addEventListener("securitypolicyviolation", function (event) { troubles.push(event.blockedURI); });
</script>"""
_TELL = """<script>
addEventListener("load", function () {
  const saved = [];
  const click = HTMLAnchorElement.prototype.click;
  HTMLAnchorElement.prototype.click = function () { saved.push([this.download, this.href]); };
  document.querySelectorAll(".save button.table, .save button.figure").forEach(
    function (button) { button.click(); });
  const width = document.documentElement.clientWidth;
  const cut = function (element) {
    const box = element.getBoundingClientRect();
    return box.width > 0 && (box.right > width + 0.5 || box.left < 0);
  };
  const shown = function (cell) { return cell.offsetWidth > 0; };
  const tables = Array.from(document.querySelectorAll("table")).map(function (table) {
    const header = Array.from(table.tHead.rows[0].cells).filter(shown);
    const rows = Array.from(table.tBodies[0].rows);
    const heights = rows.map(function (row) { return row.offsetHeight; });
    const around = table.closest(".beside") || table.parentElement;
    return { caption: table.caption.textContent, room: around.clientWidth,
             columns: table.tHead.rows[0].cells.length,
             header: header.map(function (cell) { return cell.textContent; }),
             height: Math.max(0, ...heights) };
  });
  Promise.all(saved.map(function (each) {
    return fetch(each[1]).then(function (r) { return r.text(); }, function () { return ""; })
      .then(function (text) { return [each[0], text]; });
  })).then(function (files) {
    const scroll = document.documentElement.scrollWidth;
    parent.postMessage({ name: window.name, width: width, scroll: scroll,
      troubles: troubles, tables: tables, files: files,
      cut: Array.from(document.querySelectorAll("img, td, th, p, pre, a, h3")).filter(cut)
        .map(function (element) { return element.outerHTML.slice(0, 60); }) },
      "*");
  });
});
</script>"""
_FRAME = """<!DOCTYPE html><body><script>
const told = [];
addEventListener("message", function (event) {
  told.push(event.data);
  document.getElementById("told").textContent = JSON.stringify(told);
});
</script><pre id="told"></pre>
"""


def look(pages, folder, widths=(1400, 1100, 400)):
    """Show pages at some widths; give what was measured by the name of the page and width.

    What is saved by a button is read by ``fetch``, which the page itself may not do: the copy
    that is looked at may connect to ``blob:``.
    """
    frames = []
    for path in pages:
        text = path.read_text(encoding="utf-8")
        text = text.replace("default-src 'none'", "default-src 'none'; connect-src blob:")
        text = text.replace("<style>", f"{_ASK}<style>", 1).replace("</body>", f"{_TELL}</body>")
        copy = folder / path.name
        copy.write_text(text, encoding="utf-8")
        frames += [
            f'<iframe name="{path.name} {width}" width="{width}" height="900" '
            f'style="border:0" src="{html.escape(path.name)}"></iframe>'
            for width in widths
        ]
    wrapper = folder / "look.html"
    wrapper.write_text(_FRAME + "\n".join(frames))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--dump-dom"]
    options += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=60000"]
    done = subprocess.run(
        [CHROMIUM, *options, wrapper.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    (told,) = re.findall(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    found = {each["name"]: each for each in json.loads(html.unescape(told))}
    assert len(found) == len(frames)
    return found


_DRIVE = """<script>
addEventListener("load", async function () {{
  const wait = function (ms) {{ return new Promise(function (done) {{ setTimeout(done, ms); }}); }};
  while (!document.body.dataset.ready) {{ await wait(20); }}
  const told = await (async function () {{ {script} }})();
  fetch("{address}", {{ method: "POST", mode: "no-cors", body: JSON.stringify(told) }});
}});
</script>"""


def drive(page, folder, script, *, webgl=True):
    """Show a page that draws, and run a script on it; give what it returns, and the console.

    The script may use ``await wait(ms)``. It takes the time that drawing takes: what it returns is
    sent to a server, which the copy of the page that is looked at may connect to.
    """
    told = SimpleQueue()

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self):
            told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    drawing = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--remote-debugging-port=0"]
    options += drawing if webgl else ["--disable-gpu", "--disable-3d-apis"]
    options += [f"--user-data-dir={folder / 'profile'}"]
    options += ["--enable-logging=stderr", "--window-size=1400,1000"]
    log, copy = folder / "console.log", folder / page.name
    with HTTPServer(("127.0.0.1", 0), Listener) as server, log.open("wb") as stderr:
        address = f"http://127.0.0.1:{server.server_port}"
        text = page.read_text(encoding="utf-8").replace("<style>", f"{_ASK}<style>", 1)
        text = text.replace("default-src 'none'", f"default-src 'none'; connect-src {address}")
        script = _DRIVE.format(script=script, address=address)
        copy.write_text(text.replace("</body>", f"{script}</body>"))
        Thread(target=server.serve_forever, daemon=True).start()
        command = [CHROMIUM, *options, copy.as_uri()]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr) as browser:
            try:
                returned = told.get(timeout=120)
            finally:
                browser.terminate()
                server.shutdown()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return returned, [line for line in lines if "CONSOLE" in line]
