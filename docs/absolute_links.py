"""Make the README's links absolute for PyPI: `python docs/absolute_links.py URL TAG`.

URL is the address of a repository on GitHub. The release workflow runs it before the build.
"""

import re
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"

LINK = re.compile(r"""(\]\(|src=")(?![a-z]+:|#)([^)"]+)""")
IMAGES = (".png", ".webp")


def absolute(text: str, url: str, tag: str) -> str:
    """Return a text whose relative links lead to a tag of the repository, its images to the files.

    >>> absolute("[Design](docs/design.md)", "https://github.com/user/name", "v1")
    '[Design](https://github.com/user/name/blob/v1/docs/design.md)'
    """

    def address(found: re.Match[str]) -> str:
        kind = "raw" if found[2].endswith(IMAGES) else "blob"
        return f"{found[1]}{url}/{kind}/{tag}/{found[2]}"

    return LINK.sub(address, text)


if __name__ == "__main__":
    README.write_text(absolute(README.read_text("utf8"), *sys.argv[1:]), encoding="utf8")
