"""Photograph a built book: `python tests/screenshots.py _build/html OUT`, every page, two widths, light and dark."""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZES = {1440: 900, 390: 844}
SETTLED = """async () => {
  for (const image of document.images) image.loading = 'eager';
  await Promise.allSettled([...document.images].map(image => image.decode()));
  await document.fonts.ready;
}"""


def launch(playwright: Playwright) -> Browser:
    """Start the machine's own Chromium, told to keep off the network."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=[*SWITCHES])


def pages(book: Path) -> dict[str, Path]:
    """Return the pages a reader sees by name, e.g. ``notebooks/scores``; the redirects in ``at/`` are none."""
    found = {path.relative_to(book).with_suffix("").as_posix(): path for path in sorted(book.rglob("*.html"))}
    return {name: path for name, path in found.items() if name.split("/")[0] not in ("_static", "at")}


def photograph(book: Path, out: Path, *, named: str = "") -> int:
    """Write `page--width--theme.png` for every page whose name holds `named`; return how many were taken."""
    out.mkdir(parents=True, exist_ok=True)
    chosen = {name: path for name, path in pages(book).items() if named in name}
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for theme in ("light", "dark"):
            for width, height in SIZES.items():
                context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": height})
                page = context.new_page()
                for name, path in chosen.items():
                    page.goto(path.as_uri())
                    page.evaluate(SETTLED)
                    page.screenshot(path=out / f"{name.replace('/', '-')}--{width}--{theme}.png", full_page=True)
                context.close()
        browser.close()
    return len(chosen) * 2 * len(SIZES)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("book", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--named", default="", help="only pages whose name holds this text")
    given = parser.parse_args()
    print(photograph(given.book.resolve(), given.out, named=given.named), "pictures in", given.out)
