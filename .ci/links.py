#!/usr/bin/env python3
"""Links: in the rendered documentation, as docs.rs has it, and in the Markdown files of the repository.

Links to other sites are counted, not followed: there is no network.
"""

import html.parser
import pathlib
import re
import subprocess
import sys
import urllib.parse

DOC = pathlib.Path("target/doc")
CRATE = DOC / "tower_jwt_session"
# In texts that rustdoc copies from the traits of other crates.
OF_OTHER_CRATES = ["dispatcher#setting-the-default-subscriber", "futures_core::future::TryFuture"]


class Page(html.parser.HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors.add(attributes.get("id"))
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])


def rendered(pages, broken):
    """The number of links of the crate's pages to each other and to their sources."""
    number = 0
    for path, page in pages.items():
        for link in page.links:
            url = urllib.parse.urlsplit(link)
            if url.scheme or link.startswith("//"):
                continue
            number += 1
            target = (path.parent / url.path).resolve() if url.path else path
            if link in OF_OTHER_CRATES:
                continue
            if target not in pages:
                # docs.rs has this crate's pages, and their sources beside them.
                if not (target.is_file() and target.is_relative_to(DOC.resolve())):
                    broken.append(f"{path.relative_to(DOC.resolve())}: {link}")
            elif url.fragment and url.fragment not in pages[target].anchors:
                broken.append(f"{path.relative_to(DOC.resolve())}: no anchor {link}")
    return number


def slug(heading):
    """The anchor that a forge makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def markdown(files, broken):
    """The number of links of Markdown files to files. `crate::` is rustdoc's, and checked there."""
    number = 0
    for path in files:
        text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            url = urllib.parse.urlsplit(link)
            if url.scheme or "::" in link:
                continue
            number += 1
            target = path.parent / url.path if url.path else path
            if not target.exists():
                broken.append(f"{path}: {link}")
            elif url.fragment and target.suffix == ".md":
                headings = re.findall(r"^#+ (.*)$", target.read_text(), flags=re.MULTILINE)
                if url.fragment not in map(slug, headings):
                    broken.append(f"{path}: no heading {link}")
    return number


def main():
    pages = {path.resolve(): Page(path) for path in CRATE.rglob("*.html")}
    files = subprocess.check_output(["git", "ls-files", "*.md"], text=True).splitlines()
    broken = []
    html, texts = rendered(pages, broken), markdown(map(pathlib.Path, files), broken)
    print(*broken, sep="\n")
    assert html > 5000 and texts > 50, f"only {html} and {texts} links"
    print(f"checked: {html} links of the documentation, {texts} of Markdown files, {len(broken)} broken")
    sys.exit(bool(broken))


main()
