"""Walks the console with a headless Chromium while a model is trained.

Every page, in both themes, narrow and wide: no message of the browser's console, no request to another host, nothing that
axe-core calls serious. Screenshots are left in the folder that is named. Run by tests/console.sh.
"""

import argparse
import gzip
import statistics
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Request, sync_playwright

from services import ROOT, Services, until

with gzip.open(ROOT / "examples/games/interactions.csv.gz", "rt") as interactions:
    # Of the first interaction: a user who has a history.
    USER = interactions.read().splitlines()[1].split(",")[0]
WIDTHS = [390, 1440]
THEMES = ["light", "dark"]
# Most that a page may weigh with all it loads, and most milliseconds until its first bytes (docs/console.md).
MOST_BYTES = 150_000
MOST_MS = 100
# Long enough for the demo's data set on a busy machine.
PATIENCE_S = 600


class Walk:
    """Looks at pages, and remembers what is wrong with them."""

    def __init__(self, page: Page, services: Services, screenshots: Path) -> None:
        self.page, self.services, self.screenshots = page, services, screenshots
        self.axe = Axe()
        self.wrong: list[str] = []
        self.n_seen = 0
        # Milliseconds until the first bytes, by page.
        self.first_ms: dict[str, list[float]] = {}
        self.n_bytes = 0
        page.on("console", lambda message: self.note(f"console: {message.type} {message.text}"))
        page.on("pageerror", lambda error: self.note(f"script: {error}"))
        page.on("request", self.requested)
        page.on("response", lambda answer: self.weigh(answer))

    def note(self, what: str) -> None:
        self.wrong.append(f"{self.page.url}: {what}")

    def requested(self, request: Request) -> None:
        if not request.url.startswith((self.services.console, "data:")):
            self.note(f"a request to {request.url}")

    def weigh(self, answer) -> None:
        if "/live" not in answer.url and answer.status == 200:
            try:
                self.n_bytes += len(answer.body())
            except Exception:  # noqa: BLE001 - a redirect or a stream has no body
                pass

    def look(self, name: str, path: str) -> None:
        """A page in both themes, narrow and wide."""
        for width in WIDTHS:
            for theme in THEMES:
                self.page.set_viewport_size({"width": width, "height": 900})
                self.page.emulate_media(color_scheme=theme)
                self.n_bytes = 0
                answer = self.page.goto(self.services.console + path, wait_until="load")
                if answer is None or answer.status != 200:
                    self.note(f"status {answer and answer.status}")
                self.check(name, width, theme)

    def check(self, name: str, width: int, theme: str) -> None:
        first = self.page.evaluate(
            "() => performance.getEntriesByType('navigation')[0].responseStart"
        )
        self.first_ms.setdefault(name, []).append(first)
        if self.n_bytes > MOST_BYTES:
            self.note(f"it weighs {self.n_bytes} bytes")
        beyond = self.page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        if beyond > 0:
            self.note(f"at {width} pixels it is {beyond} too wide")
        for violation in self.axe.run(self.page).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                nodes = [node["html"][:120] for node in violation["nodes"][:3]]
                self.note(f"{theme} {width}: {violation['id']}: {nodes}")
        self.page.screenshot(
            path=self.screenshots / f"{name}-{width}-{theme}.png", full_page=True
        )
        self.n_seen += 1


def before_training(walk: Walk) -> None:
    """An empty console says what to do next."""
    walk.look("empty-overview", "/")
    walk.look("empty-jobs", "/jobs")
    walk.look("empty-models", "/models")
    walk.look("empty-datasets", "/datasets")
    walk.look("empty-try", "/try")
    walk.look("empty-users", "/users")
    walk.look("upload", "/datasets/new")


def during_training(walk: Walk) -> None:
    """The pages of a job that runs, and its curves as they grow."""
    services = walk.services
    until("a job runs", PATIENCE_S, lambda: any(
        job["state"] == "RUNNING" for job in services.get("/v1/jobs")["jobs"]))
    job = services.get("/v1/jobs")["jobs"][0]["name"]
    walk.look("running-overview", "/")
    walk.look("running-job", f"/{job}")
    page = walk.page
    page.goto(f"{services.console}/{job}")
    before = page.locator("#now").inner_text()
    page.wait_for_function(
        "text => document.querySelector('#now').innerText !== text", arg=before, timeout=60_000)
    # The curves come by themselves, without the page being loaded again.
    page.wait_for_selector("#charts canvas", timeout=PATIENCE_S * 1_000)
    # And the page says by itself how the job ended.
    page.wait_for_selector("#now [data-state=succeeded]", timeout=PATIENCE_S * 1_000)
    events = page.locator("#events li").all_inner_texts()
    assert len(events) == len(set(events)), f"an event stands twice: {events}"
    assert "published" in events[-1], events


def after_training(walk: Walk) -> None:
    """Everything else, with a model that is live."""
    services, page = walk.services, walk.page
    versions = services.get("/v1/modelVersions")["model_versions"]
    job = versions[0]["job"]
    version = versions[0]["name"].split("/")[1]
    other = versions[-1]["name"].split("/")[1]
    walk.look("overview", "/")
    walk.look("jobs", "/jobs")
    walk.look("jobs-filtered", "/jobs?state=failed")
    walk.look("job", f"/{job}")
    curves = "&".join(f"job={it['name'].split('/')[1]}" for it in services.get("/v1/jobs")["jobs"])
    walk.look("curves", f"/jobs/curves?{curves}")
    walk.look("new-job", f"/jobs/new?like={job.split('/')[1]}")
    walk.look("models", "/models")
    walk.look("model", f"/models/{version}")
    walk.look("compare", f"/models/compare?one={version}&other={other}&user={USER}")
    walk.look("move-label", f"/models/{version}/labels/live")
    walk.look("datasets", "/datasets")
    walk.look("dataset", f"/{versions[0]['dataset']}")
    walk.look("take-label", "/labels/live/remove")
    walk.look("login", "/login")
    walk.look("try", f"/try?user={USER}&explain=on&k=5")
    walk.look("try-beside", f"/try?user={USER}&beside={other}&filter=title+!%3D+%22%22")
    page.goto(f"{services.console}/try?user={USER}")
    item = page.locator("ol.items a").first.get_attribute("href")
    walk.look("item", item)
    walk.look("item-users", item.split("?")[0] + "/users")
    walk.look("users", "/users?user=u")
    page.goto(f"{services.console}{item}")
    page.wait_for_selector("#takers")
    assert "users with a history" in page.locator("#takers").inner_text()


def changes(walk: Walk) -> None:
    """What a visitor changes: a list as the history changes, a label and back, a job that is refused."""
    services, page = walk.services, walk.page
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{services.console}/try?user={USER}")
    before = page.locator("ol.items").inner_text()
    page.locator("a", has_text="leave out").first.click()
    page.wait_for_function(
        "text => document.querySelector('ol.items').innerText !== text", arg=before)

    versions = services.get("/v1/modelVersions")["model_versions"]
    live = next(it for it in versions if "live" in it["labels"])["name"].split("/")[1]
    other = next(it for it in versions if "live" not in it["labels"])["name"].split("/")[1]
    page.goto(f"{services.console}/models/{other}")
    page.get_by_role("link", name="Move live here").click()
    page.get_by_role("button", name="Move live").click()
    assert labels_of(services, other) == ["live"], "the label moved"
    page.get_by_role("button", name="Back to").click()
    assert labels_of(services, live) == ["live"], "and back"

    page.goto(f"{services.console}/models/{live}")
    page.get_by_role("link", name="Take live away").click()
    page.get_by_role("button", name="Take live away").click()
    assert labels_of(services, live) == [], "the label went"
    page.get_by_role("button", name="Back to").click()
    assert labels_of(services, live) == ["live"], "and came back"

    page.goto(f"{services.console}/jobs/new")
    page.get_by_label("What differs from the defaults").fill("sede = 1")
    page.get_by_role("button", name="Train", exact=True).click()
    assert "sede" in page.get_by_role("alert").inner_text()
    assert page.get_by_label("What differs from the defaults").input_value() == "sede = 1"


def completion(walk: Walk) -> None:
    """What is typed is completed: a user, a field of a filter, its values."""
    page = walk.page
    page.goto(f"{walk.services.console}/try")
    options = "id => [...document.querySelectorAll(`#${id} option`)].map(it => it.value)"
    page.get_by_label("User", exact=True).fill(USER[:2])
    page.wait_for_function(f"() => ({options})('users').length > 0")
    assert all(user.startswith(USER[:2]) for user in page.evaluate(options, "users"))
    page.get_by_label("Filter", exact=True).fill("id != \"x\" && tit")
    assert page.evaluate(options, "filters") == ["id != \"x\" && title"]


def upload(walk: Walk) -> None:
    """A small file: what would be read, then the import; one that cannot be read says why."""
    services, page = walk.services, walk.page
    rows = "".join(f"c{user},p{(user + place) % 8}\n" for user in range(12) for place in range(5))
    good = {"name": "orders.csv", "mimeType": "text/csv", "buffer": f"customer,sku\n{rows}".encode()}
    bad = {"name": "orders.csv", "mimeType": "text/csv", "buffer": b"one\n1\n"}
    before = len(services.get("/v1/datasets")["datasets"])
    page.goto(f"{services.console}/datasets/new")
    page.get_by_label("Interactions", exact=True).set_input_files(bad)
    page.get_by_role("button", name="Say what would be read").click()
    page.wait_for_selector("#read .wrong")
    assert "orders.csv" in page.locator("#read").inner_text()
    page.get_by_label("Interactions", exact=True).set_input_files(good)
    page.get_by_role("button", name="Say what would be read").click()
    page.wait_for_selector("#read .told")
    assert len(services.get("/v1/datasets")["datasets"]) == before, "a look stores nothing"
    page.get_by_role("button", name="Import it").click()
    page.wait_for_selector("#read .fine")
    assert "60 interactions are new" in page.locator("#read").inner_text()
    link = page.locator("#read h2 a").get_attribute("href")
    walk.look("uploaded-dataset", link)
    page.goto(f"{services.console}{link}")
    assert "5 to 8" in page.locator("table.bars").first.inner_text()


def labels_of(services: Services, version: str) -> list[str]:
    return services.get(f"/v1/modelVersions/{version}")["labels"]


def forged(services: Services) -> list[str]:
    """What somebody else's page may send; each must be refused."""
    wrong = []
    version = services.get("/v1/modelVersions")["model_versions"][0]["name"].split("/")[1]
    known = {"cookie": "cllm4rec_form=known"}
    for headers, key in (
        (known | {"origin": "https://evil.example"}, "known"),
        (known | {"host": "evil.example"}, "known"),
        (known, "guessed"),
    ):
        request = urllib.request.Request(
            f"{services.console}/models/{version}/labels/live", f"form_key={key}&from=".encode(), headers
        )
        try:
            urllib.request.urlopen(request, timeout=10)
            wrong.append(f"a form with {headers} was taken")
        except urllib.error.HTTPError as refused:
            if refused.code != 403:
                wrong.append(f"a form with {headers} got {refused.code}")
    return wrong


def train(services: Services, *fields: str) -> subprocess.Popen[str]:
    short = ["finetuning.epochs=6", "pretraining.content_epochs=1", *fields]
    options = [part for field in short for part in ("--set", field)]
    return services.start("train", "submit", "--data", str(ROOT / "examples/games"), "--name", "games", *options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=Path, default=ROOT / "target/debug/cllm4rec")
    parser.add_argument("--screenshots", type=Path, default=ROOT / "target/screenshots")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    arguments = parser.parse_args()
    arguments.screenshots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, \
            Services(arguments.binary.resolve(), Path(folder)) as services:
        browser = playwright.chromium.launch(
            executable_path=arguments.chromium, args=["--no-sandbox"])
        walk = Walk(browser.new_page(), services, arguments.screenshots)
        before_training(walk)
        training = train(services, "labels=[\"live\"]")
        during_training(walk)
        assert training.wait(PATIENCE_S) == 0, training.stderr.read()
        again = train(services, "seed=1", "finetuning.epochs=2")
        assert again.wait(PATIENCE_S) == 0, again.stderr.read()
        until("the scorer serves", 60, lambda: services.serves(USER))
        after_training(walk)
        completion(walk)
        upload(walk)
        changes(walk)
        walk.wrong.extend(forged(services))
        for name, times in walk.first_ms.items():
            # The median: the first look at a page may load a version.
            if statistics.median(times) > MOST_MS:
                walk.note(f"{name}: first bytes after {times} ms")
        browser.close()
    for wrong in walk.wrong:
        print(wrong, file=sys.stderr)
    print(f"console: {walk.n_seen} looks, {len(walk.wrong)} things wrong; {arguments.screenshots}")
    sys.exit(1 if walk.wrong else 0)


if __name__ == "__main__":
    main()
